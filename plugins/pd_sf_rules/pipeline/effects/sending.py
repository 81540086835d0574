"""What every effect does around a request: say that it goes out, and name its process as the sender."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.errors import RefusedError, SyncError
from pd_sf_rules.ledger import actions
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.run import owner, utc_now
from pd_sf_rules.planning.kinds import MANY_IN_A_CALL
from pd_sf_rules.planning.windows import CLOCK_DOUBT

DOUBT_MARGIN = CLOCK_DOUBT
"""How exact the comparison of a stamp with this machine's clock is, generously."""

LEASE_SECONDS = 120.0
"""How long a claim lasts: longer than any answer takes, a fresh token's included."""


def lease_seconds(*, many: bool) -> float:
    """Return how long a claim lasts from now on: twice as long where there is much in it that goes one by one."""
    return LEASE_SECONDS * (2 if many else 1)


def going_out(c: Connection, task: Task, request: Any) -> bool:
    """Note that a request goes out; False when another process took the action over, and nothing may be sent.

    The claim lasts anew from then on; of what shares a call, longer: several calls may follow each other.
    """
    action = task.action
    seconds = lease_seconds(many=action.kind in MANY_IN_A_CALL)
    return actions.mark_sent(
        c, action.id, request=request, now=utc_now(), owner=owner(), lease_seconds=seconds
    )


class AnsweredError(Exception):
    """The server answered the request with `error`: it is known what became of it, as far as the error says so."""

    def __init__(self, error: SyncError) -> None:
        super().__init__(str(error))
        self.error = error


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
