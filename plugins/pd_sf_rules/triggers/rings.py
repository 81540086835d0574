"""The pause between two looks of a poll, cut short by a webhook that arrived meanwhile."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import Ledger, doorbells

LISTEN_SECONDS = 0.25
"""How often the ledger is asked for new webhooks, by one read through an index: it is what they wait at most."""

FIRST_SECONDS = 5.0
"""How often where none ever came."""

GAP_SECONDS = 1.0
"""The shortest time between two looks that webhooks bring about: a storm of them is one look a second."""

LOOK_AGAIN_SECONDS = (0.4, 0.8, 1.6, 3.2)
"""The pauses of the looks after a webhook whose log entry is not visible yet."""


@dataclass(slots=True)
class Rings:
    """Waits between looks, and asks the ledger meanwhile: seldom as long as no webhook ever came.

    The ledger is shared by all hosts: the endpoint that took the webhook may be on any of them.
    """

    integration: str
    open_ledger: Callable[[], Ledger]
    _heard: int | None = None
    _unanswered: int = 0
    _rung: bool = False
    _again: list[float] = field(default_factory=list)

    def listen(self) -> None:
        """Take what came before the first look as heard. A ledger that cannot be read is asked later."""
        self._calls()

    async def pause(self, seconds: float, *, found: bool) -> None:
        """Wait for `seconds`, or until a webhook came. `found` says whether the last look told anything.

        After a webhook whose look found nothing, the next looks follow within seconds.
        """
        looked_at, rung = time.monotonic(), False
        self._after_look(found=found)
        latest = looked_at + seconds
        until = min(latest, looked_at + self._again.pop(0)) if self._again else latest
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, LISTEN_SECONDS if self._heard else FIRST_SECONDS))
            calls = await asyncio.to_thread(self._calls)
            if calls:
                self._unanswered += calls
                self._again = list(LOOK_AGAIN_SECONDS)
                until = min(latest, looked_at + (GAP_SECONDS if self._rung else 0.0))
                rung = True
        self._rung = rung

    async def close(self) -> None:
        """Hold nothing that would have to be closed; see `ChangeRings.close`."""

    def _after_look(self, *, found: bool) -> None:
        """One webhook is answered by a look that found something; of several, the others may come later."""
        if found and self._unanswered == 1:
            self._again.clear()
        if found or not self._again:
            self._unanswered = 0

    def _calls(self) -> int:
        """Return how many webhooks about incidents came since the last question."""
        try:
            with self.open_ledger().read() as c:
                if self._heard is None:
                    self._heard = doorbells.last_seq(c, self.integration)
                    return 0
                rung = doorbells.rung_after(c, self.integration, self._heard)
        except (SyncError, OSError):
            return 0  # each look asks the ledger too, and says what is wrong with it
        self._heard = rung.last_seq
        return rung.calls
