"""The nouns, frozen: a change becomes an event, an event verdicts, verdicts a plan, a plan outcomes.

Datetimes are timezone-aware UTC. Field values are what JSON can hold: text, int, float, bool, None.
Records and incidents are flat mappings from a field path to a value (`"Priority"`, `"Account.Type"`;
`"status"`, `"service.name"`), without the leading `Case.` or `incident.` of a ruleset file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Source = Literal["salesforce", "pagerduty"]
Mode = Literal["live", "shadow"]
Values = Mapping[str, Any]

SALESFORCE: Source = "salesforce"
PAGERDUTY: Source = "pagerduty"


@dataclass(frozen=True, slots=True)
class Window:
    """What one pull reads: `start` <= stamp <= `end`, both inclusive, UTC.

    `moves_cursor` is False for a backfill and for a window given by hand.
    """

    start: datetime
    end: datetime
    moves_cursor: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """A Salesforce row as it stands now, read inside a window."""

    object: str
    record_id: str
    stamp: datetime
    created_at: datetime
    modified_at: datetime
    agent: str
    values: Values


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A PagerDuty log entry. `type` is a word of rulesets.md (`acknowledge`, ...), `raw_type` PagerDuty's own.

    `incident` holds the incident as it was when the entry was read (not as it was at the event);
    `detail` what the entry itself says: `note`, `assignees`, `priority`, `channel` type.
    `agent_id` is the PagerDuty id of the acting user, service or integration, "" where unknown.
    """

    id: str
    type: str
    raw_type: str
    created_at: datetime
    agent: str
    agent_id: str
    incident_id: str
    incident: Values
    detail: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One fact that rules judge. Salesforce events carry `object` and `record_id`, PagerDuty events `incident_id`.

    `old` maps a field path to its value the last time this record was seen. A path that is missing
    from `old` has no known old value, so nothing about it counts as changed. For a `created` event every
    path of `record` is in `old` with None. `old_incident` is the same for an incident.
    `record` of a PagerDuty event and `incident` of a Salesforce event are the linked other side,
    filled in before evaluation, and empty where nothing is linked. `linked_by` names the rulesets that
    made the pairs of this event's record or incident.
    """

    id: str
    integration: str
    source: Source
    type: str
    occurred_at: datetime
    agent: str
    object: str | None = None
    record_id: str | None = None
    incident_id: str | None = None
    record: Values = field(default_factory=dict)
    old: Values = field(default_factory=dict)
    incident: Values = field(default_factory=dict)
    old_incident: Values = field(default_factory=dict)
    detail: Values = field(default_factory=dict)
    linked_by: Sequence[str] = ()


@dataclass(
    slots=True, unsafe_hash=True
)  # not frozen: made by the thousand, and that takes half as long
class ConditionTrace:
    """One condition as it was judged: `value` is the field's value, `old` its old value if one was known."""

    field: str
    operation: str
    expected: Any
    value: Any
    old: Any
    held: bool
    note: str = ""


@dataclass(
    slots=True, unsafe_hash=True
)  # not frozen: made by the thousand, and that takes half as long
class Verdict:
    """What one rule said about one event. `reason` is one sentence: why it fired, or the first reason it did not."""

    ruleset: str
    ruleset_version: str
    mode: Mode
    rule: str
    matched: bool
    reason: str
    conditions: Sequence[ConditionTrace] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """One planned effect. `id` is the idempotency key of (event, ruleset, rule, position).

    `params` are as written in the ruleset file: templates are rendered when the action is applied, because
    an earlier action of the same rule may create the incident or record that they name.
    """

    id: str
    event_id: str
    integration: str
    ruleset: str
    ruleset_version: str
    rule: str
    position: int
    kind: str
    params: Mapping[str, Any]
    mode: Mode
    object: str | None
    record_id: str | None
    incident_id: str | None
    scope: Literal["all", "created_by_ruleset"] = "all"


@dataclass(frozen=True, slots=True)
class Link:
    """A record and an incident that belong together. `ruleset` is the one that made the pair, "" if by hand."""

    integration: str
    object: str
    record_id: str
    incident_id: str
    ruleset: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApiUsage:
    """What one client used: `calls` made in this process, and the server's own figures where it sends them."""

    calls: int
    used: int | None = None
    allowed: int | None = None
