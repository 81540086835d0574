"""The one cheap question a trigger asks: did anything change since the last look, or is anything due?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pd_sf_rules.ledger import Ledger, waiting
from pd_sf_rules.ledger.switches import Switch
from pd_sf_rules.model import Source
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.pipeline.switching import switched
from pd_sf_rules.planning.windows import CLOCK_DOUBT, OVERLAP
from pd_sf_rules.rules.evaluator import compile_rules
from pd_sf_rules.rules.loader import load_folder
from pd_sf_rules.rules.ruleset import Ruleset
from pd_sf_rules.settings import Integration, rulesets_folder
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.pagerduty.newest import newest_log_entries
from pd_sf_rules.systems.salesforce.changes import newest_changes
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.systems.salesforce.newest import OBJECTS_PER_CALL

LOOK_BACK = OVERLAP + CLOCK_DOUBT
"""From when rows are counted: one that shows late, or is stamped behind the clock, still changes the count."""

COMMENT_OBJECT = "CaseComment"

Topics = frozenset[str]
RULES, NOTES = "rules", "notes"
NOTHING: Topics = frozenset()
EVERYTHING: Topics = frozenset({RULES, NOTES})


@dataclass(slots=True)
class SalesforceBell:
    """Counts the rows of every watched object since a fixed instant; one call a look.

    Of more objects than a call holds each look asks about some, in turns.
    """

    since: datetime | None = None
    seen: dict[str, Any] = field(default_factory=dict)
    objects: tuple[str, ...] = ()
    """What was watched at the last look."""
    _turns: Sequence[str] = ()
    looked_at: dict[str, datetime] = field(default_factory=dict)
    """When the look began that asked about an object last, by Salesforce's clock."""
    _files: tuple[Any, ...] = ()
    _rulesets: dict[str, Ruleset] = field(default_factory=dict)

    def rang(
        self,
        client: SalesforceClient,
        integration: Integration,
        turned: Mapping[str, Switch],
        told: Mapping[str, datetime],
    ) -> Topics:
        """Return what changed since the last look; the first look, and one with nothing to watch, tells nothing.

        `turned` holds people's switches of rulesets, by file; `told` when change events say that an object was
        changed: a second change of a record within one second shows in no count and no stamp.
        """
        objects = self.objects = self._watched(integration, turned)
        if not objects:
            return NOTHING
        now = client.server_now()
        first = self.since is None
        since = self.since or now - LOOK_BACK
        # The next fixed instant is asked for first: a change between the two questions then rings once more.
        moved = now - since > 2 * LOOK_BACK
        fresh = newest_changes(client, objects, now - LOOK_BACK) if moved else {}
        asked = objects if first or moved else self._next(objects)
        found = newest_changes(client, asked, since)
        changed = {name for name in asked if not first and found.get(name) != self.seen.get(name)}
        last = self.looked_at
        changed |= {one for one, at in told.items() if one in objects and at >= last.get(one, now)}
        self.looked_at = {one: last[one] for one in objects if one in last} | dict.fromkeys(
            asked, now
        )
        kept = {name: seen for name, seen in self.seen.items() if name not in asked}
        self.since, self.seen = (now - LOOK_BACK, fresh) if moved else (since, kept | found)
        return frozenset(NOTES if name == COMMENT_OBJECT else RULES for name in changed)

    def remembered(self) -> dict[str, Any]:
        """Return what is remembered as JSON can hold it."""
        seen = {name: [count, _text(stamp)] for name, (count, stamp) in self.seen.items()}
        return {"since": _text(self.since), "seen": seen}

    def remember(self, told: Mapping[str, Any]) -> None:
        """Go on from what `remembered` told."""
        self.since = _instant(told["since"])
        self.seen = {
            name: (count, _instant(stamp)) for name, (count, stamp) in told["seen"].items()
        }

    def _next(self, objects: Sequence[str]) -> Sequence[str]:
        """Return the objects whose turn it is; one that is new comes first."""
        waited = [name for name in self._turns if name in objects]
        order = [*(name for name in objects if name not in self._turns), *waited]
        self._turns = [*order[OBJECTS_PER_CALL:], *order[:OBJECTS_PER_CALL]]
        return order[:OBJECTS_PER_CALL]

    def _watched(self, integration: Integration, turned: Mapping[str, Switch]) -> tuple[str, ...]:
        folder = rulesets_folder()
        files = _stamps(folder)
        if files != self._files:
            self._rulesets = self._in_force(folder)
            self._files = files
        mine = [
            one
            for one in switched(self._rulesets.values(), turned)
            if one.enabled and one.integration == integration.name
        ]
        objects = set(compile_rules(mine).objects())
        if integration.comments.salesforce_to_pagerduty:
            objects.add(COMMENT_OBJECT)
        return tuple(sorted(objects))

    def _in_force(self, folder: Path) -> dict[str, Ruleset]:
        """Return the rulesets by path; of a file that is broken now, the version that was seen last."""
        rulesets, diagnostics = load_folder(folder)
        broken = {one.path for one in diagnostics if one.severity == "error"}
        kept = {path: one for path, one in self._rulesets.items() if path in broken}
        return kept | {one.path: one for one in rulesets}


@dataclass(slots=True)
class PagerDutyBell:
    """Looks at the newest log entries; one call a look."""

    since: datetime | None = None
    seen: frozenset[str] = frozenset()

    def rang(self, client: PagerDutyClient, integration: Integration) -> Topics:  # noqa: ARG002 - as the other bell
        """Return what the entries that are new since the last look are about; the first look tells nothing."""
        now = client.server_now()
        first = self.since is None
        entries = newest_log_entries(client, self.since or now - LOOK_BACK)
        fresh = [entry for entry in entries if entry.id not in self.seen]
        self.since, self.seen = now - LOOK_BACK, frozenset(entry.id for entry in entries)
        if first or not fresh:
            return NOTHING
        noted = any(entry.raw_type.startswith(("annotate", "resolve")) for entry in fresh)
        more = len(fresh) == len(entries)  # a page full of news may hide a note behind it
        return EVERYTHING if noted or more else frozenset({RULES})

    def remembered(self) -> dict[str, Any]:
        """Return what is remembered as JSON can hold it."""
        return {"since": _text(self.since), "seen": sorted(self.seen)}

    def remember(self, told: Mapping[str, Any]) -> None:
        """Go on from what `remembered` told."""
        self.since, self.seen = _instant(told["since"]), frozenset(told["seen"])


@dataclass(slots=True)
class DueBell:
    """Looks into the ledger for actions whose next try is due; rings once for each time that was set."""

    system: Source
    _rung: frozenset[tuple[str, str, datetime]] = frozenset()

    def rang(self, ledger: Ledger, integration: Integration) -> Topics:
        """Return what became due since the last look."""
        now = utc_now()
        with ledger.read() as c:
            due = frozenset(waiting.due_tries(c, integration.name, now=now))
        news, self._rung = due - self._rung, due
        owners = {event_id.partition(":")[0] for event_id, _, _ in news}
        return frozenset({NOTES} & owners | ({RULES} if self.system in owners else set()))


def _stamps(folder: Path) -> tuple[Any, ...]:
    """Return name, time and size of each file of a folder; one that vanishes meanwhile is not there."""
    stamps = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            told = path.stat()
        except FileNotFoundError:
            continue
        stamps.append((path.name, told.st_mtime_ns, told.st_size))
    return tuple(stamps)


def _text(stamp: datetime | None) -> str | None:
    return stamp.isoformat() if stamp else None


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
