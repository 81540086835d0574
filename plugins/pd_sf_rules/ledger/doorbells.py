"""Webhooks that arrived: each says "look now" to whoever waits, and nothing else is taken from it."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select

from pd_sf_rules.ledger.inserts import insert
from pd_sf_rules.ledger.tables import doorbells

REMEMBERED = timedelta(days=3)
"""How long a webhook is known again at least: PagerDuty repeats one for 48 hours (its page on webhook behavior)."""

PING = "pagey.ping"
INCIDENT_EVENTS = "incident."


@dataclass(frozen=True, slots=True)
class Doorbell:
    """One webhook. `event_id` is PagerDuty's own; instants are UTC, `occurred_at` by PagerDuty's clock."""

    integration: str
    event_id: str
    event_type: str
    incident_id: str | None
    occurred_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Rung:
    """What came since a listener last asked: the newest one's place, and how many are about incidents."""

    last_seq: int
    calls: int


def ring(c: Connection, bell: Doorbell) -> bool:
    """Keep a webhook; False, and nothing changes, when its event has come before."""
    statement = insert(c, doorbells).values(**asdict(bell)).on_conflict_do_nothing()
    return c.execute(statement.returning(doorbells.c.seq)).first() is not None


def last_seq(c: Connection, integration: str) -> int:
    """Return the place of the newest webhook of an integration, 0 before the first."""
    query = select(func.max(doorbells.c.seq)).where(doorbells.c.integration == integration)
    return c.execute(query).scalar_one() or 0


def rung_after(c: Connection, integration: str, seq: int) -> Rung:
    """Return what came after `seq`; a ping and the like is there, but calls nobody.

    Two that arrive at once may show in the other order, so that the first is missed: it was close enough to the
    second, after which a listener looks again for some seconds.
    """
    calls = func.count().filter(doorbells.c.event_type.startswith(INCIDENT_EVENTS))
    query = select(func.max(doorbells.c.seq), calls).where(
        doorbells.c.integration == integration, doorbells.c.seq > seq
    )
    newest, called = c.execute(query).one()
    return Rung(newest or seq, called)


def newest_doorbell(
    c: Connection, integration: str, *, event_type: str | None = None
) -> Doorbell | None:
    """Return the webhook of an integration (of that type) that arrived last, None before the first."""
    query = select(doorbells).where(doorbells.c.integration == integration)
    if event_type is not None:
        query = query.where(doorbells.c.event_type == event_type)
    row = c.execute(query.order_by(doorbells.c.seq.desc()).limit(1)).mappings().first()
    if row is None:
        return None
    return Doorbell(**{name: value for name, value in row.items() if name != "seq"})


def forgettable(*, before: datetime, integration: str | None = None) -> ColumnElement[bool]:
    """Say of a doorbell that it arrived before `before` and can be forgotten: nothing of the last three days can.

    The newest of each integration stays: it tells a listener that webhooks come at all.
    """
    until = min(before, datetime.now(UTC) - REMEMBERED)
    later = doorbells.alias("later")
    newer = exists().where(
        later.c.integration == doorbells.c.integration, later.c.seq > doorbells.c.seq
    )
    old = and_(doorbells.c.received_at < until, newer)
    return old if integration is None else and_(old, doorbells.c.integration == integration)
