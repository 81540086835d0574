"""Every attempt at an action, with what went out and what came back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, bindparam, insert, select

from pd_sf_rules.ledger.inserts import chunks
from pd_sf_rules.ledger.tables import actions, attempts


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended; the fields mean what they mean of an action."""

    state: str
    message: str
    error_kind: str
    target: str | None
    answer: Any
    run_id: str | None
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Ended):
    """One attempt. `attempt` counts from 1 since the action was planned or requeued, 0 for one settled untried.

    `sent_at` is when `request` went out, None where nothing did.
    """

    action_id: str
    attempt: int
    request: Any
    sent_at: datetime | None


_TOLD = tuple(part.name for part in fields(Ended))


def keep_attempt(
    c: Connection,
    which: ColumnElement[bool],
    names: Mapping[str, str],
    ended: Ended,
    *,
    terse: bool = False,
) -> None:
    """Write down how the attempt at the action that fits `which` ended; `terse` without request and answer.

    `which` is one of few, and holds parameters: `names` are their values.
    """
    told: dict[str, Any] = {f"told_{name}": getattr(ended, name) for name in _TOLD}
    if terse:
        told["told_answer"] = None
    c.execute(_keeping(which, terse=terse), {**told, **names})


@cache
def _keeping(which: ColumnElement[bool], *, terse: bool) -> Insert:
    parts = [bindparam(f"told_{name}", type_=attempts.c[name].type) for name in _TOLD]
    kept = () if terse else ("request",)
    copied = ("attempt", "sent_at", "integration", "ruleset", "rule", *kept)
    row = select(actions.c.id, *(actions.c[name] for name in copied), *parts).where(which)
    return insert(attempts).from_select(["action_id", *copied, *_TOLD], row)


def attempts_of(c: Connection, action_ids: Iterable[str]) -> dict[str, list[Attempt]]:
    """The attempts at those actions, oldest first; an action never tried is absent."""
    found: dict[str, list[Attempt]] = {}
    told = [attempts.c[part.name] for part in fields(Attempt)]
    for chunk in chunks(action_ids):
        rows = c.execute(
            select(*told).where(attempts.c.action_id.in_(chunk)).order_by(attempts.c.seq)
        )
        for row in rows.mappings():
            found.setdefault(row["action_id"], []).append(
                Attempt(**{str(name): value for name, value in row.items()})
            )
    return found
