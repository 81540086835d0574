"""What an admin or a test has set in the org; kept on disk as one JSON document."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class ConnectedApp:
    """An app allowed to log in; ``usernames`` are the users an admin approved it for.

    ``certificate`` is the uploaded X.509 certificate (PEM) for the JWT flow; ``run_as`` the user
    of the client credentials flow; ``passwords`` those of the password flow.
    """

    consumer_key: str
    certificate: str = ""
    consumer_secret: str = ""
    usernames: list[str] = field(default_factory=list)
    run_as: str = ""
    passwords: dict[str, str] = field(default_factory=dict)
    self_authorise: bool = False


@dataclass(slots=True, kw_only=True)
class ValidationRule:
    """Refuses a write after which ``when`` (a SOQL condition) holds, with ``message``."""

    object: str
    when: str
    message: str
    field: str = ""
    name: str = "rule"


@dataclass(slots=True, kw_only=True)
class OrgSettings:
    """The org's switches; the defaults are those of a new org."""

    apps: list[ConnectedApp] = field(default_factory=list)
    validation_rules: list[ValidationRule] = field(default_factory=list)
    daily_allowance: int = 100_000
    app_allowance: int | None = None  # prints the per-app part of the limit header
    session_seconds: int = 7200
    skew_seconds: float = 0.0
    page_size: int = 2000
    instance_url: str | None = None  # None: the address the client called
    comment_touches_case: bool = False  # not settled for a real org, so either way
    assignment_owner: str | None = None  # the owner the Case assignment rule gives
    # objects selected for Change Data Capture: as many as every edition has for nothing
    captured: list[str] = field(
        default_factory=lambda: ["Account", "Case", "Contact", "Lead", "Opportunity"]
    )
    modify_all: list[str] = field(default_factory=list)  # usernames
    hidden_records: dict[str, list[str]] = field(default_factory=dict)  # id: user ids

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "OrgSettings":
        """Return the settings that ``to_json`` wrote."""
        apps = [ConnectedApp(**each) for each in body.pop("apps", [])]
        rules = [ValidationRule(**each) for each in body.pop("validation_rules", [])]
        return cls(apps=apps, validation_rules=rules, **body)
