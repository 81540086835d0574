"""What each run did: its window and its lineage."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from pd_sf_rules.ledger.columns import plain
from pd_sf_rules.ledger.inserts import insert
from pd_sf_rules.ledger.tables import runs


@dataclass(frozen=True, slots=True)
class Run:
    """One pass over one direction. `finished_at` None: it has not ended, or it died."""

    run_id: str
    integration: str
    direction: str
    window_start: datetime | None
    window_end: datetime | None
    lineage: Mapping[str, Any]
    started_at: datetime
    finished_at: datetime | None = None


def save_run(c: Connection, run: Run) -> None:
    """Write a run, or write it again: one row for each run id, integration and direction."""
    row = asdict(run)
    key = ["run_id", "integration", "direction"]
    statement = insert(c, runs).values(**row)
    fresh = {name: value for name, value in row.items() if name not in key}
    c.execute(statement.on_conflict_do_update(index_elements=key, set_=fresh))


def get_run(
    c: Connection, run_id: str, *, integration: str | None = None, direction: str | None = None
) -> Run | None:
    """The run of that id; where several share it, the one started last that fits what else is given."""
    query = select(runs).where(runs.c.run_id == run_id)
    if integration is not None:
        query = query.where(runs.c.integration == integration)
    if direction is not None:
        query = query.where(runs.c.direction == direction)
    row = c.execute(query.order_by(runs.c.started_at.desc()).limit(1)).mappings().first()
    return None if row is None else Run(**row)


def recent_runs(
    c: Connection,
    *,
    integration: str | None = None,
    direction: str | None = None,
    limit: int = 50,
) -> list[Run]:
    """At most `limit` runs that fit what is given, the one started last first."""
    query = select(runs)
    if integration is not None:
        # Of all directions the newest are found by time: the index of one direction would be read and sorted whole.
        column = runs.c.integration if direction is not None else plain(runs.c.integration)
        query = query.where(column == integration)
    if direction is not None:
        query = query.where(runs.c.direction == direction)
    rows = c.execute(query.order_by(runs.c.started_at.desc(), runs.c.run_id).limit(limit))
    return [Run(**row) for row in rows.mappings()]
