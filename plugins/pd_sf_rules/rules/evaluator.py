"""Events against compiled rules: which rules match, and why or why not.

Rules are compiled once per content into closures and sorted into buckets, so that an event meets only the rules of
its integration, direction and (for Salesforce) object.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from pd_sf_rules.model import PAGERDUTY, ConditionTrace, Event, Source, Values, Verdict
from pd_sf_rules.rules import needs
from pd_sf_rules.rules.fields import FieldTypes, event_values
from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN, remark
from pd_sf_rules.rules.ruleset import Condition, Rule, Ruleset, When
from pd_sf_rules.rules.values import as_text

Bucket = tuple[str, Source, str | None]
_NOTHING: Values = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule sees of an event: the values of each side, and the earlier ones of the event's own side."""

    record: Values
    incident: Values
    event: Values
    old_record: Values
    old_incident: Values


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the rules said: a verdict for every rule considered, and the rules that matched, in order."""

    verdicts: tuple[Verdict, ...]
    matches: tuple[tuple[Ruleset, Rule], ...]


Judged = Callable[[Subject], bool]


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A compiled condition: the judgement, and what its trace shows."""

    condition: Condition
    read: Callable[[Subject], tuple[Any, Any]]
    judge: Callable[[Any, Any], bool]
    kind: Any

    def trace(self, subject: Subject) -> ConditionTrace:
        """Return the condition as judged."""
        value, old = self.read(subject)
        condition = self.condition
        held = self.judge(value, old)
        note = remark(condition.operation, self.kind, condition.expected, value, old)
        known = None if old is UNKNOWN else old
        return ConditionTrace(
            condition.name, condition.operation, condition.expected, value, known, held, note
        )


@dataclass(frozen=True, slots=True)
class _CompiledRule:
    """A rule of a ruleset, ready to judge."""

    ruleset: Ruleset
    rule: Rule
    holds: Judged
    leaves: tuple[_Leaf, ...]


def _reader(condition: Condition) -> Callable[[Subject], tuple[Any, Any]]:
    """Return how a condition's value and old value are read."""
    path = condition.ref.path
    if condition.ref.side == "event":
        return lambda subject: (subject.event.get(path), UNKNOWN)
    if condition.ref.side == "incident":
        return lambda subject: (
            subject.incident.get(path),
            subject.old_incident.get(path, UNKNOWN),
        )
    return lambda subject: (subject.record.get(path), subject.old_record.get(path, UNKNOWN))


def _leaf(condition: Condition, object_name: str, types: FieldTypes) -> _Leaf:
    kind = condition.ref.kind(object_name, types)
    judge = OPERATIONS[condition.operation].build(kind, condition.expected)
    return _Leaf(condition, _reader(condition), judge, kind)


def _compiled(when: When, object_name: str, types: FieldTypes, leaves: list[_Leaf]) -> Judged:
    """Return the test of a condition tree, and append its leaves in the order written."""
    if isinstance(when, Condition):
        leaf = _leaf(when, object_name, types)
        leaves.append(leaf)
        read, judge = leaf.read, leaf.judge
        return lambda subject: judge(*read(subject))
    members = tuple(_compiled(member, object_name, types, leaves) for member in when.members)
    if when.kind == "not":
        only = members[0]
        return lambda subject: not only(subject)
    if when.kind == "all":
        return lambda subject: all(member(subject) for member in members)
    return lambda subject: any(member(subject) for member in members)


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """The enabled rulesets of a folder, ready to judge events. Share one per process: it holds no state."""

    rulesets: tuple[Ruleset, ...]
    buckets: Mapping[Bucket, tuple[_CompiledRule, ...]] = field(repr=False)
    _needs: needs.Needs = field(repr=False)

    def evaluate(self, event: Event, linked: Mapping[str, Values] = _NOTHING) -> Evaluation:
        """Judge an event by every rule of its direction (and object).

        `linked[object]` holds the values of the record of that object that a PagerDuty event's incident is linked
        to; what is missing there is blank. Every considered rule gets a verdict with all its conditions.
        """
        verdicts: list[Verdict] = []
        matches: list[tuple[Ruleset, Rule]] = []
        subjects: dict[str, Subject] = {}
        stopped: dict[str, str] = {}
        for compiled in self._candidates(event):
            ruleset, rule = compiled.ruleset, compiled.rule
            stopper = stopped.get("live") or (ruleset.mode == "shadow" and stopped.get("shadow"))
            if stopper:
                reason = f"Not considered: '{stopper}' matched before and says stop."
                verdicts.append(_verdict(compiled, matched=False, reason=reason))
                continue
            subject = subjects.get(rule.object)
            if subject is None:
                subject = subjects[rule.object] = _subject(event, rule.object, linked)
            verdict = _judged(compiled, subject, event)
            verdicts.append(verdict)
            if verdict.matched:
                matches.append((ruleset, rule))
                if rule.stop:
                    stopped.setdefault(ruleset.mode, rule.name)
        return Evaluation(tuple(verdicts), tuple(matches))

    def _candidates(self, event: Event) -> tuple[_CompiledRule, ...]:
        about = None if event.source == PAGERDUTY else event.object
        return self.buckets.get((event.integration, event.source, about), ())

    def objects(self) -> frozenset[str]:
        """Return the objects that rules with run_on: salesforce watch."""
        return self._needs.watched_objects

    def record_fields(self, object_name: str) -> frozenset[str]:
        """Return every field path of an object that a condition, a template or an action names, either direction."""
        return self._needs.record_fields.get(object_name, frozenset())

    def watched_fields(self, object_name: str) -> frozenset[str]:
        """Return the same for rules with run_on: salesforce only."""
        return self._needs.watched_fields.get(object_name, frozenset())

    def needs_record(self, object_name: str) -> frozenset[str]:
        """Return the field paths that rules with run_on: pagerduty need from the linked record of an object."""
        return self._needs.linked_fields.get(object_name, frozenset())

    def needs_incident(self, object_name: str) -> bool:
        """Tell whether a salesforce rule on the object tests a field of the linked incident."""
        return object_name in self._needs.incident_objects

    def needs_custom_fields(self) -> bool:
        """Tell whether a condition or a template names a custom field of the incident."""
        return self._needs.custom_fields


def _subject(event: Event, object_name: str, linked: Mapping[str, Values]) -> Subject:
    """Return what a rule on the object sees. Only the event's own side has earlier values."""
    if event.source == PAGERDUTY:
        own = event.record if event.object == object_name else _NOTHING
        record = linked.get(object_name, own)
        return Subject(record, event.incident, event_values(event), _NOTHING, event.old_incident)
    return Subject(event.record, event.incident, event_values(event), event.old, _NOTHING)


def _verdict(
    compiled: _CompiledRule,
    *,
    matched: bool,
    reason: str,
    conditions: tuple[ConditionTrace, ...] = (),
) -> Verdict:
    ruleset = compiled.ruleset
    return Verdict(
        ruleset.name, ruleset.version, ruleset.mode, compiled.rule.name, matched, reason, conditions
    )


def _judged(compiled: _CompiledRule, subject: Subject, event: Event) -> Verdict:
    """Return the verdict of one rule, with every one of its conditions."""
    ruleset, rule = compiled.ruleset, compiled.rule
    traces = tuple(leaf.trace(subject) for leaf in compiled.leaves)
    held = compiled.holds(subject)
    if rule.scope == "created_by_ruleset" and ruleset.name not in event.linked_by:
        made = "is linked by another ruleset" if event.linked_by else "is not linked"
        reason = f"The rule is for pairs that '{ruleset.name}' made, and this one {made}."
        return _verdict(compiled, matched=False, reason=reason, conditions=traces)
    reason = "Its conditions hold." if held else _why_not(rule.when, iter(traces))
    return _verdict(compiled, matched=held, reason=reason, conditions=traces)


def _why_not(when: When, traces: Any) -> str:
    """Return the first reason why a condition tree does not hold."""
    return _explain(when, traces)[1]


def _explain(when: When, traces: Any) -> tuple[bool, str]:
    """Return whether a tree holds, and if not, why not; consumes its leaves' traces in order."""
    if isinstance(when, Condition):
        trace = next(traces)
        return trace.held, "" if trace.held else f"{_sentence(trace)}."
    told = [_explain(member, traces) for member in when.members]
    if when.kind == "not":
        held = not told[0][0]
        return held, "" if held else f"What stands under 'not' holds ({_summary(when.members[0])})."
    if when.kind == "all":
        return next(((False, why) for held, why in told if not held), (True, ""))
    if any(held for held, _ in told):
        return True, ""
    others = f" Nor does any other of {len(told)}." if len(told) > 1 else ""
    return False, told[0][1] + others


def _sentence(trace: ConditionTrace) -> str:
    """Return one false condition in words: what was asked, and what was there."""
    asked = f"{trace.field} {trace.operation}"
    if OPERATIONS[trace.operation].takes != "nothing":
        asked += f" {_shown(trace.expected)}"
    there = f"it is {_shown(trace.value)}"
    if OPERATIONS[trace.operation].needs_old and not trace.note:
        there += f", and was {_shown(trace.old)}"
    because = f", {trace.note}" if trace.note and trace.note != "the field is blank" else ""
    return f"{asked} does not hold: {there}{because}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "[" + ", ".join(as_text(each) for each in value) + "]"
    text = as_text(value)
    return "blank" if text == "" else f"'{text[:77]}...'" if len(text) > 80 else f"'{text}'"


def _summary(when: When) -> str:
    """Return a group or condition in a few words."""
    if isinstance(when, Condition):
        expected = "" if when.expected is None else f" {_shown(when.expected)}"
        return f"{when.name} {when.operation}{expected}"
    return f"{when.kind} of {len(when.members)}"


def compile_rules(
    rulesets: Sequence[Ruleset], types: FieldTypes = MappingProxyType({})
) -> CompiledRules:
    """Return the compiled form of the enabled rulesets, in the order given; cached by content and types."""
    frozen = tuple(sorted((name, tuple(sorted(paths.items()))) for name, paths in types.items()))
    return _cached(tuple(ruleset for ruleset in rulesets if ruleset.enabled), frozen)


@lru_cache(maxsize=16)
def _cached(rulesets: tuple[Ruleset, ...], types: tuple[Any, ...]) -> CompiledRules:
    known: FieldTypes = {name: dict(paths) for name, paths in types}
    buckets: dict[Bucket, list[_CompiledRule]] = {}
    for ruleset in rulesets:
        for rule in ruleset.rules:
            leaves: list[_Leaf] = []
            holds = _compiled(rule.when, rule.object, known, leaves)
            about = None if rule.run_on == PAGERDUTY else rule.object
            bucket = buckets.setdefault((ruleset.integration, rule.run_on, about), [])
            bucket.append(_CompiledRule(ruleset, rule, holds, tuple(leaves)))
    sealed = {key: tuple(bucket) for key, bucket in buckets.items()}
    return CompiledRules(rulesets, sealed, needs.needs_of(rulesets))
