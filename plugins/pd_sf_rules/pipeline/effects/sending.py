"""What every effect does around a request: say that it goes out, and name its process as the sender."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.errors import RateLimitedError, RefusedError, SyncError
from pd_sf_rules.ledger import actions
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.run import Run, owner, utc_now

DOUBT_MARGIN = timedelta(minutes=2)
"""How exact the comparison of two machines' clocks is, generously."""


def going_out(c: Connection, task: Task, request: Any) -> bool:
    """Note that a request goes out; False when another process took the action over, and nothing may be sent."""
    return actions.mark_sent(c, task.action.id, request=request, now=utc_now(), owner=owner())


def one_by_one(run: Run, tasks: Sequence[Task], effect: Callable[[Run, Task], None]) -> None:
    """Carry out tasks singly; an error concludes its own task, a rate limit also those that come after it."""
    limited: SyncError | None = None
    for task in tasks:
        try:
            if limited is not None:
                raise limited
            effect(run, task)
        except SyncError as error:
            if isinstance(error, RateLimitedError):
                limited = error
            with run.ledger.begin() as c:
                outcomes.failed(c, run, task.action, error)


def already_done(task: Task) -> set[str]:
    """Return the parts of an action that an earlier attempt finished, by the names it gave them."""
    answer = task.action.answer
    return set(answer.get("done", ())) if isinstance(answer, Mapping) else set()


def in_doubt(task: Task, what: str) -> RefusedError:
    """Return the error for a request that may have been done and cannot be looked up afterwards."""
    return RefusedError(
        f"The answer to '{what}' was lost, and PagerDuty has no way to ask whether it was done.",
        hint=f"Look at the incident, then replay or discard action {task.action.id}.",
        code=outcomes.LEFT_TO_A_PERSON,
    )


def doubtful_since(task: Task, server_now: datetime) -> datetime | None:
    """Return the server's time since when a lost request may have taken effect; None when none was lost.

    The request was stamped with this machine's clock, which may differ from the server's by any amount.
    """
    sent_at = task.action.sent_at
    return None if sent_at is None else sent_at + (server_now - utc_now()) - DOUBT_MARGIN
