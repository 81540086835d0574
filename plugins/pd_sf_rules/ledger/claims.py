"""The state machine of an action: who works on it, what went out, and how it ended.

pending ──claim──► claimed ──mark_sent──► claimed, sent ──record_outcome──► applied | skipped | failed | pending
   ▲                  │ release, or the lease ends and another owner claims it
   └──────requeue─────┴── failed
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Update,
    and_,
    bindparam,
    case,
    or_,
    select,
    update,
)

from pd_sf_rules.ledger.attempts import Ended, keep_attempt
from pd_sf_rules.ledger.inserts import chunks
from pd_sf_rules.ledger.tables import actions

Outcome = Literal["applied", "skipped", "failed", "pending"]

FINAL = ("applied", "skipped")
UNCERTAIN = "uncertain"

# Put together once: that takes longer than all else there is to a statement that each action needs.
_NAMED = actions.c.id == bindparam("action_id")
_IS_OWNERS = and_(actions.c.state == "claimed", actions.c.claimed_by == bindparam("owner"))
_COUNTS = and_(_NAMED, actions.c.state.not_in(FINAL))
_COUNTS_FOR_OWNER = and_(_COUNTS, _IS_OWNERS)
_PROGRESS = update(actions).where(_NAMED)
_ENDS = bindparam("ends", type_=actions.c.lease_until.type)
_SENT = (
    update(actions)
    .where(_NAMED, actions.c.state == "claimed")
    .values(lease_until=case((actions.c.lease_until < _ENDS, _ENDS), else_=actions.c.lease_until))
)
_SENT_BY_OWNER = _SENT.where(_IS_OWNERS)


def claim(
    c: Connection, ids: Iterable[str], *, owner: str, now: datetime, lease_seconds: float
) -> set[str]:
    """Take those of `ids` that are free: pending and due, or claimed with a lease that has ended.

    Returns the ids taken; each is this owner's alone until `now` + `lease_seconds`. What another process is
    taking at this moment is left to it.
    """
    taken: set[str] = set()
    for chunk in chunks(ids):
        free = c.scalars(
            select(actions.c.id)
            .where(actions.c.id.in_(chunk), _free(now))
            .order_by(actions.c.id)
            .with_for_update(skip_locked=True)
        ).all()
        if not free:
            continue
        statement = (
            update(actions)
            .where(actions.c.id.in_(free))
            .values(
                state="claimed",
                attempt=actions.c.attempt + 1,
                claimed_by=owner,
                lease_until=now + timedelta(seconds=lease_seconds),
                retry_at=None,
                sent_in_claim=False,
                updated_at=now,
            )
        )
        taken |= _changed(c, statement)
    return taken


def mark_sent(
    c: Connection,
    action_id: str,
    *,
    request: Any,
    now: datetime,
    owner: str | None = None,
    lease_seconds: float = 0.0,
) -> bool:
    """Note, before a request goes out, that it does. Commit it before sending.

    The claim lasts for another `lease_seconds` at least: nobody takes an action over while its request is under way.
    False, and then nothing may be sent, when the action is not claimed any more or `owner`'s lease was taken over.
    """
    written = {"sent_at": now, "sent_in_claim": True, "request": request, "updated_at": now}
    names = {"action_id": action_id, "ends": now + timedelta(seconds=lease_seconds)}
    if owner is None:
        return c.execute(_SENT, names | written).rowcount > 0
    return c.execute(_SENT_BY_OWNER, names | written | {"owner": owner}).rowcount > 0


def record_outcome(  # noqa: PLR0913  an outcome has these parts
    c: Connection,
    action_id: str,
    *,
    state: Outcome,
    now: datetime,
    message: str = "",
    error_kind: str = "",
    target: str | None = None,
    answer: Any = None,
    retry_at: datetime | None = None,
    run_id: str | None = None,
    owner: str | None = None,
    settled: bool | None = None,
    terse: bool = False,
) -> bool:
    """Write down how an attempt ended; `pending` with `retry_at` for one that is to be made again.

    Applied and skipped are final: False, and nothing changes, for an outcome that comes after them. With `owner`
    given, failed and pending count only while the claim is that owner's; applied and skipped, being facts, always.
    `settled` says whether it is known what became of the request, and so whether `sent_at` goes. By default it
    is at a final outcome, and at any other one that answers a request of this claim, unless `error_kind` starts with
    "uncertain". An attempt that broke off before it sent anything leaves the doubt of an earlier one as it was.
    The attempt is kept with its answer (see attempts.py); a `terse` one, of a final outcome, without its bodies.
    """
    counts, names = _COUNTS, {"action_id": action_id}
    if owner is not None and state not in FINAL:
        counts, names = _COUNTS_FOR_OWNER, {"action_id": action_id, "owner": owner}
    ended = Ended(state, message, error_kind, target, answer, run_id, now)
    keep_attempt(c, counts, names, ended, terse=terse)
    values: dict[str, Any] = {
        "state": state,
        "message": message,
        "error_kind": error_kind,
        "answer": answer,
        "retry_at": retry_at,
        "claimed_by": None,
        "lease_until": None,
        "updated_at": now,
    }
    if settled is None and error_kind.lower().startswith(UNCERTAIN):
        settled = False
    if settled or (settled is None and state in FINAL):
        values["sent_at"] = None
    if terse:
        values |= {"request": None, "answer": None}
    if target is not None:
        values["target"] = target
    if run_id is not None:
        values["run_id"] = run_id
    answers = settled is None and state not in FINAL
    return c.execute(_concluding(counts, answers=answers), values | names).rowcount > 0


@cache
def _concluding(counts: ColumnElement[bool], *, answers: bool) -> Update:
    """Return the update of those that count; `answers` ends the doubt of those that sent in this claim."""
    statement = update(actions).where(counts)
    if answers:
        known = case((actions.c.sent_in_claim, None), else_=actions.c.sent_at)
        statement = statement.values(sent_at=known)
    return statement


def note_progress(c: Connection, action_id: str, *, answer: Any) -> None:
    """Keep which parts of a claimed action are done, so that its next attempt goes on behind them."""
    c.execute(_PROGRESS, {"action_id": action_id, "answer": answer})


def replan(
    c: Connection, action_id: str, *, params: Mapping[str, Any], ruleset_version: str
) -> bool:
    """Give a failed action the parameters of a mended ruleset, and let it be tried again."""
    statement = (
        update(actions)
        .where(actions.c.id == action_id, actions.c.state == "failed")
        .values(
            params=dict(params),
            ruleset_version=ruleset_version,
            state="pending",
            attempt=0,
            retry_at=None,
            updated_at=datetime.now(UTC),
        )
    )
    return bool(_changed(c, statement))


def release(c: Connection, ids: Iterable[str], *, owner: str | None = None) -> set[str]:
    """Give claimed actions back untried. One that was never sent does not count the attempt."""
    given: set[str] = set()
    untried = case((actions.c.sent_at.is_(None), actions.c.attempt - 1), else_=actions.c.attempt)
    for chunk in chunks(ids):
        statement = update(actions).where(actions.c.id.in_(chunk), actions.c.state == "claimed")
        if owner is not None:
            statement = statement.where(actions.c.claimed_by == owner)
        given |= _changed(
            c,
            statement.values(
                state="pending",
                attempt=untried,
                claimed_by=None,
                lease_until=None,
                updated_at=datetime.now(UTC),
            ),
        )
    return given


def hurry(c: Connection, ids: Iterable[str]) -> None:
    """Make pending actions due now, whatever their next try was set to."""
    for chunk in chunks(ids):
        c.execute(
            update(actions)
            .where(actions.c.id.in_(chunk), actions.c.state == "pending")
            .values(retry_at=None)
        )


def requeue(c: Connection, ids: Iterable[str]) -> set[str]:
    """Let failed actions be tried again from the first attempt; the ids that were failed come back."""
    queued: set[str] = set()
    for chunk in chunks(ids):
        statement = update(actions).where(actions.c.id.in_(chunk), actions.c.state == "failed")
        queued |= _changed(
            c,
            statement.values(
                state="pending", attempt=0, retry_at=None, updated_at=datetime.now(UTC)
            ),
        )
    return queued


def _free(now: datetime) -> ColumnElement[bool]:
    due = or_(actions.c.retry_at.is_(None), actions.c.retry_at <= now)
    return or_(
        and_(actions.c.state == "pending", due),
        and_(actions.c.state == "claimed", actions.c.lease_until <= now),
    )


def _changed(c: Connection, statement: Update) -> set[str]:
    return set(c.scalars(statement.returning(actions.c.id)))
