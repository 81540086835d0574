"""How much waits, integration by integration: counted, not read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, func, select

from pd_sf_rules.ledger.tables import IS_OPEN, IS_PENDING, IS_WAITING, actions, events

SOURCES = ("salesforce", "pagerduty")
"""Both, so every event: SQLite takes the small index of pending events only when its next column is named too."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Events that wait for their verdicts, and open live actions by (state, error kind); the oldest of each.

    `unjudged_since` is when the event came in that has waited for its verdicts the longest.
    """

    pending_events: int
    oldest_event: datetime | None
    actions: Mapping[tuple[str, str], int]
    oldest_action: datetime | None
    unjudged_since: datetime | None = None

    def count(self, state: str) -> int:
        """Return how many open actions are in that state."""
        return sum(number for (known, _), number in self.actions.items() if known == state)


def queue_of(c: Connection, integration: str) -> Queue:
    """Count what waits of one integration."""
    waiting = c.execute(
        select(func.count(), func.min(events.c.occurred_at), func.min(events.c.received_at)).where(
            events.c.integration == integration, events.c.source.in_(SOURCES), IS_PENDING
        )
    ).one()
    mine = (actions.c.integration == integration, IS_OPEN)
    rows = c.execute(
        select(actions.c.state, actions.c.error_kind, func.count())
        .where(*mine)
        .group_by(actions.c.state, actions.c.error_kind)
    )
    oldest = c.scalar(select(func.min(actions.c.event_occurred_at)).where(*mine))
    counts = {(row[0], row[1]): row[2] for row in rows}
    return Queue(waiting[0], waiting[1], counts, oldest, waiting[2])


@dataclass(frozen=True, slots=True)
class Waits:
    """Pending actions: how many, since when the oldest was planned, and the first message that one of them has."""

    count: int
    oldest: datetime | None
    message: str


def waits_of(
    c: Connection, integration: str, *, but: Collection[str], paused: Collection[str]
) -> Waits:
    """Count what is pending of one integration, without the error kinds `but` and the rulesets `paused`."""
    mine = and_(
        actions.c.integration == integration,
        IS_WAITING,
        actions.c.error_kind.not_in(sorted(but)),
        actions.c.ruleset.not_in(sorted(paused)),
    )
    count, oldest = c.execute(
        select(func.count(), func.min(actions.c.created_at)).where(mine)
    ).one()
    said = (
        select(actions.c.message)
        .where(mine, actions.c.message != "")
        .order_by(actions.c.event_occurred_at, actions.c.event_seq, actions.c.ordinal, actions.c.id)
        .limit(1)
    )
    return Waits(count, oldest, c.scalar(said) or "")
