"""Forgetting what nothing needs any more, a little at a time: whoever writes meanwhile waits for a moment only."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Table,
    and_,
    delete,
    exists,
    or_,
    select,
    tuple_,
)

from pd_sf_rules.ledger.activity_branches import integrations_in
from pd_sf_rules.ledger.cursors import all_cursors
from pd_sf_rules.ledger.database import Ledger
from pd_sf_rules.ledger.doorbells import forgettable
from pd_sf_rules.ledger.inserts import chunks, insert
from pd_sf_rules.ledger.tables import (
    IS_OPEN,
    actions,
    doorbells,
    events,
    expectations,
    horizons,
    ruleset_versions,
    runs,
)

OVERLAP = timedelta(days=1)  # far more than any look-back of a pull
BATCH = 500  # most rows a transaction: one IN of a statement
FEWEST = 20
LOCKED_SECONDS = 0.1
"""How long one transaction is to take: SQLite lets no other writer in meanwhile."""

LONGEST_PAUSE = 0.25


@dataclass(slots=True)
class _Pace:
    """How many rows the next transaction takes: as many as go in LOCKED_SECONDS on this machine, busy as it is."""

    size: int = 100

    def rest(self, seconds: float) -> None:
        """Learn how long the lock was held, and leave it to the others for as long."""
        wanted = self.size * LOCKED_SECONDS / max(seconds, 0.001)
        self.size = round(min(max(wanted, self.size / 2, FEWEST), self.size * 2, BATCH))
        time.sleep(min(max(seconds, 0.005), LONGEST_PAUSE))


def prune(ledger: Ledger, *, before: datetime, integration: str | None = None) -> dict[str, int]:
    """Forget what is older than `before` (UTC) and not needed to keep from doing things twice; rows gone by table.

    `integration` forgets of that one only (the ruleset versions that are out of force serve all of them).

    Events go with their actions, once judged and settled, if a day behind every cursor of their integration;
    how far they went is kept, and no older event is taken in again. Open actions, links, snapshots, cursors,
    notes and the ruleset versions in force stay for ever. What is to go is looked for beside everything else; it
    goes in transactions of a tenth of a second, with as much time for others between two of them.
    """
    tables = ("events", "actions", "expectations", "ruleset_versions", "runs", "doorbells")
    gone = dict.fromkeys(tables, 0)
    for name in _integrations(ledger) if integration is None else [integration]:
        for events_gone, actions_gone in _prune_events(ledger, name, before):
            gone["events"] += events_gone
            gone["actions"] += actions_gone
        gone["expectations"] += _prune_expectations(ledger, name, before)
    old = runs.c.started_at < before
    mine = old if integration is None else and_(old, runs.c.integration == integration)
    gone["runs"] = _prune_rows(ledger, runs.c.run_id, mine, oldest=runs.c.started_at)
    rung = forgettable(before=before, integration=integration)
    gone["doorbells"] = _prune_rows(ledger, doorbells.c.seq, rung, oldest=doorbells.c.seq)
    gone["ruleset_versions"] = _prune_versions(ledger, before)
    return gone


def _integrations(ledger: Ledger) -> list[str]:
    with ledger.read() as c:
        return sorted({*integrations_in(c), *(one.integration for one in all_cursors(c))})


def _prune_events(ledger: Ledger, integration: str, before: datetime) -> Iterator[tuple[int, int]]:
    """Forget settled events, oldest first; yield how many went with how many actions, each time some are gone."""
    pace = _Pace()
    place: tuple[datetime, int] | None = None
    while True:
        size = pace.size
        with ledger.read() as c:
            found = _settled_events(c, integration, before, place, size)
        if not found:
            return
        with ledger.begin() as c:
            started = time.perf_counter()
            gone = _forget_events(c, integration, before, [row.id for row in found])
        pace.rest(time.perf_counter() - started)
        yield gone
        if len(found) < size:
            return
        place = (found[-1].occurred_at, found[-1].seq)


def _settled_events(
    c: Connection,
    integration: str,
    before: datetime,
    place: tuple[datetime, int] | None,
    limit: int,
) -> Sequence[Row[str, datetime, int]]:
    """Return the oldest events behind `place` that can go."""
    query = select(events.c.id, events.c.occurred_at, events.c.seq).where(
        events.c.integration == integration, _settled(_cutoff(c, integration, before), before)
    )
    if place is not None:
        # The first bound is what the index seeks by; the second sets a tie apart.
        at = tuple_(events.c.occurred_at, events.c.seq)
        query = query.where(events.c.occurred_at >= place[0], at > place)
    return c.execute(query.order_by(events.c.occurred_at, events.c.seq).limit(limit)).all()


def _forget_events(
    c: Connection, integration: str, before: datetime, ids: Sequence[str]
) -> tuple[int, int]:
    """Forget those of the events that are settled still, with their actions; return how many of each."""
    batch = c.execute(
        select(events.c.id, events.c.source, events.c.object, events.c.occurred_at)
        .where(events.c.id.in_(ids), _settled(_cutoff(c, integration, before), before))
        .order_by(events.c.occurred_at, events.c.seq)
        .with_for_update(of=events, skip_locked=True)
    ).all()
    settled = [row.id for row in batch]
    actions_gone = _delete(c, actions, and_(actions.c.event_id.in_(settled), ~IS_OPEN))
    events_gone = _delete(c, events, events.c.id.in_(settled))
    last = {(row.source, row.object or ""): row.occurred_at for row in batch}
    for (source, object_name), until in sorted(last.items()):
        raise_horizon(c, integration, source, object_name, until)
    return events_gone, actions_gone


def _cutoff(c: Connection, integration: str, before: datetime) -> datetime:
    """`before`, or earlier where a cursor in use stands further back: late rows may still come before it.

    A stream that was not read since `before` (its object is watched no more) holds nothing back.
    """
    found = all_cursors(c, integration)
    used = [cursor for cursor in found if cursor.moved_at >= before] or found
    return min([before.astimezone(UTC), *(cursor.position - OVERLAP for cursor in used)])


def _settled(cutoff: datetime, before: datetime) -> ColumnElement[bool]:
    needed = exists().where(
        actions.c.event_id == events.c.id,
        or_(IS_OPEN, actions.c.updated_at >= before),
    )
    return and_(
        events.c.occurred_at < cutoff,
        events.c.received_at < before,
        events.c.state != "pending",
        ~needed,
    )


def raise_horizon(
    c: Connection, integration: str, source: str, object_name: str, until: datetime
) -> None:
    """Note up to when events of a source and object are forgotten; it never goes back."""
    statement = insert(c, horizons).values(
        integration=integration, source=source, object=object_name, forgotten_until=until
    )
    c.execute(
        statement.on_conflict_do_update(
            index_elements=["integration", "source", "object"],
            set_={"forgotten_until": until},
            where=horizons.c.forgotten_until < until,
        )
    )


def _prune_expectations(ledger: Ledger, integration: str, before: datetime) -> int:
    """An effect is awaited no longer once every cursor is a day past it and its action is settled."""
    still_open = exists().where(actions.c.id == expectations.c.action_id, IS_OPEN)
    with ledger.read() as c:
        cutoff = _cutoff(c, integration, before)
    at = expectations.c.expected_at
    old = and_(expectations.c.integration == integration, at < cutoff, ~still_open)
    return _prune_rows(ledger, expectations.c.id, old, oldest=at)


def _prune_rows(
    ledger: Ledger, key: Column[Any], old: ColumnElement[bool], *, oldest: Column[Any]
) -> int:
    """Delete the rows that are old, the oldest first and a few at a time by their key; return how many."""
    gone = 0
    pace = _Pace()
    while True:
        size = pace.size
        with ledger.read() as c:
            batch = c.scalars(select(key).where(old).order_by(oldest).limit(size)).all()
        if not batch:
            return gone
        with ledger.begin() as c:
            started = time.perf_counter()
            gone += _delete(c, key.table, and_(old, key.in_(batch)))
        pace.rest(time.perf_counter() - started)
        if len(batch) < size:
            return gone


def _prune_versions(ledger: Ledger, before: datetime) -> int:
    """Forget the ruleset versions that are out of force and that no action was made by."""
    version = ruleset_versions.c.version
    with ledger.read() as c:
        old = set(c.scalars(select(version).where(_out_of_force(before))))
        made = actions.c.ruleset_version
        used = {
            one
            for some in chunks(old)
            for one in c.scalars(select(made).distinct().where(made.in_(some)))
        }
    gone = 0
    for some in chunks(old - used):
        with ledger.begin() as c:  # a version that came back meanwhile is in force, and stays
            gone += _delete(c, ruleset_versions, and_(_out_of_force(before), version.in_(some)))
    return gone


def _out_of_force(before: datetime) -> ColumnElement[bool]:
    later = ruleset_versions.alias("later")
    return and_(
        ruleset_versions.c.last_seen < before,
        exists().where(
            later.c.path == ruleset_versions.c.path,
            later.c.last_seen > ruleset_versions.c.last_seen,
        ),
    )


def _delete(c: Connection, table: Table, condition: ColumnElement[bool]) -> int:
    return c.execute(delete(table).where(condition)).rowcount
