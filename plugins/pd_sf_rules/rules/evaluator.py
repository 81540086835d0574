"""Events against compiled rules: which rules match, and why or why not.

Rules are compiled once per content into closures and sorted into buckets, so that an event meets only the rules of
its integration, direction and (for Salesforce) object. Matching and explaining use the same judges.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from pd_sf_rules.model import PAGERDUTY, Event, Source, Values, Verdict
from pd_sf_rules.rules import needs
from pd_sf_rules.rules.compiled import CompiledRule, Subject, compile_rule
from pd_sf_rules.rules.fields import FieldTypes
from pd_sf_rules.rules.index import BucketIndex
from pd_sf_rules.rules.ruleset import Rule, Ruleset
from pd_sf_rules.rules.transcript import Said, Script, Stops

Bucket = tuple[str, Source, str | None]
Matches = Sequence[tuple[Ruleset, Rule]]
_NOTHING: Values = MappingProxyType({})


@dataclass(slots=True)
class _Page:
    """Events that one bucket judged: their places among all, what its rules saw of them, and which of them acted."""

    bucket: BucketIndex
    places: Sequence[int]
    subjects: Sequence[Sequence[Subject]]
    acting: Sequence[Sequence[CompiledRule]]


class Evaluations:
    """What the rules said about each of many events. `matches` are the rules that matched, in order, for each.

    What every rule said of every condition is worked out when it is first asked for, for all events at once.
    """

    __slots__ = ("_events", "_pages", "_said", "matches")

    def __init__(self, events: Sequence[Event]) -> None:
        self.matches: list[Matches] = [()] * len(events)
        self._events = events
        self._pages: list[_Page] = []
        self._said: dict[int, tuple[Script, Said]] | None = None

    def __getitem__(self, at: int) -> "Evaluation":
        """Return what they said about the event of that place."""
        return Evaluation(self, at)

    def judge(
        self, bucket: BucketIndex, places: Sequence[int], linked: Sequence[Mapping[str, Values]]
    ) -> None:
        """Judge the events of these places by the rules of a bucket; `linked` are the records of all events."""
        events = [self._events[at] for at in places]
        subjects = bucket.subjects(events, [linked[at] for at in places] if linked else ())
        acting = bucket.fitting(subjects)
        if not bucket.free:
            acting = [
                list(_acting(each, event)) if each else each
                for each, event in zip(acting, events, strict=True)
            ]
        for at, matching in zip(places, acting, strict=True):
            if matching:
                self.matches[at] = [(each.ruleset, each.rule) for each in matching]
        self._pages.append(_Page(bucket, places, subjects, acting))

    def verdicts(self, at: int) -> tuple[Verdict, ...]:
        """Return a verdict for every rule that considered an event, in order, with each of its conditions."""
        script, said = self._observed().get(at, _NO_RULE)
        return tuple(script.verdicts(said))

    def transcript(self, at: int) -> str:
        """Return the same as the JSON that the ledger keeps; `transcript.read` reads it."""
        script, said = self._observed().get(at, _NO_RULE)
        return script.text(said)

    def verdicts_of_matches(self, at: int) -> tuple[Verdict, ...]:
        """Return the verdicts of the rules that matched; no condition of another rule is looked at."""
        if not self.matches[at]:
            return ()
        page = next(page for page in self._pages if at in page.places)
        place = page.places.index(at)
        subjects = [seen[place] for seen in page.subjects]
        return tuple(page.bucket.verdicts(page.acting[place], subjects))

    def _observed(self) -> Mapping[int, tuple[Script, Said]]:
        """Return what came out for each event that rules considered."""
        if self._said is None:
            self._said = {}
            for page in self._pages:
                observer, events = page.bucket.observer, [self._events[at] for at in page.places]
                said = observer.said(events, page.subjects, page.acting)
                for at, each in zip(page.places, said, strict=True):
                    self._said[at] = observer.script, each
        return self._said


_NO_RULE = (Script((), ()), Said(0, (), (), frozenset(), ()))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the rules said about one event, the one at a place among others."""

    _all: Evaluations = field(repr=False)
    _at: int

    @property
    def matches(self) -> Matches:
        """The rules that matched, in order."""
        return self._all.matches[self._at]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """A verdict for every rule considered, in order, with each of its conditions; made when read."""
        return self._all.verdicts(self._at)

    @property
    def verdicts_of_matches(self) -> tuple[Verdict, ...]:
        """The verdicts of the rules that matched."""
        return self._all.verdicts_of_matches(self._at)

    @property
    def transcript(self) -> str:
        """All verdicts as the JSON that the ledger keeps."""
        return self._all.transcript(self._at)


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
        found = Evaluations(events)
        places: dict[Bucket, list[int]] = {key: [] for key in self.buckets}
        for at, event in enumerate(events):
            about = None if event.source == PAGERDUTY else event.object
            held = places.get((event.integration, event.source, about))
            if held is not None:
                held.append(at)
        for key, held in places.items():
            if held:
                found.judge(self.buckets[key], held, linked)
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
    stops = Stops()
    for each in fitting:
        mode, rule = each.ruleset.mode, each.rule
        if not stops.before(mode) and _in_scope(each, event):
            if rule.stop:
                stops.matched(mode, rule.name)
            yield each


def _in_scope(candidate: CompiledRule, event: Event) -> bool:
    return candidate.rule.scope == "all" or candidate.ruleset.name in event.linked_by


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
