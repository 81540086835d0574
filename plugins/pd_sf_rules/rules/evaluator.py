"""Events against compiled rules: which rules match, and why or why not.

Rules are compiled once per content into closures and sorted into buckets, so that an event meets only the rules of
its integration, direction and (for Salesforce) object. Matching and explaining use the same judges.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from pd_sf_rules.model import PAGERDUTY, ConditionTrace, Event, Mode, Source, Values, Verdict
from pd_sf_rules.rules import needs
from pd_sf_rules.rules.compiled import CompiledRule, Subject, compile_rule, subject_of
from pd_sf_rules.rules.fields import FieldTypes
from pd_sf_rules.rules.index import BucketIndex
from pd_sf_rules.rules.reasons import reason
from pd_sf_rules.rules.ruleset import Rule, Ruleset

Bucket = tuple[str, Source, str | None]
Matches = Sequence[tuple[Ruleset, Rule]]
_NOTHING: Values = MappingProxyType({})


class Evaluations:
    """What the rules said about each of many events. `matches` are the rules that matched, in order, for each."""

    __slots__ = ("_buckets", "_events", "_linked", "matches")

    def __init__(self, events: Sequence[Event], linked: Sequence[Mapping[str, Values]]) -> None:
        self.matches: list[Matches] = [()] * len(events)
        self._buckets: list[BucketIndex | None] = [None] * len(events)
        self._events = events
        self._linked = linked

    def __getitem__(self, at: int) -> "Evaluation":
        """Return what they said about the event of that place."""
        return Evaluation(
            self.matches[at],
            self._buckets[at],
            self._events[at],
            self._linked[at] if self._linked else _NOTHING,
        )

    def judge(self, bucket: BucketIndex, places: Sequence[int]) -> None:
        """Judge the events of these places by the rules of a bucket."""
        events = [self._events[at] for at in places]
        linked = [self._linked[at] for at in places] if self._linked else ()
        for at, fitting in zip(places, bucket.fitting(events, linked), strict=True):
            self._buckets[at] = bucket
            if fitting:
                acting = fitting if bucket.free else _acting(fitting, self._events[at])
                self.matches[at] = [(each.ruleset, each.rule) for each in acting]


class Evaluation:
    """What the rules said about one event. `matches` are the rules that matched, in order."""

    __slots__ = ("_bucket", "_event", "_linked", "_verdicts", "matches")

    def __init__(
        self,
        matches: Matches,
        bucket: BucketIndex | None,
        event: Event,
        linked: Mapping[str, Values],
    ) -> None:
        self.matches = matches
        self._bucket = bucket
        self._event = event
        self._linked = linked
        self._verdicts: tuple[Verdict, ...] | None = None

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """A verdict for every rule considered, in order, with each of its conditions; made when first read."""
        if self._verdicts is None:
            rules = self._bucket.rules if self._bucket else ()
            self._verdicts = tuple(_verdicts(rules, self._event, self._linked))
        return self._verdicts


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
    buckets: Mapping[Bucket, BucketIndex] = field(repr=False)
    _needs: needs.Needs = field(repr=False)

    def evaluate(self, event: Event, linked: Mapping[str, Values] = _NOTHING) -> Evaluation:
        """Judge an event by every rule of its direction (and object).

        `linked[object]` holds the values of the record of that object that a PagerDuty event's incident is linked
        to; what is missing there is blank.
        """
        return self.evaluate_all([event], [linked])[0]

    def evaluate_all(
        self, events: Sequence[Event], linked: Sequence[Mapping[str, Values]] = ()
    ) -> Evaluations:
        """Judge many events, each with the records it is linked to: several times as fast as one by one."""
        found = Evaluations(events, linked)
        places: dict[Bucket, list[int]] = {key: [] for key in self.buckets}
        for at, event in enumerate(events):
            about = None if event.source == PAGERDUTY else event.object
            held = places.get((event.integration, event.source, about))
            if held is not None:
                held.append(at)
        for key, held in places.items():
            if held:
                found.judge(self.buckets[key], held)
        return found

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


def _acting(fitting: Sequence[CompiledRule], event: Event) -> Iterator[CompiledRule]:
    """Yield those of the rules whose conditions hold that match: in scope, and not stopped."""
    stops = _Stops()
    for each in fitting:
        if not stops.before(each.ruleset.mode) and _in_scope(each, event):
            stops.matched(each)
            yield each


def _in_scope(candidate: CompiledRule, event: Event) -> bool:
    return candidate.rule.scope == "all" or candidate.ruleset.name in event.linked_by


def _verdicts(
    considered: Sequence[CompiledRule], event: Event, linked: Mapping[str, Values]
) -> Iterator[Verdict]:
    """Yield what each rule said."""
    stops = _Stops()
    subjects: dict[str, Subject] = {}
    for each in considered:
        about = each.rule.object
        if about not in subjects:
            subjects[about] = subject_of(event, linked, about)
        yield _verdict(each, event, subjects[about], stops)


def _verdict(candidate: CompiledRule, event: Event, subject: Subject, stops: _Stops) -> Verdict:
    """Return what one rule said, with every one of its conditions."""
    ruleset, rule = candidate.ruleset, candidate.rule
    stopper = stops.before(ruleset.mode)
    traces: tuple[ConditionTrace, ...] = ()
    if stopper:
        matched, why = False, f"Not considered: '{stopper}' matched before and says stop."
    else:
        traces = tuple([leaf.trace(subject) for leaf in candidate.leaves])
        matched, why = reason(rule.when, traces)
        if not _in_scope(candidate, event):
            made = "is linked by another ruleset" if event.linked_by else "is not linked"
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
    sealed = {key: BucketIndex(tuple(bucket)) for key, bucket in buckets.items()}
    return CompiledRules(rulesets, sealed, needs.needs_of(rulesets))
