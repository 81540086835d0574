"""Events against compiled rules: which rules match, and why or why not.

Rules are compiled once per content into closures and sorted into buckets, so that an event meets only the rules of
its integration, direction and (for Salesforce) object. Matching and explaining use the same judges.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

from pd_sf_rules.model import PAGERDUTY, ConditionTrace, Event, Mode, Source, Values, Verdict
from pd_sf_rules.rules import needs
from pd_sf_rules.rules.compiled import CompiledRule, Subjects, compile_rule
from pd_sf_rules.rules.fields import FieldTypes
from pd_sf_rules.rules.index import SMALLEST, BucketIndex
from pd_sf_rules.rules.reasons import reason
from pd_sf_rules.rules.ruleset import Rule, Ruleset

Bucket = tuple[str, Source, str | None]
_NOTHING: Values = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rules:
    """A bucket: rules that judge the same events, in order, and an index over them where there are many."""

    rules: tuple[CompiledRule, ...]
    index: BucketIndex | None

    def fitting(self, subjects: Subjects) -> Iterator[CompiledRule]:
        """Yield the rules whose conditions hold."""
        if self.index is None:
            yield from (each for each in self.rules if each.holds(subjects.of(each.rule.object)))
            return
        for at, unconfirmed in self.index.candidates(subjects):
            candidate = self.rules[at]
            if not unconfirmed or candidate.holds(subjects.of(candidate.rule.object)):
                yield candidate


_NO_RULES = Rules((), None)


@dataclass(frozen=True)
class Evaluation:
    """What the rules said about one event. `matches` are the rules that matched, in order."""

    matches: tuple[tuple[Ruleset, Rule], ...]
    _considered: tuple[CompiledRule, ...] = field(repr=False)
    _subjects: Subjects = field(repr=False)

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """A verdict for every rule considered, in order, with each of its conditions; made when first read."""
        stops = _Stops()
        return tuple(_verdict(candidate, self._subjects, stops) for candidate in self._considered)


class _Stops:
    """Which rule has stopped the event, for live rules and for shadow ones."""

    def __init__(self) -> None:
        self._by: dict[Mode, str] = {}

    def before(self, mode: Mode) -> str | None:
        """Return the name of the rule that keeps later rules of this mode from judging, None if there is none."""
        return self._by.get("live") or (self._by.get("shadow") if mode == "shadow" else None)

    def matched(self, candidate: CompiledRule) -> None:
        """Note a match: with stop it ends the event for later rules; a shadow rule stops only shadow rules."""
        if candidate.rule.stop:
            self._by.setdefault(candidate.ruleset.mode, candidate.rule.name)


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """The enabled rulesets of a folder, ready to judge events. Share one per process: its tables only remember."""

    rulesets: tuple[Ruleset, ...]
    buckets: Mapping[Bucket, Rules] = field(repr=False)
    _needs: needs.Needs = field(repr=False)

    def evaluate(self, event: Event, linked: Mapping[str, Values] = _NOTHING) -> Evaluation:
        """Judge an event by every rule of its direction (and object).

        `linked[object]` holds the values of the record of that object that a PagerDuty event's incident is linked
        to; what is missing there is blank.
        """
        about = None if event.source == PAGERDUTY else event.object
        bucket = self.buckets.get((event.integration, event.source, about), _NO_RULES)
        subjects = Subjects(event, linked)
        return Evaluation(tuple(_matches(bucket, subjects)), bucket.rules, subjects)

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


def _matches(bucket: Rules, subjects: Subjects) -> Iterator[tuple[Ruleset, Rule]]:
    """Yield the rules that match."""
    stops = _Stops()
    for fitting in bucket.fitting(subjects):
        if not stops.before(fitting.ruleset.mode) and _in_scope(fitting, subjects.event):
            stops.matched(fitting)
            yield fitting.ruleset, fitting.rule


def _in_scope(candidate: CompiledRule, event: Event) -> bool:
    return candidate.rule.scope == "all" or candidate.ruleset.name in event.linked_by


def _verdict(candidate: CompiledRule, subjects: Subjects, stops: _Stops) -> Verdict:
    """Return what one rule said, with every one of its conditions."""
    ruleset, rule = candidate.ruleset, candidate.rule
    stopper = stops.before(ruleset.mode)
    traces: tuple[ConditionTrace, ...] = ()
    if stopper:
        matched, why = False, f"Not considered: '{stopper}' matched before and says stop."
    else:
        subject = subjects.of(rule.object)
        traces = tuple(leaf.trace(subject) for leaf in candidate.leaves)
        matched, why = reason(rule.when, traces)
        if not _in_scope(candidate, subjects.event):
            made = "is linked by another ruleset" if subjects.event.linked_by else "is not linked"
            why = f"The rule is for pairs that '{ruleset.name}' made, and this one {made}."
            matched = False
    if matched:
        stops.matched(candidate)
    return Verdict(ruleset.name, ruleset.version, ruleset.mode, rule.name, matched, why, traces)


def compile_rules(
    rulesets: Sequence[Ruleset], types: FieldTypes = MappingProxyType({})
) -> CompiledRules:
    """Return the compiled form of the enabled rulesets, in the order given; cached by content and types."""
    frozen = tuple(sorted((name, tuple(sorted(paths.items()))) for name, paths in types.items()))
    return _cached(tuple(ruleset for ruleset in rulesets if ruleset.enabled), frozen)


@lru_cache(maxsize=16)
def _cached(rulesets: tuple[Ruleset, ...], types: tuple[Any, ...]) -> CompiledRules:
    known: FieldTypes = {name: dict(paths) for name, paths in types}
    buckets: dict[Bucket, list[CompiledRule]] = {}
    for ruleset in rulesets:
        for rule in ruleset.rules:
            about = None if rule.run_on == PAGERDUTY else rule.object
            bucket = buckets.setdefault((ruleset.integration, rule.run_on, about), [])
            bucket.append(compile_rule(ruleset, rule, known))
    sealed = {key: _bucket(tuple(bucket)) for key, bucket in buckets.items()}
    return CompiledRules(rulesets, sealed, needs.needs_of(rulesets))


def _bucket(rules: tuple[CompiledRule, ...]) -> Rules:
    return Rules(rules, BucketIndex(rules) if len(rules) >= SMALLEST else None)
