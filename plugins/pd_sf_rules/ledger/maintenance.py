"""Looking after a ledger: what is in it, and forgetting what nothing needs any more."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
)

from pd_sf_rules.ledger.cursors import all_cursors
from pd_sf_rules.ledger.database import Ledger
from pd_sf_rules.ledger.doorbells import forget_doorbells
from pd_sf_rules.ledger.inserts import insert
from pd_sf_rules.ledger.migrating import revision
from pd_sf_rules.ledger.tables import (
    IS_OPEN,
    IS_PENDING,
    actions,
    events,
    expectations,
    horizons,
    metadata,
    ruleset_versions,
    runs,
)

OVERLAP = timedelta(days=1)  # far more than any look-back of a pull
BATCH = 500  # events a transaction, so that writers are never kept waiting for long


def stats(ledger: Ledger) -> dict[str, Any]:
    """What the ledger holds, as JSON: `database`, `revision`, `bytes`, `rows` by table.

    Also `events` and `actions` by state, `oldest_pending_event` and `oldest_open_action` (ISO instants or
    None), and `cursors` (position by "integration/stream").
    """
    with ledger.read() as c:
        return {
            "database": ledger.name,
            "revision": revision(c),
            "bytes": _bytes(c),
            "rows": {table.name: _count(c, table) for table in metadata.sorted_tables},
            "events": _by_state(c, events.c.state),
            "actions": _by_state(c, actions.c.state),
            "oldest_pending_event": _oldest(c, events.c.occurred_at, IS_PENDING),
            "oldest_open_action": _oldest(c, actions.c.event_occurred_at, IS_OPEN),
            "cursors": {
                f"{cursor.integration}/{cursor.stream}": cursor.position.isoformat()
                for cursor in all_cursors(c)
            },
        }


def damage(ledger: Ledger) -> list[str]:
    """What is broken in the database file, in SQLite's own words: empty for a sound one, and for PostgreSQL.

    Reads the whole file. Raises ConfigError where it is too broken to be read at all.
    """
    with ledger.read() as c:
        if c.dialect.name != "sqlite":
            return []
        found = [str(row[0]) for row in c.exec_driver_sql("PRAGMA integrity_check(20)")]
        orphans = [str(row[0]) for row in c.exec_driver_sql("PRAGMA foreign_key_check")]
    return [line for line in found if line != "ok"] + [
        f"a row of {table} belongs to nothing" for table in orphans
    ]


def prune(ledger: Ledger, *, before: datetime, integration: str | None = None) -> dict[str, int]:
    """Forget what is older than `before` (UTC) and not needed to keep from doing things twice; rows gone by table.

    `integration` forgets of that one only (the ruleset versions that are out of force serve all of them).

    Events go with their actions, once judged and settled, if a day behind every cursor of their integration;
    how far they went is kept, and no older event is taken in again. Open actions, links, snapshots, cursors,
    notes and the ruleset versions in force stay for ever. Runs in small transactions beside everything else.
    """
    tables = ("events", "actions", "expectations", "ruleset_versions", "runs", "doorbells")
    gone = dict.fromkeys(tables, 0)
    with ledger.read() as c:
        integrations = c.scalars(select(events.c.integration).distinct()).all()
        awaiting = c.scalars(select(expectations.c.integration).distinct()).all()
    for name in sorted({*integrations, *awaiting}):
        if integration not in {None, name}:
            continue
        for batch in _prune_events(ledger, name, before):
            gone["events"] += batch["events"]
            gone["actions"] += batch["actions"]
        gone["expectations"] += _prune_expectations(ledger, name, before)
    old = runs.c.started_at < before
    mine = old if integration is None else and_(old, runs.c.integration == integration)
    gone["runs"] = _prune_rows(ledger, runs.c.run_id, mine)
    with ledger.begin() as c:
        gone["ruleset_versions"] = _delete(c, ruleset_versions, _out_of_force(before))
        gone["doorbells"] = forget_doorbells(c, before=before, integration=integration)
    return gone


def _prune_events(ledger: Ledger, integration: str, before: datetime) -> Iterator[dict[str, int]]:
    while True:
        with ledger.begin() as c:
            cutoff = _cutoff(c, integration, before)
            batch = c.execute(
                select(events.c.id, events.c.source, events.c.object, events.c.occurred_at)
                .where(events.c.integration == integration, _settled(cutoff, before))
                .order_by(events.c.occurred_at, events.c.seq)
                .limit(BATCH)
                .with_for_update(of=events, skip_locked=True)
            ).all()
            ids = [row.id for row in batch]
            done = {"actions": 0, "events": 0}
            for start in range(0, len(ids), 500):
                part = ids[start : start + 500]
                done["actions"] += _delete(c, actions, and_(actions.c.event_id.in_(part), ~IS_OPEN))
                done["events"] += _delete(c, events, events.c.id.in_(part))
            last = {(row.source, row.object or ""): row.occurred_at for row in batch}
            for (source, object_name), until in sorted(last.items()):
                raise_horizon(c, integration, source, object_name, until)
        yield done
        if len(batch) < BATCH:
            return


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
    still_open = exists().where(
        actions.c.id == expectations.c.action_id,
        IS_OPEN,
    )
    with ledger.read() as c:
        cutoff = _cutoff(c, integration, before)
    old = and_(
        expectations.c.integration == integration,
        expectations.c.expected_at < cutoff,
        ~still_open,
    )
    return _prune_rows(ledger, expectations.c.id, old)


def _prune_rows(ledger: Ledger, key: Column[Any], old: ColumnElement[bool]) -> int:
    """Delete the rows that are old, a few at a time by their key; return how many."""
    gone = 0
    while True:
        with ledger.begin() as c:
            batch = c.scalars(select(key).where(old).limit(BATCH)).all()
            done = _delete(c, key.table, and_(old, key.in_(batch))) if batch else 0
        gone += done
        if len(batch) < BATCH:
            return gone


def _out_of_force(before: datetime) -> ColumnElement[bool]:
    later = ruleset_versions.alias("later")
    return and_(
        ruleset_versions.c.last_seen < before,
        exists().where(
            later.c.path == ruleset_versions.c.path,
            later.c.last_seen > ruleset_versions.c.last_seen,
        ),
        ~exists().where(actions.c.ruleset_version == ruleset_versions.c.version),
    )


def _delete(c: Connection, table: Table, condition: ColumnElement[bool]) -> int:
    return c.execute(delete(table).where(condition)).rowcount


def _count(c: Connection, table: Table) -> int:
    return c.execute(select(func.count()).select_from(table)).scalar_one()


def _by_state(c: Connection, state: Column[str]) -> dict[str, int]:
    rows = c.execute(select(state, func.count()).group_by(state).order_by(state))
    return {row[0]: row[1] for row in rows}


def _oldest(c: Connection, column: Column[Any], condition: ColumnElement[bool]) -> str | None:
    oldest = c.execute(select(func.min(column)).where(condition)).scalar_one()
    return None if oldest is None else oldest.isoformat()


def _bytes(c: Connection) -> int:
    if c.dialect.name == "postgresql":
        names: Sequence[str] = [table.name for table in metadata.sorted_tables]
        sizes = (func.pg_total_relation_size(func.to_regclass(name)) for name in names)
        return sum(c.execute(select(*sizes)).one())
    path = Path(str(c.engine.url.database))
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
