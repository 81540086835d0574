"""A rule's condition tree as closures, and what they judge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from pd_sf_rules.model import PAGERDUTY, ConditionTrace, Event, Values
from pd_sf_rules.rules.direct import direct
from pd_sf_rules.rules.fields import FieldRef, FieldTypes, Side, event_value
from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN, Judge, Remark, remarks
from pd_sf_rules.rules.ruleset import Condition, Rule, Ruleset, When
from pd_sf_rules.rules.values import Kind, blank

_NOTHING: Values = MappingProxyType({})


Subject = tuple[Any, ...]
"""What a rule sees: the values of record and incident, and the event itself, each followed by its earlier values."""

PLACE: Mapping[Side, int] = {"record": 0, "incident": 2, "event": 4}
"""Where a side stands in a subject; its earlier values stand in the next place."""


def subject_of(event: Event, linked: Mapping[str, Values], object_name: str) -> Subject:
    """Return what a rule on the object sees of an event. Only the event's own side has earlier values.

    `linked[object]` holds the record of that object which a PagerDuty event's incident is linked to.
    """
    if event.source != PAGERDUTY:
        return event.record, event.old, event.incident, _NOTHING, event, _NOTHING
    own = event.record if event.object == object_name else _NOTHING
    record = linked.get(object_name, own)
    return record, _NOTHING, event.incident, event.old_incident, event, _NOTHING


def subjects_of(
    events: Sequence[Event], linked: Sequence[Mapping[str, Values]], object_name: str
) -> list[Subject]:
    """Return the same for events of one side, each with its linked records (none at all: no event has any)."""
    if events[0].source != PAGERDUTY:  # spelled out: a call for each costs as much again
        return [
            (event.record, event.old, event.incident, _NOTHING, event, _NOTHING) for event in events
        ]
    pairs = zip(events, linked or [_NOTHING] * len(events), strict=True)
    return [subject_of(event, records, object_name) for event, records in pairs]


Holds = Callable[[Subject], bool]
Read = Callable[[Subject], tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A compiled condition. The judge that decides is the one whose answer the trace shows."""

    condition: Condition
    kind: Kind
    read: Read
    judge: Judge
    remark: Remark

    def trace(self, subject: Subject) -> ConditionTrace:
        """Return the condition as judged, with the values it saw."""
        value, old = self.read(subject)
        condition = self.condition
        return ConditionTrace(
            condition.name,
            condition.operation,
            condition.expected,
            value,
            None if old is UNKNOWN else old,
            self.judge(value, old),
            self.remark(value, old),
        )


@dataclass(frozen=True, slots=True)
class Part:
    """A member of a rule's outer `all` or `any`; `leaf` where it is a plain condition, perhaps negated."""

    holds: Holds
    leaf: Leaf | None
    negated: bool


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule of a ruleset, ready to judge: it holds when all of its parts do, or (`any_of`) one of them.

    `leaves` are all its conditions in the order written.
    """

    ruleset: Ruleset
    rule: Rule
    holds: Holds
    leaves: tuple[Leaf, ...]
    parts: tuple[Part, ...]
    any_of: bool


def compile_rule(ruleset: Ruleset, rule: Rule, types: FieldTypes) -> CompiledRule:
    """Return the compiled form of one rule, for these field types."""
    when = rule.when
    members: tuple[When, ...] = (when,)
    any_of = False
    if not isinstance(when, Condition) and when.kind != "not":
        members, any_of = when.members, when.kind == "any"
    leaves: list[Leaf] = []
    parts = tuple(_part(member, rule.object, types, leaves) for member in members)
    judged = tuple(part.holds for part in parts)
    holds = some(judged) if any_of else _every(judged)
    return CompiledRule(ruleset, rule, holds, tuple(leaves), parts, any_of)


def _part(when: When, object_name: str, types: FieldTypes, leaves: list[Leaf]) -> Part:
    """Return a member of the outer group, and append its leaves."""
    first = len(leaves)
    holds = _tree(when, object_name, types, leaves)
    if isinstance(when, Condition):
        return Part(holds, leaves[first], negated=False)
    plain = when.kind == "not" and isinstance(when.members[0], Condition)
    return Part(holds, leaves[first] if plain else None, negated=plain)


def _tree(when: When, object_name: str, types: FieldTypes, leaves: list[Leaf]) -> Holds:
    """Return the test of a condition tree, and append its leaves."""
    if isinstance(when, Condition):
        leaf = _leaf(when, object_name, types)
        leaves.append(leaf)
        return _test(leaf)
    members = tuple(_tree(member, object_name, types, leaves) for member in when.members)
    if when.kind == "not":
        only = members[0]
        return lambda subject: not only(subject)
    return _every(members) if when.kind == "all" else some(members)


def _every(members: tuple[Holds, ...]) -> Holds:
    if len(members) == 1:
        return members[0]

    def holds(subject: Subject) -> bool:
        for member in members:  # noqa: SIM110 - a generator costs as much again as the judging
            if not member(subject):
                return False
        return True

    return holds


def some(members: tuple[Holds, ...]) -> Holds:
    """Return the test whether one of these holds."""
    if len(members) == 1:
        return members[0]

    def holds(subject: Subject) -> bool:
        for member in members:  # noqa: SIM110 - a generator costs as much again as the judging
            if member(subject):
                return True
        return False

    return holds


def _leaf(condition: Condition, object_name: str, types: FieldTypes) -> Leaf:
    kind = condition.ref.kind(object_name, types)
    judge = OPERATIONS[condition.operation].build(kind, condition.expected)
    remark = remarks(condition.operation, kind, condition.expected)
    return Leaf(condition, kind, _reader(condition.ref), judge, remark)


def state_of(leaf: Leaf) -> Leaf:
    """Return what `changed_to` or `changed_from` asks of the new or the old value of a field that did change."""
    condition = leaf.condition
    asked = replace(condition, operation="is_blank" if blank(condition.expected) else "equals")
    judge = OPERATIONS[asked.operation].build(leaf.kind, asked.expected)
    return replace(leaf, condition=asked, judge=judge)


def _reader(ref: FieldRef) -> Read:
    """Return how a field's value and old value are read."""
    path, now = ref.path, PLACE[ref.side]
    if ref.side == "event":
        return lambda subject: (event_value(subject[4], path), UNKNOWN)
    return lambda subject: (subject[now].get(path), subject[now + 1].get(path, UNKNOWN))


def _test(leaf: Leaf) -> Holds:
    """Return the test of one condition."""
    read, judge, ref = leaf.read, leaf.judge, leaf.condition.ref
    if ref.side == "event":
        return lambda subject: judge(*read(subject))
    return direct(leaf.condition, leaf.kind, judge, PLACE[ref.side])
