"""What a reconciliation found, and what it may still spend."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pd_sf_rules.ledger import actions
from pd_sf_rules.model import SALESFORCE, Link
from pd_sf_rules.pipeline.run import Direction, Run

Kind = Literal[
    "record_missing",
    "incident_missing",
    "record_changed",
    "incident_changed",
    "rule_not_applied",
    "comment_not_copied",
    "note_not_copied",
]
Place = tuple[str, str, str]
"""Object, record and incident."""

LISTED = 200
"""Most findings that a report lists; `counts` tells of all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be. `field` names what differs.

    `ours` is what the ledger last knew or a rule wants, `theirs` what is there now. `repaired` says that the
    missed change was fed through the inbox; what is never repaired by itself is left to a person.
    """

    kind: Kind
    object: str
    record: str
    incident: str
    field: str = ""
    ours: Any = None
    theirs: Any = None
    rule: str = ""
    repaired: bool = False


@dataclass(slots=True)
class Pairs:
    """The linked pairs of an integration, by either side, oldest link first."""

    by_record: dict[str, list[Link]] = field(default_factory=dict)
    by_incident: dict[str, list[Link]] = field(default_factory=dict)

    def add(self, link: Link) -> None:
        """Take in one link."""
        self.by_record.setdefault(link.record_id, []).append(link)
        self.by_incident.setdefault(link.incident_id, []).append(link)

    def records_of(self, object_name: str) -> list[str]:
        """Return the linked records of one object."""
        return [i for i, some in self.by_record.items() if some[0].object == object_name]

    def objects(self) -> list[str]:
        """Return the objects of the linked records."""
        return sorted({some[0].object for some in self.by_record.values()})

    def of_record(self, record_id: str) -> Place:
        """Return how a finding names the newest pair of a record."""
        return place(self.by_record[record_id][-1])

    def of_incident(self, incident_id: str) -> Place:
        """Return how a finding names the newest pair of an incident."""
        return place(self.by_incident[incident_id][-1])


def place(link: Link) -> Place:
    """Return how a finding names a pair."""
    return link.object, link.record_id, link.incident_id


@dataclass(slots=True)
class Look:
    """One reconciliation under way: what it found, what it may spend, and whether it repairs."""

    run: Run
    repair: bool
    max_calls: int
    findings: list[Finding] = field(default_factory=list)
    complete: bool = True
    records: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The linked records as they are now, by id."""
    incidents: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The linked incidents as they are now, by id."""

    @property
    def calls(self) -> int:
        """The API calls made so far."""
        return sum(one.calls for one in self.run.usage().values())

    def may_go_on(self) -> bool:
        """Say whether another batch may be read; once it may not, the report is not complete."""
        if self.calls >= self.max_calls or self._reserve_reached():
            self.complete = False
        return self.complete

    def _reserve_reached(self) -> bool:
        reserve = self.run.integration.limits.api_reserve_percent
        return any(
            100.0 * (one.allowed - (one.used or 0)) / one.allowed < reserve
            for one in self.run.usage().values()
            if one.allowed
        )

    def has_action(self, rule: tuple[str, str], *, record_id: str, incident_id: str) -> bool:
        """Say whether a rule already acted, or is about to act, for one of the two."""
        with self.run.ledger.read() as c:
            found = [
                *actions.find_actions(
                    c, integration=self.run.name, record_id=record_id, limit=1000
                ),
                *actions.find_actions(
                    c, integration=self.run.name, incident_id=incident_id, limit=1000
                ),
            ]
        return any((one.ruleset, one.rule) == rule and one.state != "skipped" for one in found)

    def open_actions(self) -> set[str]:
        """Return the ids of records and incidents for which something is under way or waits."""
        with self.run.ledger.read() as c:
            waiting = actions.open_actions(c, self.run.name)
        return {i for one in waiting for i in (one.record_id, one.incident_id) if i}

    def directions(self) -> list[Direction]:
        """Return the directions in which repaired findings set something going."""
        touched: set[Direction] = set()
        for one in self.findings:
            if one.repaired:
                touched.add(_DIRECTION[one.kind])
        return [one for one in ("salesforce", "pagerduty", "notes") if one in touched]


_DIRECTION: Mapping[str, Direction] = {
    "record_changed": SALESFORCE,
    "incident_changed": "pagerduty",
    "comment_not_copied": "notes",
    "note_not_copied": "notes",
}
