"""Storm and loop breakers: what would page too often, or go round in circles, waits for a person instead.

They count by the time of the change, not by the time of sending: what an outage kept back is as many pages as it
would have been without the outage. Only what is older than a day when it goes out counts by its sending: nobody
expects a backfill to page a hundred times at once.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from pd_sf_rules.planning.kinds import CREATE_INCIDENT, NOTE_COPIES
from pd_sf_rules.settings import Breaker, Limits

APPROVED = "approved"
"""The error kind of an action that a person let through."""

OLD_NEWS = timedelta(days=1)
"""A change that is older than this when it goes out counts at the time it goes out."""


class Candidate(Protocol):
    """What a breaker looks at: an action that is about to go out. `storm` names what it was held for before."""

    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def ruleset(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def record_id(self) -> str | None: ...
    @property
    def incident_id(self) -> str | None: ...
    @property
    def event_occurred_at(self) -> datetime: ...
    @property
    def storm(self) -> str | None: ...


C = TypeVar("C", bound=Candidate)


@dataclass(frozen=True, slots=True)
class Lately:
    """When what went out before counts (see `moment_of`), in any order."""

    by_rule: Mapping[tuple[str, str], Sequence[datetime]] = field(default_factory=dict)
    incidents: Sequence[datetime] = ()
    by_pair: Mapping[str, Sequence[datetime]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """One action that has to wait, and the sentence that says why. `storm` names what a person decides about."""

    action_id: str
    storm: str
    why: str


@dataclass(slots=True)
class _Counts:
    """What went out, sorted, with what goes out now added as it is let through."""

    by_rule: dict[tuple[str, str], list[datetime]]
    incidents: list[datetime]
    by_pair: dict[str, list[datetime]]

    def add(self, one: Candidate, moment: datetime) -> None:
        if one.kind == CREATE_INCIDENT:
            insort(self.by_rule.setdefault((one.ruleset, one.rule), []), moment)
            insort(self.incidents, moment)
        insort(self.by_pair.setdefault(pair_name(one), []), moment)


def moment_of(occurred_at: datetime, going_out: datetime) -> datetime:
    """Return when an action counts: at its change, or, where that is old news, when it goes out."""
    return going_out if going_out - occurred_at > OLD_NEWS else occurred_at


def hold_back(
    candidates: Sequence[C], limits: Limits, lately: Lately, now: datetime
) -> tuple[list[C], list[Held]]:
    """Split what is about to go out into what may go and what is held, keeping the order.

    What a person let through (it names a storm) goes, and counts for nothing.
    """
    counts = _Counts(
        {rule: sorted(times) for rule, times in lately.by_rule.items()},
        sorted(lately.incidents),
        {pair: sorted(times) for pair, times in lately.by_pair.items()},
    )
    going: list[C] = []
    held: list[Held] = []
    for one in candidates:
        moment = moment_of(one.event_occurred_at, now)
        why = None if one.storm is not None else _why(one, limits, counts, moment)
        if why is not None:
            held.append(Held(one.id, _storm(one, why), why))
            continue
        going.append(one)
        if one.storm is None:
            counts.add(one, moment)
    return going, held


def pair_name(one: Candidate) -> str:
    """Name the pair that an action belongs to, well enough to see one going round in circles."""
    return one.record_id or one.incident_id or one.id


def _why(one: Candidate, limits: Limits, counts: _Counts, moment: datetime) -> str | None:
    if one.kind in NOTE_COPIES:
        return None
    if one.kind == CREATE_INCIDENT:
        by_rule = counts.by_rule.get((one.ruleset, one.rule), ())
        if _is_over(by_rule, moment, limits.incidents_per_rule):
            return _sentence(f"Rule '{one.rule}' made", limits.incidents_per_rule, "incidents")
        if _is_over(counts.incidents, moment, limits.incidents):
            return _sentence("The integration made", limits.incidents, "incidents")
    if _is_over(counts.by_pair.get(pair_name(one), ()), moment, limits.actions_per_pair):
        return _sentence(f"The pair of {pair_name(one)} had", limits.actions_per_pair, "actions")
    return None


def _is_over(times: Sequence[datetime], moment: datetime, breaker: Breaker) -> bool:
    """Say whether the minutes before this moment, or those after it, hold as many as the breaker lets through.

    After it, because what comes late, or in the wrong order, must not get past the breaker.
    """
    if breaker.count == 0 or len(times) < breaker.count:
        return False
    span = timedelta(minutes=breaker.minutes)
    before = bisect_right(times, moment) - bisect_right(times, moment - span)
    after = bisect_left(times, moment + span) - bisect_left(times, moment)
    return max(before, after) >= breaker.count


def _sentence(who: str, breaker: Breaker, what: str) -> str:
    return f"{who} {breaker.count} {what} in {breaker.minutes} minutes; the rest waits for your decision."


def _storm(one: Candidate, why: str) -> str:
    if why.startswith("The pair"):
        return f"loop of {pair_name(one)}"
    return f"{one.ruleset} / {one.rule}"


def told(held: Iterable[Held]) -> dict[str, tuple[int, str]]:
    """Return by storm how many actions it holds, and why."""
    storms: dict[str, tuple[int, str]] = {}
    for one in held:
        count, _ = storms.get(one.storm, (0, one.why))
        storms[one.storm] = (count + 1, one.why)
    return storms
