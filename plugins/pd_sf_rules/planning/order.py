"""Which open actions may go now, so that one pair keeps its order and nothing else waits for it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, Protocol, TypeVar

from pd_sf_rules.planning.kinds import (
    CREATE_INCIDENT,
    CREATE_RECORD,
    NOTE_COPIES,
    WRITES_TO,
    needs_incident,
    needs_record,
)

Hold = Literal["coming", "failed"]


class OpenAction(Protocol):
    """What ordering looks at: an action that is not done yet."""

    @property
    def event_id(self) -> str: ...
    @property
    def ruleset(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def record_id(self) -> str | None: ...
    @property
    def incident_id(self) -> str | None: ...
    @property
    def state(self) -> str: ...
    @property
    def lease_until(self) -> datetime | None: ...


A = TypeVar("A", bound=OpenAction)


@dataclass(slots=True)
class Pair(Generic[A]):
    """One pair's open actions in the order of its events, and what is linked already.

    `has_incident`: an incident is linked that is open, as far as is known; `has_record`: a record is linked.
    """

    actions: list[A] = field(default_factory=list)
    has_incident: bool = False
    has_record: bool = False


def next_actions(
    pairs: Iterable[Pair[A]],
    now: datetime,
    *,
    may_run: Callable[[A], bool],
    is_due: Callable[[A], bool],
) -> list[A]:
    """Return at most one action of each pair: the first that nothing before it holds back.

    - A failed action holds back the rest of its rule for that event, and nothing else.
    - An action that is under way or waits for its next try also holds back later events of its pair that
      write to the same system, so that an older value never overwrites a newer one.
    - An action that `may_run` leaves to another run is carried out all the same when it stands in the way of one
      that may.
    - An action that needs the pair's incident or record waits while the action that creates it is open.
    - Note copies keep an order of their own: a note that cannot cross never delays a resolve.
    """
    chosen = (_first(pair, now, may_run, is_due) for pair in pairs)
    return [action for action in chosen if action is not None]


def _first(
    pair: Pair[A], now: datetime, may_run: Callable[[A], bool], is_due: Callable[[A], bool]
) -> A | None:
    rules: dict[tuple[str, str, str], Hold] = {}
    lanes: dict[str, str] = {}
    creating: dict[str, Hold] = {}
    for place, action in enumerate(pair.actions):
        rule = (action.event_id, action.ruleset, action.rule)
        lane = _lane(action)
        hold = rules.get(rule) or _missing(action, pair, creating)
        if hold is None and lanes.get(lane, action.event_id) != action.event_id:
            hold = "coming"
        if hold is None:
            hold = _own_hold(action, now, is_due)
        if hold is None and (may_run(action) or _in_the_way(pair.actions[place:], may_run)):
            return action
        if hold == "coming":
            lanes.setdefault(lane, action.event_id)
        rules[rule] = hold = hold or "coming"
        if action.kind in {CREATE_INCIDENT, CREATE_RECORD}:
            creating.setdefault(action.kind, hold)
    return None


def _lane(action: OpenAction) -> str:
    return "notes" if action.kind in NOTE_COPIES else WRITES_TO[action.kind]


def _in_the_way(actions: Sequence[A], may_run: Callable[[A], bool]) -> bool:
    """Say whether a later event's action that may run writes to the same system as the first of these."""
    first, *later = actions
    return any(
        may_run(one) and one.event_id != first.event_id and _lane(one) == _lane(first)
        for one in later
    )


def _own_hold(action: A, now: datetime, is_due: Callable[[A], bool]) -> Hold | None:
    if action.state == "failed":
        return "failed"
    if action.state == "claimed":
        under_way = action.lease_until is not None and action.lease_until > now
        return "coming" if under_way else None
    return None if is_due(action) else "coming"


def _missing(action: A, pair: Pair[A], creating: dict[str, Hold]) -> Hold | None:
    if needs_incident(action.kind) and not (action.incident_id or pair.has_incident):
        return creating.get(CREATE_INCIDENT)
    if needs_record(action.kind) and not (action.record_id or pair.has_record):
        return creating.get(CREATE_RECORD)
    return None


def group_by_pair(actions: Sequence[A], pair_of: Callable[[A], str]) -> dict[str, Pair[A]]:
    """Group open actions by the name of their pair, keeping their order."""
    pairs: dict[str, Pair[A]] = {}
    for action in actions:
        pairs.setdefault(pair_of(action), Pair()).actions.append(action)
    return pairs
