"""How far each stream was read: moved last, and never back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger.inserts import insert
from pd_sf_rules.ledger.tables import cursors

_ONE = select(cursors).where(
    cursors.c.integration == bindparam("integration"), cursors.c.stream == bindparam("stream")
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything of the stream up to `position` was read. `started_at` is where the stream began."""

    integration: str
    stream: str
    position: datetime
    started_at: datetime
    moved_at: datetime
    extra: Mapping[str, Any]


def get_cursor(c: Connection, integration: str, stream: str) -> Cursor | None:
    """The cursor of a stream, None before its first start."""
    row = c.execute(_ONE, {"integration": integration, "stream": stream}).mappings().first()
    return None if row is None else Cursor(**row)


def all_cursors(c: Connection, integration: str | None = None) -> list[Cursor]:
    """Every cursor (of one integration), by integration and stream."""
    query = select(cursors).order_by(cursors.c.integration, cursors.c.stream)
    if integration is not None:
        query = query.where(cursors.c.integration == integration)
    return [Cursor(**row) for row in c.execute(query).mappings()]


def start_cursor(
    c: Connection,
    integration: str,
    stream: str,
    at: datetime,
    *,
    started_at: datetime | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Cursor:
    """Begin a stream at that instant; one that began already stays where it is. The cursor in force comes back.

    `started_at` is where it began by its own stamps, if that differs from its position.
    """
    statement = insert(c, cursors).values(
        integration=integration,
        stream=stream,
        position=at,
        started_at=started_at or at,
        moved_at=datetime.now(UTC),
        extra=dict(extra or {}),
    )
    c.execute(statement.on_conflict_do_nothing())
    cursor = get_cursor(c, integration, stream)
    if cursor is None:
        raise SyncError(f"The cursor of {stream} vanished while it was started.")
    return cursor


def move_cursor(
    c: Connection,
    integration: str,
    stream: str,
    to: datetime,
    *,
    extra: Mapping[str, Any] | None = None,
) -> bool:
    """Move a cursor on; False, and nothing changes, when it stands further on already.

    `extra` replaces what is kept beside the position. Raises SyncError for a stream that was never started.
    """
    values: dict[str, Any] = {"position": to, "moved_at": datetime.now(UTC)}
    if extra is not None:
        values["extra"] = dict(extra)
    statement = (
        update(cursors)
        .where(
            cursors.c.integration == integration,
            cursors.c.stream == stream,
            cursors.c.position <= to,
        )
        .values(values)
    )
    if c.execute(statement.returning(cursors.c.stream)).first() is not None:
        return True
    if get_cursor(c, integration, stream) is None:
        raise SyncError(f"The stream {stream} of integration '{integration}' was never started.")
    return False
