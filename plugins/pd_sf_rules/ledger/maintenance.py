"""Looking after a ledger: what is in it, whether it is sound. What is forgotten is in pruning.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, func, select

from pd_sf_rules.ledger.cursors import all_cursors
from pd_sf_rules.ledger.database import Ledger
from pd_sf_rules.ledger.migrating import revision
from pd_sf_rules.ledger.pruning import prune, raise_horizon
from pd_sf_rules.ledger.tables import (
    IS_HEARD,
    IS_OPEN,
    IS_PENDING,
    IS_QUIET,
    actions,
    events,
    metadata,
)

__all__ = ["damage", "prune", "raise_horizon", "stats"]


def stats(ledger: Ledger) -> dict[str, Any]:
    """What the ledger holds, as JSON: `database`, `revision`, `bytes`, `rows` by table.

    Also `events` and `actions` by state, `oldest_pending_event` and `oldest_open_action` (ISO instants or
    None), and `cursors` (position by "integration/stream").
    """
    with ledger.read() as c:
        heard, pending = _count(c, events, IS_HEARD), _count(c, events, IS_PENDING)
        return {
            "database": ledger.name,
            "revision": revision(c),
            "bytes": _bytes(c),
            "rows": {table.name: _count(c, table) for table in metadata.sorted_tables},
            "events": _counted({"pending": pending, "evaluated": heard - pending})
            | _by_state(c, events.c.state, IS_QUIET),
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


def _count(c: Connection, table: Table, *which: ColumnElement[bool]) -> int:
    return c.execute(select(func.count()).select_from(table).where(*which)).scalar_one()


def _by_state(c: Connection, state: Column[str], *which: ColumnElement[bool]) -> dict[str, int]:
    rows = c.execute(select(state, func.count()).where(*which).group_by(state).order_by(state))
    return {row[0]: row[1] for row in rows}


def _counted(states: dict[str, int]) -> dict[str, int]:
    return {state: count for state, count in states.items() if count}


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
