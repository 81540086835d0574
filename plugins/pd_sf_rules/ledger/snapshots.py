"""The values a record or an incident had the last time it was seen."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, or_, select, update
from sqlalchemy.sql.dml import ReturningInsert

from pd_sf_rules.ledger.columns import to_json
from pd_sf_rules.ledger.inserts import chunks, insert_in
from pd_sf_rules.ledger.tables import snapshots
from pd_sf_rules.model import Source, Values


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`values` as last seen, `stamp` the server's own time of that state, `version` counts saves from 1."""

    target_id: str
    values: Values
    stamp: datetime | None
    version: int
    touched_at: datetime


def get_snapshots(
    c: Connection, integration: str, system: Source, object_name: str, ids: Iterable[str]
) -> dict[str, Snapshot]:
    """The snapshots of those records or incidents by id; one never seen is absent."""
    found: dict[str, Snapshot] = {}
    for chunk in chunks(ids):
        rows = c.execute(
            select(snapshots).where(
                snapshots.c.integration == integration,
                snapshots.c.system == system,
                snapshots.c.object == object_name,
                snapshots.c.target_id.in_(chunk),
            )
        )
        for row in rows:
            found[row.target_id] = Snapshot(
                row.target_id, row.field_values, row.stamp, row.version, row.touched_at
            )
    return found


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a record or incident was seen: enough to find its snapshot again."""

    integration: str
    object: str
    target_id: str
    touched_at: datetime


def seen_as(c: Connection, system: Source, target_id: str) -> list[Seen]:
    """The snapshots there are of one record or incident, in any integration and of any object."""
    rows = c.execute(
        select(snapshots).where(snapshots.c.system == system, snapshots.c.target_id == target_id)
    )
    return [Seen(row.integration, row.object, row.target_id, row.touched_at) for row in rows]


def find_by_value(c: Connection, system: Source, names: Iterable[str], value: Any) -> list[Seen]:
    """What was last seen with that value in one of the named fields ("CaseNumber", "number"); reads every snapshot."""
    wanted = list(names)
    spelled = [f"{to_json(name)}: {to_json(value)}" for name in wanted]
    stored = cast(snapshots.c.field_values, Text)
    rows = c.execute(
        select(snapshots).where(
            snapshots.c.system == system,
            or_(*(stored.contains(text, autoescape=True) for text in spelled)),
        )
    )
    return [
        Seen(row.integration, row.object, row.target_id, row.touched_at)
        for row in rows
        if any(row.field_values.get(name) == value for name in wanted)
    ]


def save_snapshot(
    c: Connection,
    integration: str,
    system: Source,
    object_name: str,
    snapshot: Snapshot,
    *,
    expected_version: int | None,
    now: datetime,
) -> bool:
    """Replace what was last seen; False, and nothing changes, when somebody else moved it since it was read.

    `expected_version` is the version that was read, None for a target never seen. The new version is one more.
    """
    values: dict[str, Any] = {
        "field_values": dict(snapshot.values),
        "stamp": snapshot.stamp,
        "touched_at": now,
    }
    if expected_version is None:
        return _insert(c, (integration, system, object_name, snapshot.target_id), values)
    key = _key(integration, system, object_name, snapshot.target_id)
    statement = (
        update(snapshots)
        .where(key, snapshots.c.version == expected_version)
        .values(version=expected_version + 1, **values)
    )
    return c.execute(statement.returning(snapshots.c.version)).first() is not None


def merge_snapshot(
    c: Connection,
    integration: str,
    system: Source,
    object_name: str,
    target_id: str,
    values: Mapping[str, Any],
    *,
    now: datetime,
) -> None:
    """Lay written values over what was last seen, so that their reflection compares equal.

    A target never seen gets a snapshot of these values alone. The stamp stays: only a read moves it.
    """
    name = (integration, system, object_name, target_id)
    if _insert(c, name, {"field_values": dict(values), "stamp": None, "touched_at": now}):
        return
    key = _key(*name)
    seen = c.execute(select(snapshots).where(key).with_for_update()).one()
    c.execute(
        update(snapshots)
        .where(key)
        .values(
            field_values={**seen.field_values, **values},
            version=seen.version + 1,
            touched_at=now,
        )
    )


def _insert(c: Connection, name: tuple[str, str, str, str], values: Mapping[str, Any]) -> bool:
    row = dict(zip(("integration", "system", "object", "target_id"), name, strict=True))
    return c.execute(_adding(c.dialect.name), {**row, "version": 1, **values}).first() is not None


@cache
def _adding(dialect: str) -> ReturningInsert[tuple[int]]:
    statement = insert_in(dialect, snapshots).on_conflict_do_nothing()
    return statement.returning(snapshots.c.version)


def _key(integration: str, system: str, object_name: str, target_id: str) -> ColumnElement[bool]:
    return and_(
        snapshots.c.integration == integration,
        snapshots.c.system == system,
        snapshots.c.object == object_name,
        snapshots.c.target_id == target_id,
    )
