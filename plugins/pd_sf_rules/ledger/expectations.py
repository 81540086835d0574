"""What our own writes will look like when they come back as events, so that they are known for echoes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Connection, Insert, delete, select, update

from pd_sf_rules.ledger.inserts import chunks, insert_in
from pd_sf_rules.ledger.tables import OPEN_EXPECTATIONS, expectations
from pd_sf_rules.model import Source


@dataclass(frozen=True, slots=True)
class Expectation:
    """An effect of ours on a target, still to be seen: `effect` is a field name or a word such as `acknowledge`.

    `value` is the written value or a digest of it.
    """

    id: int
    target_id: str
    effect: str
    value: str
    action_id: str
    expected_at: datetime


def expect(
    c: Connection,
    integration: str,
    system: Source,
    target_id: str,
    effects: Mapping[str, str],
    *,
    action_id: str,
    now: datetime,
) -> None:
    """Await the effects of an action; awaiting the same effect of it again only renews value and time."""
    if not effects:
        return
    rows = [
        {
            "integration": integration,
            "system": system,
            "target_id": target_id,
            "effect": effect,
            "value": value,
            "action_id": action_id,
            "expected_at": now,
        }
        for effect, value in effects.items()
    ]
    c.execute(_awaiting(c.dialect.name), rows)


@cache
def _awaiting(dialect: str) -> Insert:
    statement = insert_in(dialect, expectations)
    return statement.on_conflict_do_update(
        index_elements=["action_id", "system", "target_id", "effect"],
        index_where=OPEN_EXPECTATIONS,
        set_={"value": statement.excluded.value, "expected_at": statement.excluded.expected_at},
    )


def open_expectations(
    c: Connection, integration: str, system: Source, target_ids: Iterable[str]
) -> list[Expectation]:
    """What is still awaited on those targets, oldest first."""
    found: list[Expectation] = []
    for chunk in chunks(target_ids):
        rows = c.execute(
            select(expectations).where(
                expectations.c.integration == integration,
                expectations.c.system == system,
                expectations.c.target_id.in_(chunk),
                expectations.c.consumed_by.is_(None),
            )
        )
        found.extend(
            Expectation(
                row.id, row.target_id, row.effect, row.value, row.action_id, row.expected_at
            )
            for row in rows
        )
    return sorted(found, key=lambda awaited: (awaited.expected_at, awaited.id))


def consume(c: Connection, expectation_id: int, event_id: str) -> bool:
    """The event is the effect that was awaited; False when another event was taken for it before."""
    statement = (
        update(expectations)
        .where(expectations.c.id == expectation_id, expectations.c.consumed_by.is_(None))
        .values(consumed_by=event_id)
    )
    return c.execute(statement.returning(expectations.c.id)).first() is not None


def forget(c: Connection, action_id: str) -> int:
    """Await nothing more of an action (it was refused or skipped); how many effects that were comes back."""
    statement = delete(expectations).where(
        expectations.c.action_id == action_id, expectations.c.consumed_by.is_(None)
    )
    return len(c.scalars(statement.returning(expectations.c.id)).all())
