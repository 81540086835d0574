"""Every ruleset file as people look at it: what it says, what is in force, what lint finds, how often it matched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pd_sf_rules.ledger import Ledger, switches
from pd_sf_rules.ledger import rulesets as versions
from pd_sf_rules.ledger.hits import Hits, hits
from pd_sf_rules.ledger.rulesets import RulesetVersion
from pd_sf_rules.ledger.switches import Switch
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.pipeline.switching import switched
from pd_sf_rules.rules.diagnostics import Diagnostic
from pd_sf_rules.rules.lint import IntegrationFacts, lint_rulesets
from pd_sf_rules.rules.loader import load_folder, load_text, read_text, ruleset_files
from pd_sf_rules.rules.ruleset import Ruleset
from pd_sf_rules.settings import Integration, rulesets_folder

State = Literal["live", "shadow", "off", "invalid"]
SINCE = (timedelta(hours=24), timedelta(days=7))


@dataclass(frozen=True, slots=True)
class RuleFile:
    """One file. `ruleset` is what counts: the file's own, of an invalid file its last good version, or None.

    `says` is what the file says of `enabled` (None where it does not load); `switch` what a person set beside it.
    """

    file: str
    path: Path
    text: str
    is_valid: bool
    ruleset: Ruleset | None
    says: bool | None
    switch: Switch | None
    findings: Sequence[Diagnostic]
    hits: Mapping[str, Hits]

    @property
    def state(self) -> State:
        """The state in one word; an invalid file may still have a last good version in force."""
        if not self.is_valid:
            return "invalid"
        if self.ruleset is None or not self.ruleset.enabled:
            return "off"
        return "shadow" if self.ruleset.mode == "shadow" else "live"

    @property
    def version(self) -> str:
        """The version in force (or that would be, where it is off); "" when there is none."""
        return self.ruleset.version if self.ruleset is not None else ""

    @property
    def errors(self) -> int:
        """How many findings keep the file from being used."""
        return sum(one.severity == "error" for one in self.findings)

    @property
    def last(self) -> datetime | None:
        """When one of its rules matched last."""
        return max((one.last for one in self.hits.values() if one.last), default=None)

    def matched(self, span: int) -> int:
        """How often its rules matched in the span of SINCE with that number."""
        return sum(one.since[span] for one in self.hits.values())


def rule_files(
    ledger: Ledger,
    integrations: Mapping[str, Integration],
    wanted: Callable[[str], bool] = lambda _integration: True,
) -> list[RuleFile]:
    """Return every file whose integration is `wanted`, in file-name order; one that was never good has none, "".

    Raises SettingsError when the folder is missing.
    """
    folder = rulesets_folder()
    rulesets, diagnostics = load_folder(folder)
    facts = tuple(
        (one.name, tuple(sorted(one.response_plays.items()))) for one in integrations.values()
    )
    findings = [*diagnostics, *_linted(tuple(rulesets), facts)]
    valid = {one.path: one for one in rulesets}
    now = utc_now()
    found: list[RuleFile] = []
    with ledger.read() as c:
        turned = switches.in_force(c)
        for path in ruleset_files(folder):
            own = valid.get(str(path))
            kept = own or _last_good(versions.last_good(c, path.name), path)
            if not wanted(kept.integration if kept else ""):
                continue
            names = [(kept.name, rule.name) for rule in kept.rules] if kept else []
            counted = hits(c, names, [now - span for span in SINCE])
            found.append(
                RuleFile(
                    file=path.name,
                    path=path,
                    text=own.text if own else (read_text(path)[0] or ""),
                    is_valid=own is not None,
                    ruleset=switched([kept], turned)[0] if kept else None,
                    says=own.enabled if own else None,
                    switch=turned.get(path.name),
                    findings=[one for one in findings if one.path == str(path)],
                    hits={rule: counted[name, rule] for name, rule in names},
                )
            )
    return found


def history(ledger: Ledger, file: str) -> tuple[list[RulesetVersion], list[Switch]]:
    """Return the versions of a file that were in force and the turns of its switch, newest first."""
    with ledger.read() as c:
        return versions.history_of(c, file), switches.turns_of(c, file)


def _last_good(last: tuple[str, str] | None, path: Path) -> Ruleset | None:
    return load_text(last[1], str(path))[0] if last is not None else None


@lru_cache(maxsize=4)
def _linted(
    rulesets: tuple[Ruleset, ...], facts: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
) -> tuple[Diagnostic, ...]:
    """Lint once for as long as no file and no integration changes."""
    known = {name: IntegrationFacts(response_plays=dict(plays)) for name, plays in facts}
    return lint_rulesets(rulesets, known)
