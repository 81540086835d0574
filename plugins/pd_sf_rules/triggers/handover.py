"""When the triggerer passes on what its triggers saw: once a second, and a look just before it waits least.

Airflow 3.3 collects the events of all triggers, sleeps a second, and collects again; no setting shortens that. A look
at any moment of that second waits half of it on average, one that ends just before the next collection next to nothing.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field

from anyio._backends._asyncio import _task_states

ROUND_SECONDS = 1.0
"""How long `TriggerRunner.arun` sleeps between two collections."""

MARGIN_SECONDS = 0.05
"""How long before a collection a look is to end: being late costs a whole round."""

REMEMBERED = 5
"""Of so many looks the slowest says how long the next may take."""

_COLLECTING = "TriggerRunner.arun"

_log = logging.getLogger(__name__)


def next_handover() -> float | None:
    """Return the seconds until the triggerer collects events next; None where that is not known.

    Read of the timer that Airflow's loop sleeps by (anyio keeps it with the task). Outside a triggerer, or with an
    Airflow that is built otherwise, nothing is known.
    """
    for task in asyncio.all_tasks():
        if getattr(task.get_coro(), "__qualname__", "") == _COLLECTING:
            state = _task_states.get(task)
            scope = state.cancel_scope if state else None
            left = scope.deadline - asyncio.get_running_loop().time() if scope else -1.0
            return left if 0 <= left <= ROUND_SECONDS else None
    return None


@dataclass(slots=True)
class Handover:
    """Moves the looks of one poll, which `watched` names in the log, to just before a collection."""

    watched: str
    _took: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _told: bool = False

    def looked(self, seconds: float) -> None:
        """Remember how long a look took."""
        self._took.append(seconds)

    def pause(self, seconds: float) -> float:
        """Return a pause of about `seconds`, half a round more or less, after which a look ends just in time.

        Pauses shorter than a round stay as they are: there are several looks to each collection then.
        """
        ahead = next_handover()
        self._tell(known=ahead is not None)
        if ahead is None or seconds < ROUND_SECONDS:
            return seconds
        return in_time(seconds, ahead, max(self._took, default=0.0) + MARGIN_SECONDS)

    def _tell(self, *, known: bool) -> None:
        if self._told:
            return
        self._told = True
        said = (
            "Looks at %s end just before the triggerer collects events."
            if known
            else "When the triggerer collects events is not known: what looks at %s see waits up to a second more."
        )
        _log.info(said, self.watched)


def in_time(pause: float, ahead: float, lead: float) -> float:
    """Return the pause nearest to `pause` after which `lead` seconds are left until a collection.

    `ahead` is in how many seconds the next one is; more follow every `ROUND_SECONDS`.
    """
    late = (pause + lead - ahead) % ROUND_SECONDS
    return pause - late if late <= ROUND_SECONDS / 2 else pause - late + ROUND_SECONDS
