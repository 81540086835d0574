"""A rule's condition tree as closures, and what they judge."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pd_sf_rules.model import PAGERDUTY, ConditionTrace, Event, Values
from pd_sf_rules.rules.fields import FieldTypes, event_value
from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN, Judge, remark
from pd_sf_rules.rules.ruleset import Condition, Rule, Ruleset, When
from pd_sf_rules.rules.values import Kind

_NOTHING: Values = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule sees of an event: the values of each side, and the earlier ones of the event's own side."""

    record: Values
    incident: Values
    event: Event
    old_record: Values
    old_incident: Values


class Subjects:
    """What the rules of each object see of one event, made when first asked for.

    `linked[object]` holds the record of that object which a PagerDuty event's incident is linked to.
    """

    __slots__ = ("_linked", "_made", "event")

    def __init__(self, event: Event, linked: Mapping[str, Values]) -> None:
        self.event = event
        self._linked = linked
        self._made: dict[str, Subject] = {}

    def of(self, object_name: str) -> Subject:
        """Return what a rule on the object sees. Only the event's own side has earlier values."""
        subject = self._made.get(object_name)
        if subject is None:
            subject = self._made[object_name] = self._subject(object_name)
        return subject

    def _subject(self, object_name: str) -> Subject:
        event = self.event
        if event.source != PAGERDUTY:
            return Subject(event.record, event.incident, event, event.old, _NOTHING)
        own = event.record if event.object == object_name else _NOTHING
        record = self._linked.get(object_name, own)
        return Subject(record, event.incident, event, _NOTHING, event.old_incident)


Holds = Callable[[Subject], bool]
Read = Callable[[Subject], tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A compiled condition. The judge that decides is the one whose answer the trace shows."""

    condition: Condition
    kind: Kind
    read: Read
    judge: Judge

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
            remark(condition.operation, self.kind, condition.expected, value, old),
        )


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule of a ruleset, ready to judge. `leaves` are its conditions in the order written."""

    ruleset: Ruleset
    rule: Rule
    holds: Holds
    leaves: tuple[Leaf, ...]


def compile_rule(ruleset: Ruleset, rule: Rule, types: FieldTypes) -> CompiledRule:
    """Return the compiled form of one rule, for these field types."""
    leaves: list[Leaf] = []
    holds = _tree(rule.when, rule.object, types, leaves)
    return CompiledRule(ruleset, rule, holds, tuple(leaves))


def _tree(when: When, object_name: str, types: FieldTypes, leaves: list[Leaf]) -> Holds:
    """Return the test of a condition tree, and append its leaves."""
    if isinstance(when, Condition):
        leaf = _leaf(when, object_name, types)
        leaves.append(leaf)
        read, judge = leaf.read, leaf.judge
        return lambda subject: judge(*read(subject))
    members = tuple(_tree(member, object_name, types, leaves) for member in when.members)
    if when.kind == "not":
        only = members[0]
        return lambda subject: not only(subject)
    return _every(members) if when.kind == "all" else _some(members)


def _every(members: tuple[Holds, ...]) -> Holds:
    def holds(subject: Subject) -> bool:
        for member in members:  # noqa: SIM110 - a generator costs as much again as the judging
            if not member(subject):
                return False
        return True

    return holds


def _some(members: tuple[Holds, ...]) -> Holds:
    def holds(subject: Subject) -> bool:
        for member in members:  # noqa: SIM110 - a generator costs as much again as the judging
            if member(subject):
                return True
        return False

    return holds


def _leaf(condition: Condition, object_name: str, types: FieldTypes) -> Leaf:
    kind = condition.ref.kind(object_name, types)
    judge = OPERATIONS[condition.operation].build(kind, condition.expected)
    return Leaf(condition, kind, _reader(condition), judge)


def _reader(condition: Condition) -> Read:
    """Return how a condition's value and old value are read."""
    path = condition.ref.path
    if condition.ref.side == "event":
        return lambda subject: (event_value(subject.event, path), UNKNOWN)
    if condition.ref.side == "incident":
        return lambda subject: (
            subject.incident.get(path),
            subject.old_incident.get(path, UNKNOWN),
        )
    return lambda subject: (subject.record.get(path), subject.old_record.get(path, UNKNOWN))
