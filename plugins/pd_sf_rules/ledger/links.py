"""Which record and which incident belong together."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, bindparam, or_, select, tuple_, update
from sqlalchemy.sql.dml import ReturningInsert

from pd_sf_rules.ledger.columns import plain
from pd_sf_rules.ledger.inserts import chunks, insert_in
from pd_sf_rules.ledger.tables import links
from pd_sf_rules.model import Link


def add_link(c: Connection, link: Link) -> bool:
    """Join a record and an incident; False when they are joined already. A removed link comes back to life."""
    row = {**asdict(link), "removed_at": None}
    return c.execute(_adding(c.dialect.name), row).first() is not None


@cache
def _adding(dialect: str) -> ReturningInsert[tuple[str]]:
    statement = insert_in(dialect, links)
    fresh = {name: statement.excluded[name] for name in ("ruleset", "created_at", "removed_at")}
    return statement.on_conflict_do_update(
        index_elements=["integration", "object", "record_id", "incident_id"],
        set_=fresh,
        where=links.c.removed_at.is_not(None),
    ).returning(links.c.record_id)


def links_of_records(
    c: Connection, integration: str, record_ids: Iterable[str]
) -> dict[str, list[Link]]:
    """The links of those records, oldest first; a record without any is absent."""
    return _links_by(c, links.c.record_id, integration, record_ids)


def links_of_incidents(
    c: Connection, integration: str, incident_ids: Iterable[str]
) -> dict[str, list[Link]]:
    """The links of those incidents, oldest first; an incident without any is absent."""
    return _links_by(c, links.c.incident_id, integration, incident_ids)


def remove_link(
    c: Connection,
    integration: str,
    object_name: str,
    record_id: str,
    incident_id: str,
    *,
    now: datetime | None = None,
) -> bool:
    """Part a record and an incident; False when they were not joined. The row stays, marked as removed."""
    statement = (
        update(links)
        .where(
            links.c.integration == integration,
            links.c.object == object_name,
            links.c.record_id == record_id,
            links.c.incident_id == incident_id,
            links.c.removed_at.is_(None),
        )
        .values(removed_at=now or datetime.now(UTC))
    )
    return c.execute(statement.returning(links.c.record_id)).first() is not None


def all_links(c: Connection, integration: str) -> list[Link]:
    """Every link in force, oldest first."""
    rows = c.execute(
        select(links)
        .where(links.c.integration == integration, links.c.removed_at.is_(None))
        .order_by(links.c.created_at, links.c.record_id, links.c.incident_id)
    )
    return [_link(row) for row in rows]


@dataclass(frozen=True, slots=True)
class PastLink:
    """A link and when it was removed; `removed_at` None: it is in force."""

    link: Link
    removed_at: datetime | None


def find_links(
    c: Connection,
    *,
    integration: str | None = None,
    record_ids: Collection[str] = (),
    incident_ids: Collection[str] = (),
) -> list[PastLink]:
    """Every link, removed ones too, of any of those records or incidents (of all when none is named), oldest first."""
    named = or_(
        links.c.record_id.in_(list(record_ids)), links.c.incident_id.in_(list(incident_ids))
    )
    query = select(links).order_by(links.c.created_at, links.c.record_id, links.c.incident_id)
    if record_ids or incident_ids:
        query = query.where(named)
    if integration is not None:
        query = query.where(links.c.integration == integration)
    return [PastLink(_link(row), row.removed_at) for row in c.execute(query)]


Place = tuple[datetime, str, str]
"""Where a link stands among those of an integration: made when, record, incident."""


def page_of_links(
    c: Connection,
    integration: str,
    *,
    removed: bool = False,
    before: Place | None = None,
    record_ids: Collection[str] = (),
    incident_ids: Collection[str] = (),
    limit: int = 50,
) -> list[PastLink]:
    """Return at most `limit` links in force (or removed ones), newest first, behind the place `before`.

    `record_ids` and `incident_ids`: only those of any of either.
    """
    place = (links.c.created_at, links.c.record_id, links.c.incident_id)
    gone = links.c.removed_at.is_not(None) if removed else links.c.removed_at.is_(None)
    query = select(links).where(links.c.integration == integration, gone)
    if record_ids or incident_ids:
        query = query.where(
            or_(
                links.c.record_id.in_(list(record_ids)), links.c.incident_id.in_(list(incident_ids))
            )
        )
    if before is not None:
        query = query.where(tuple_(*place) < before)
    query = query.order_by(*(column.desc() for column in place)).limit(limit)
    return [PastLink(_link(row), row.removed_at) for row in c.execute(query)]


def _links_by(
    c: Connection, column: Column[Any], integration: str, ids: Iterable[str]
) -> dict[str, list[Link]]:
    found: dict[str, list[Link]] = {}
    for chunk in chunks(ids):
        for row in c.execute(_of(column), {"integration": integration, "ids": chunk}):
            found.setdefault(getattr(row, column.name), []).append(_link(row))
    return found


@cache
def _of(column: Column[Any]) -> Select[tuple[Any, ...]]:
    """Return the query for the links of some records or incidents, put together once."""
    return (
        select(links)
        # Named outright, the integration would lead SQLite to read all of its links in their order.
        .where(plain(links.c.integration) == bindparam("integration"))
        .where(column.in_(bindparam("ids", expanding=True)), links.c.removed_at.is_(None))
        .order_by(links.c.created_at, links.c.record_id, links.c.incident_id)
    )


def _link(row: Row[Any]) -> Link:
    return Link(
        integration=row.integration,
        object=row.object,
        record_id=row.record_id,
        incident_id=row.incident_id,
        ruleset=row.ruleset,
        created_at=row.created_at,
    )
