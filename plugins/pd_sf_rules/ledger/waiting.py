"""What may go next: the few columns of open actions that decide it, read page by page and pair by pair.

Nothing here reads what is held or failed, unless it stands before something that may go.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)

from pd_sf_rules.ledger.columns import plain
from pd_sf_rules.ledger.inserts import chunks
from pd_sf_rules.ledger.tables import IS_CLAIMED, IS_OPEN, IS_WAITING, actions
from pd_sf_rules.planning.kinds import NOTE_COPIES

Place = tuple[datetime, int, int, str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An open action as far as its order, its time and the breakers ask; the names are StoredAction's."""

    id: str
    event_id: str
    event_occurred_at: datetime
    event_seq: int
    ordinal: int
    ruleset: str
    rule: str
    kind: str
    record_id: str | None
    incident_id: str | None
    state: str
    lease_until: datetime | None
    retry_at: datetime | None
    error_kind: str
    storm: str | None

    @property
    def place(self) -> Place:
        """Where it stands in the order of events."""
        return self.event_occurred_at, self.event_seq, self.ordinal, self.id


_COLUMNS = tuple(actions.c[one.name] for one in fields(Waiting))
_PLACE = (actions.c.event_occurred_at, actions.c.event_seq, actions.c.ordinal, actions.c.id)
_AFTER = tuple(f"after_{one.name}" for one in _PLACE)

_HAS_MESSAGE: ColumnElement[bool] = literal_column("(actions.message <> '')")


def of_direction(direction: str) -> ColumnElement[bool]:
    """What a direction carries out: the actions of its own events; copies of notes belong to "notes"."""
    copies = actions.c.kind.in_(sorted(NOTE_COPIES))
    return (
        copies
        if direction == "notes"
        else and_(~copies, plain(actions.c.event_id).startswith(f"{direction}:", autoescape=True))
    )


def due_actions(
    c: Connection,
    integration: str,
    direction: str,
    *,
    now: datetime,
    eager: bool,
    released: bool,
    after: Place | None = None,
    limit: int,
) -> list[Waiting]:
    """The next actions behind `after` that are due, or were left by a dead process, in the order of their events.

    `eager` brings those along that wait for their next try, unless a server asked for the wait. `released`
    brings those that a person let through, and no other. What stands behind a failed action of its own
    rule and event is left out.
    """
    asked = {"integration": integration, "now": now, "most": limit}
    if after is not None:
        asked |= dict(zip(_AFTER, after, strict=True))
    queries = _due(direction, eager=eager, released=released, goes_on=after is not None)
    return [Waiting(*row) for query in queries for row in c.execute(query, asked)]


@cache
def _due(
    direction: str, *, eager: bool, released: bool, goes_on: bool
) -> tuple[Select[tuple[Any, ...]], ...]:
    """Return the queries for what is due, put together once: every pass asks some of them several times."""
    now = bindparam("now", type_=actions.c.retry_at.type)
    time = or_(actions.c.retry_at.is_(None), actions.c.retry_at <= now)
    if eager:
        time = or_(time, actions.c.error_kind != "rate_limited")
    mine = and_(
        actions.c.integration == bindparam("integration"),
        of_direction(direction),
        actions.c.storm.is_not(None) if released else actions.c.storm.is_(None),
    )
    pending = (
        select(*_COLUMNS)
        .where(IS_WAITING, mine, time, ~_behind_failed())
        .order_by(*_PLACE)
        .limit(bindparam("most", type_=Integer))
    )
    if goes_on:
        # The first bound is what the index seeks by; the second sets a tie apart.
        after = [bindparam(name, type_=one.type) for name, one in zip(_AFTER, _PLACE, strict=True)]
        return (
            pending.where(
                actions.c.event_occurred_at >= after[0], tuple_(*_PLACE) > tuple_(*after)
            ),
        )
    left = select(*_COLUMNS).where(IS_CLAIMED, mine, actions.c.lease_until <= now)
    return left, pending


def _behind_failed() -> ColumnElement[bool]:
    before = actions.alias("before")
    return exists().where(
        before.c.event_id == actions.c.event_id,
        before.c.ruleset == actions.c.ruleset,
        before.c.rule == actions.c.rule,
        before.c.ordinal < actions.c.ordinal,
        before.c.state == "failed",
        before.c.mode == "live",
    )


def open_actions_of(
    c: Connection, integration: str, *, records: Iterable[str], incidents: Iterable[str]
) -> list[Waiting]:
    """All open actions of those records, and those of the incidents that name no record, in their order."""
    found: dict[str, Waiting] = {}
    # The integration is compared here: in the query it would lead the database to the index of all that is open.
    asked = (
        (actions.c.record_id, records, true()),
        (actions.c.incident_id, incidents, actions.c.record_id.is_(None)),
    )
    query = select(*_COLUMNS, actions.c.integration)
    for column, ids, more in asked:
        for chunk in chunks(ids):
            for row in c.execute(query.where(column.in_(chunk), more, IS_OPEN)):
                if row.integration == integration:
                    found[row.id] = Waiting(*row[:-1])
    return sorted(found.values(), key=lambda one: one.place)


def get_waiting(c: Connection, ids: Iterable[str]) -> list[Waiting]:
    """Those actions as they stand now, open or not."""
    query = select(*_COLUMNS)
    return [
        Waiting(*row)
        for chunk in chunks(ids)
        for row in c.execute(query.where(actions.c.id.in_(chunk)))
    ]


def to_try_again(c: Connection, integration: str, ids: Iterable[str], *, but: str) -> list[Waiting]:
    """Those of the actions that are live, of that integration, and pending or failed, not by the error kind `but`."""
    return [
        Waiting(*row)
        for chunk in chunks(ids)
        for row in c.execute(
            select(*_COLUMNS).where(
                actions.c.id.in_(chunk),
                plain(actions.c.integration) == integration,
                actions.c.mode == "live",
                actions.c.state.in_(("pending", "failed")),
                actions.c.error_kind != but,
            )
        )
    ]


def claimants(c: Connection, integration: str) -> dict[str, list[str]]:
    """The ids of the claimed actions, by the process that claimed them."""
    rows = c.execute(
        select(actions.c.claimed_by, actions.c.id).where(
            actions.c.integration == integration, IS_CLAIMED
        )
    )
    found: dict[str, list[str]] = {}
    for owner, action_id in rows:
        found.setdefault(owner or "", []).append(action_id)
    return found


def next_try(
    c: Connection,
    integration: str,
    direction: str,
    *,
    now: datetime,
    but: Collection[str],
    paused: Collection[str],
) -> datetime | None:
    """When the first pending action of a direction is tried again, None where none waits for that.

    `but` are the error kinds, `paused` the rulesets ("" for all) of those that wait for something else.
    """
    if "" in paused:
        return None
    query = select(func.min(actions.c.retry_at)).where(
        actions.c.integration == integration,
        IS_WAITING,
        actions.c.retry_at > now,
        actions.c.error_kind.not_in(sorted(but)),
        of_direction(direction),
    )
    if paused:
        query = query.where(actions.c.ruleset.not_in(sorted(paused)))
    at: datetime | None = c.scalar(query)
    return at


def due_tries(c: Connection, integration: str, *, now: datetime) -> list[tuple[str, str, datetime]]:
    """The event id, id and `retry_at` of the pending actions whose next try is due."""
    rows = c.execute(
        select(actions.c.event_id, actions.c.id, actions.c.retry_at).where(
            actions.c.integration == integration,
            IS_WAITING,
            actions.c.retry_at <= now,
        )
    )
    return [(row[0], row[1], row[2]) for row in rows]


def count_waiting(c: Connection, integration: str, direction: str) -> int:
    """How many actions of a direction are pending."""
    found = select(func.count()).where(
        actions.c.integration == integration, IS_WAITING, of_direction(direction)
    )
    return c.scalar(found) or 0


def counts_of_run(
    c: Connection, integration: str, run_id: str, direction: str | None = None
) -> dict[tuple[str, str, bool], int]:
    """How many actions a run touched last, by (state, error kind, whether there is a message)."""
    query = select(actions.c.state, actions.c.error_kind, _HAS_MESSAGE, func.count()).where(
        plain(actions.c.integration) == integration, actions.c.run_id == run_id
    )
    if direction is not None:
        query = query.where(of_direction(direction))
    rows = c.execute(query.group_by(actions.c.state, actions.c.error_kind, _HAS_MESSAGE))
    return {(row[0], row[1], bool(row[2])): row[3] for row in rows}


def failed_for_good(
    c: Connection, integration: str, run_id: str, *, held: str
) -> tuple[int, str | None]:
    """How many actions failed for good in a run, and the id of the first; `held` is the error kind left out."""
    mine = and_(
        plain(actions.c.integration) == integration,
        actions.c.run_id == run_id,
        plain(actions.c.state) == "failed",
        actions.c.error_kind != held,
    )
    number = c.scalar(select(func.count()).select_from(actions).where(mine)) or 0
    first = select(actions.c.id).where(mine).order_by(*_PLACE).limit(1)
    return number, c.scalar(first) if number else None
