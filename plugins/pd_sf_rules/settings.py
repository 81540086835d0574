"""Integration files (`include/integrations/*.yaml`) and the PDSF_* variables as typed settings."""

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pd_sf_rules.errors import SettingsError

PROJECT_ROOT = Path(__file__).resolve().parents[2]
MINUTES_OF_DAY = 24 * 60
Visibility = Literal["internal", "public"]


def _false_is_off(value: Any) -> Any:
    return None if value is False else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Comments(_Section):
    """Which way Case comments and incident notes cross; None means that way is off."""

    salesforce_to_pagerduty: bool = False
    pagerduty_to_salesforce: Annotated[Visibility | None, BeforeValidator(_false_is_off)] = None


class Breaker(_Section):
    """At most `count` incidents in `minutes`; a count of 0 switches the breaker off."""

    count: int = Field(ge=0)
    minutes: int = Field(gt=0)


class Limits(_Section):
    """Breakers: incidents by one rule, incidents by the whole integration, actions on one pair (a loop).

    `api_reserve_percent` of the API allowance is kept for paging: with less left, notes and drift checks wait.
    `parallel_requests` is how many requests of one worker are under way at once, of those that cannot share a call.
    """

    incidents_per_rule: Breaker = Breaker(count=25, minutes=10)
    incidents: Breaker = Breaker(count=100, minutes=10)
    actions_per_pair: Breaker = Breaker(count=50, minutes=10)
    api_reserve_percent: float = Field(default=10, ge=0, lt=100)
    parallel_requests: int = Field(default=16, ge=1, le=64)


def _minute_of_day(value: Any) -> Any:
    """Return the minutes since midnight of `22:30`, which YAML reads as the number 1350 where it has no quotes."""
    if isinstance(value, str) and re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", value):
        hours, _, minutes = value.partition(":")
        return int(hours) * 60 + int(minutes)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MINUTES_OF_DAY:
        return value
    raise ValueError("must be a time of day such as 22:30")


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone; write one such as Europe/Berlin") from None
    return name


Minute = Annotated[int, BeforeValidator(_minute_of_day)]


class QuietHours(_Section):
    """Hours in which looks come every `poll_seconds` only; `begins` and `ends` are minutes since midnight there."""

    begins: Minute = Field(alias="from")
    ends: Minute = Field(alias="until")
    timezone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    poll_seconds: float = Field(default=60, gt=0)


class Log(_Section):
    """How much is kept in the ledger, and for how many days."""

    level: Literal["debug", "info", "error"] = "info"
    retention_days: int = Field(default=90, gt=0)


class Signals(_Section):
    """What says "look now" between two polls; None means that polling does alone.

    `pubsub`: Salesforce's change events over its Pub/Sub API.
    """

    salesforce: Annotated[Literal["pubsub"] | None, BeforeValidator(_false_is_off)] = None


class Integration(_Section):
    """One Salesforce org and one PagerDuty account that are kept in step."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    salesforce_conn_id: str = "salesforce_default"
    pagerduty_conn_id: str = "pagerduty_default"
    start_from: Literal["now"] | datetime = "now"
    poll_seconds: float = Field(default=10, gt=0)
    idle_poll_seconds: float | None = Field(default=None, gt=0)
    quiet_hours: QuietHours | None = None
    comments: Comments = Comments()
    signals: Signals = Signals()
    response_plays: Mapping[str, str] = Field(default_factory=dict)
    limits: Limits = Limits()
    log: Log = Log()
    paused: bool = False
    stuck_after_minutes: float = Field(default=30, gt=0)
    owner_link: str = Field(default="", pattern=r"^(https?://|mailto:)\S+$|^$")

    def start_at(self, now: datetime) -> datetime:
        """Return the UTC instant at which a first start begins; a stamp without offset is UTC.

        Both services stamp in whole seconds, so the second that has begun counts in full.
        """
        if self.start_from == "now":
            return now.replace(microsecond=0)
        stamp = self.start_from
        return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)


def rulesets_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of ruleset files: PDSF_RULESETS_DIR, else include/rulesets."""
    return _folder("PDSF_RULESETS_DIR", "include/rulesets", environ)


def integrations_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of integration files: PDSF_INTEGRATIONS_DIR, else include/integrations."""
    return _folder("PDSF_INTEGRATIONS_DIR", "include/integrations", environ)


def load_integrations(environ: Mapping[str, str] | None = None) -> dict[str, Integration]:
    """Read every integration file, by name, in file-name order.

    A folder that is absent or empty gives the one integration `default` with its defaults.
    Raises SettingsError naming file and key when a file cannot be used, or two share a name.
    """
    integrations, errors = usable_integrations(environ)
    for error in errors:
        raise error
    return integrations


def usable_integrations(
    environ: Mapping[str, str] | None = None,
) -> tuple[dict[str, Integration], list[SettingsError]]:
    """Read every integration file that can be used, by name, and return what is wrong with the others.

    As `load_integrations`, but one broken file stops no other; of two with one name the first counts. Raises
    SettingsError only for what concerns all of them: PDSF_INTEGRATIONS_DIR or PDSF_POLL_SECONDS.
    """
    variables = os.environ if environ is None else environ
    folder = integrations_folder(variables)
    poll = _poll_override(variables)
    integrations: dict[str, Integration] = {}
    errors: list[SettingsError] = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            integration = _load(path)
        except SettingsError as error:
            errors.append(error)
            continue
        if integration.name in integrations:
            told = f"{path}: another integration file is already named '{integration.name}'."
            errors.append(SettingsError(told))
        else:
            integrations[integration.name] = integration
    if not integrations and not errors:
        integrations["default"] = Integration(name="default")
    if poll is not None:
        chosen = {"poll_seconds": poll}
        integrations = {n: i.model_copy(update=chosen) for n, i in integrations.items()}
    return integrations, errors


def load_integration(name: str, environ: Mapping[str, str] | None = None) -> Integration:
    """Return the integration called `name`, whatever is wrong with the files of others.

    Raises SettingsError listing those there are, and what is wrong with files that cannot be used.
    """
    integrations, errors = usable_integrations(environ)
    if name not in integrations:
        known = f"Known are: {', '.join(sorted(integrations)) or 'none'}."
        broken = [f"This file cannot be used: {error}" for error in errors]
        hint = " ".join([known, *broken])
        raise SettingsError(f"There is no integration '{name}'.", hint=hint)
    return integrations[name]


def _folder(variable: str, default: str, environ: Mapping[str, str] | None) -> Path:
    value = (os.environ if environ is None else environ).get(variable, "").strip()
    if not value:
        return PROJECT_ROOT / default
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise SettingsError(f"{variable} names '{value}', which is not a folder.")
    return folder


def _poll_override(environ: Mapping[str, str]) -> float | None:
    text = environ.get("PDSF_POLL_SECONDS", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise SettingsError(f"PDSF_POLL_SECONDS is '{text}'.", hint="Give seconds, for example 10.")
    return seconds


def _load(path: Path) -> Integration:
    try:
        return _read(path, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None


@lru_cache(maxsize=64)
def _read(path: Path, text: str) -> Integration:
    """Return what a file says; an unchanged text is not read again."""
    data = yaml.safe_load(text)
    if not isinstance(data, dict):
        raise SettingsError(f"{path}: is not a mapping of settings.", hint="See docs/settings.md.")
    try:
        return Integration.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SettingsError(f"{path}: {key}: {first['msg']}.") from None
