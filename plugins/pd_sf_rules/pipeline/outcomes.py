"""How an attempt ends: done, skipped, failed for good, or to be tried again, and when."""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.errors import (
    ConnectionConfigError,
    RateLimitedError,
    RefusedError,
    RetryableError,
    SkippableError,
    SyncError,
    UncertainError,
)
from pd_sf_rules.ledger import actions, expectations
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.ledger.waiting import Waiting
from pd_sf_rules.pipeline.run import Run, owner, utc_now

LONGEST_WAIT = timedelta(minutes=5)
GIVE_UP_AFTER = timedelta(days=3)
"""A transient error that lasts longer than this is somebody's to look at: the action is failed, and can be replayed."""

LEAST_ATTEMPTS = 10
"""An action that was only paused or held back for that long has not been tried in earnest."""

RATE_LIMITED = "rate_limited"
UNCERTAIN = "uncertain"
TRANSIENT = "transient"
CONNECTION = "connection"
CONFIG = "config"
REFUSED = "refused"
UNLINKED = "unlinked"

LEFT_TO_A_PERSON = "left_to_a_person"
"""The code of an error that asks a person to look: a replay afterwards may send without looking."""


def done(
    c: Connection,
    run: Run,
    action: StoredAction,
    *,
    target: str,
    message: str = "",
    answer: Mapping[str, Any] | None = None,
) -> None:
    """Record that the action had its effect on `target` (ids, comma-joined)."""
    actions.record_outcome(
        c,
        action.id,
        state="applied",
        now=utc_now(),
        message=message,
        target=target,
        answer=answer,
        run_id=run.id,
        terse=run.integration.log.level == "error",
    )


def skipped(c: Connection, run: Run, action: StoredAction, reason: str) -> None:
    """Record that there was nothing to do, and why."""
    actions.record_outcome(
        c, action.id, state="skipped", now=utc_now(), message=reason, run_id=run.id
    )
    expectations.forget(c, action.id)


def failed(
    c: Connection,
    run: Run,
    action: StoredAction,
    error: SyncError,
    *,
    answer: Mapping[str, Any] | None = None,
    in_doubt: bool = False,
) -> None:
    """Record an attempt that raised: failed for good, skipped, or pending again with a time for the next try.

    Without `answer` the parts that are done stay known. `in_doubt` says that only some of the attempt is known to
    have been done. What a doubtful attempt may have caused stays announced, so that its reflection is still known
    as ours.
    """
    if isinstance(error, SkippableError):
        skipped(c, run, action, str(error))
        return
    now = utc_now()
    kind = error_kind(error)
    old = now - action.created_at > GIVE_UP_AFTER and action.attempt >= LEAST_ATTEMPTS
    final = kind in {REFUSED, CONFIG} or old
    stands = actions.get_action(c, action.id) or action
    asked = isinstance(error, RefusedError) and error.code == LEFT_TO_A_PERSON
    unsent = action.in_doubt and stands.sent_at == action.sent_at
    actions.record_outcome(
        c,
        action.id,
        state="failed" if final else "pending",
        now=now,
        message=str(error),
        error_kind=kind,
        answer=stands.answer if answer is None else answer,
        retry_at=None if final else now + wait_before(action.attempt, error),
        run_id=run.id,
        owner=owner(),
        settled=True if asked else False if in_doubt else None,
    )
    if kind != UNCERTAIN and not in_doubt and not unsent:
        expectations.forget(c, action.id)


def error_kind(error: SyncError) -> str:
    """Name an error by what happens next."""
    if isinstance(error, RateLimitedError):
        return RATE_LIMITED
    if isinstance(error, UncertainError):
        return UNCERTAIN
    if isinstance(error, RetryableError):
        return TRANSIENT
    if isinstance(error, ConnectionConfigError):
        return CONNECTION
    return REFUSED if isinstance(error, RefusedError) else CONFIG


def wait_before(attempt: int, error: SyncError) -> timedelta:
    """Return how long to wait: the server's own figure, else 1, 2, 4, ... s with jitter, five minutes at most."""
    if isinstance(error, RateLimitedError):
        return timedelta(seconds=error.retry_after)
    seconds = min(2.0 ** min(attempt - 1, 16), LONGEST_WAIT.total_seconds())
    return timedelta(seconds=seconds * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret


def is_due(action: StoredAction | Waiting, now: datetime, *, eager: bool) -> bool:
    """Say whether a pending action may be tried now; an eager run only respects a server's own waiting time."""
    if action.retry_at is None or action.retry_at <= now:
        return True
    return eager and action.error_kind != RATE_LIMITED
