"""How much happened when: counted from indexes alone, one range a slot, so that a big ledger answers as fast."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.sql.selectable import ScalarSelect

from pd_sf_rules.ledger.tables import attempts, events


@dataclass(frozen=True, slots=True)
class Slot:
    """What happened from `start` on, for as long as all slots last: events, actions done, attempts that failed."""

    start: datetime
    events: int
    applied: int
    failed: int


def tally(c: Connection, integration: str, edges: Sequence[datetime]) -> list[Slot]:
    """Count by time, between each two neighbours of `edges` (UTC, rising): one slot fewer than edges.

    Events by when they occurred; actions and failures by when their attempt ended, live and shadow alike.
    """
    spans = list(pairwise(edges))
    if not spans:
        return []
    happened = _row(c, [_events(integration, *span) for span in spans])
    applied = _row(c, [_attempts(integration, "applied", *span) for span in spans])
    failed = _row(c, [_attempts(integration, "failed", *span) for span in spans])
    return [
        Slot(span[0], *counts)
        for span, *counts in zip(spans, happened, applied, failed, strict=True)
    ]


def _row(c: Connection, counts: Sequence[ScalarSelect[int]]) -> list[int]:
    return list(c.execute(select(*counts)).one())


def _events(integration: str, since: datetime, until: datetime) -> ScalarSelect[int]:
    at = events.c.occurred_at
    return _count(events.c.integration == integration, at >= since, at < until)


def _attempts(integration: str, state: str, since: datetime, until: datetime) -> ScalarSelect[int]:
    at = attempts.c.ended_at
    mine = (attempts.c.integration == integration, attempts.c.state == state)
    return _count(*mine, at >= since, at < until)


def _count(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).where(*conditions).scalar_subquery()
