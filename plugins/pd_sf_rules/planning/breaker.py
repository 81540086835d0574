"""Storm and loop breakers: what would page too often, or go round in circles, waits for a person instead."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pd_sf_rules.planning.kinds import CREATE_INCIDENT, NOTE_COPIES
from pd_sf_rules.settings import Breaker, Limits

APPROVED = "approved"
"""The error kind of an action that a person let through: no breaker stops it again."""


class Candidate(Protocol):
    """What a breaker looks at: an action that is about to go out."""

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
    def error_kind(self) -> str: ...


C = TypeVar("C", bound=Candidate)


@dataclass(frozen=True, slots=True)
class Lately:
    """What went out lately, each count within the minutes of its own breaker."""

    by_rule: Mapping[tuple[str, str], int] = field(default_factory=dict)
    incidents: int = 0
    by_pair: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """One action that has to wait, and the sentence that says why. `storm` names what a person decides about."""

    action_id: str
    storm: str
    why: str


def hold_back(
    candidates: Sequence[C], limits: Limits, lately: Lately
) -> tuple[list[C], list[Held]]:
    """Split what is about to go out into what may go and what is held, keeping the order."""
    by_rule = Counter(lately.by_rule)
    total = lately.incidents
    by_pair = Counter(lately.by_pair)
    going: list[C] = []
    held: list[Held] = []
    for one in candidates:
        why = None if one.error_kind == APPROVED else _why(one, limits, by_rule, total, by_pair)
        if why is not None:
            held.append(Held(one.id, _storm(one, why), why))
            continue
        going.append(one)
        if one.kind == CREATE_INCIDENT:
            by_rule[one.ruleset, one.rule] += 1
            total += 1
        by_pair[pair_name(one)] += 1
    return going, held


def pair_name(one: Candidate) -> str:
    """Name the pair that an action belongs to, well enough to see one going round in circles."""
    return one.record_id or one.incident_id or one.id


def _why(
    one: Candidate,
    limits: Limits,
    by_rule: Mapping[tuple[str, str], int],
    total: int,
    by_pair: Mapping[str, int],
) -> str | None:
    if one.kind in NOTE_COPIES:
        return None
    if one.kind == CREATE_INCIDENT:
        if _is_over(by_rule.get((one.ruleset, one.rule), 0), limits.incidents_per_rule):
            return _sentence(f"Rule '{one.rule}' made", limits.incidents_per_rule, "incidents")
        if _is_over(total, limits.incidents):
            return _sentence("The integration made", limits.incidents, "incidents")
    if _is_over(by_pair.get(pair_name(one), 0), limits.actions_per_pair):
        return _sentence(f"The pair of {pair_name(one)} had", limits.actions_per_pair, "actions")
    return None


def _is_over(count: int, breaker: Breaker) -> bool:
    return breaker.count > 0 and count >= breaker.count


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
