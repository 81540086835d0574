"""What every effect does around a request: say that it goes out, and name its process as the sender."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.errors import RateLimitedError, RefusedError, RetryableError, SyncError
from pd_sf_rules.ledger import actions
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.prepare import OurFaultError, Task, our_fault
from pd_sf_rules.pipeline.run import Run, owner, utc_now
from pd_sf_rules.planning.windows import CLOCK_DOUBT

DOUBT_MARGIN = CLOCK_DOUBT
"""How exact the comparison of a stamp with this machine's clock is, generously."""

OUT_OF_REACH = 3
"""So many requests in a row without a usable answer: the service, or the way to it, is down."""


def going_out(c: Connection, task: Task, request: Any) -> bool:
    """Note that a request goes out; False when another process took the action over, and nothing may be sent."""
    return actions.mark_sent(c, task.action.id, request=request, now=utc_now(), owner=owner())


class AnsweredError(Exception):
    """The server answered the request with `error`: it is known what became of it, as far as the error says so."""

    def __init__(self, error: SyncError) -> None:
        super().__init__(str(error))
        self.error = error


def one_by_one(run: Run, tasks: Sequence[Task], effect: Callable[[Run, Task], None]) -> None:
    """Carry out tasks singly; an error concludes its own task, a rate limit also those that come after it.

    Any error but the server's answer leaves open what became of a request that went out: it is looked for later.
    After OUT_OF_REACH failures in a row the service is not there: the rest is given back untried, instead of
    waiting for a time-out each.
    """
    limited: SyncError | None = None
    in_a_row = 0
    for place, task in enumerate(tasks):
        if in_a_row >= OUT_OF_REACH:
            with run.ledger.begin() as c:
                actions.release(c, [one.action.id for one in tasks[place:]], owner=owner())
            return
        error, answered = limited, False
        try:
            if limited is None:
                effect(run, task)
        except AnsweredError as answer:
            error, answered = answer.error, True
        except SyncError as other:
            error = other
        except Exception as fault:  # noqa: BLE001  recorded below: one action's fault must not stop the others
            error = our_fault(fault)
        in_a_row = in_a_row + 1 if _unanswered(error) else 0
        if error is None:
            continue
        if isinstance(error, RateLimitedError):
            limited = error
        with run.ledger.begin() as c:
            outcomes.failed(c, run, task.action, error, in_doubt=not answered)


def _unanswered(error: SyncError | None) -> bool:
    """Say whether an error tells of the service and not of this one action."""
    return isinstance(error, RetryableError) and not isinstance(
        error, RateLimitedError | OurFaultError
    )


def already_done(task: Task) -> set[str]:
    """Return the parts of an action that an earlier attempt finished, by the names it gave them."""
    return parts_done(task.action.answer)


def parts_done(answer: Any) -> set[str]:
    """Return the parts that an action's stored answer names as done."""
    return set(answer.get("done", ())) if isinstance(answer, Mapping) else set()


def in_doubt(task: Task, what: str, system: str = "PagerDuty") -> RefusedError:
    """Return the error for a request that may have been done and cannot be looked up afterwards."""
    return RefusedError(
        f"The answer to '{what}' was lost, and {system} has no way to ask whether it was done.",
        hint=f"Look there, then replay or discard action {task.action.id}.",
        code=outcomes.LEFT_TO_A_PERSON,
    )


def doubtful_since(task: Task, server_now: datetime) -> datetime | None:
    """Return the server's time since when a lost request may have taken effect; None when none was lost.

    The request was stamped with this machine's clock, which may differ from the server's by any amount.
    """
    sent_at = task.action.sent_at
    return None if sent_at is None else sent_at + (server_now - utc_now()) - DOUBT_MARGIN
