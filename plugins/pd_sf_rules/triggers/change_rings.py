"""The pause between two looks at Salesforce, cut short by a change event that came meanwhile."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import Ledger
from pd_sf_rules.systems.salesforce.pubsub.endpoint import check_packages
from pd_sf_rules.triggers.rings import GAP_SECONDS
from pd_sf_rules.triggers.subscription import Subscription

if TYPE_CHECKING:
    from pd_sf_rules.systems.salesforce.pubsub.line import Line

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ChangeRings:
    """Waits between looks, and listens meanwhile to the objects that `wanted` names: none where the signal is off.

    What it names may change from look to look: subscriptions come and go with it. All share one line to Salesforce.
    """

    integration: str
    wanted: Callable[[], Sequence[str]]
    connect: Callable[[], ConnectionSpec]
    open_ledger: Callable[[], Ledger]
    _event: asyncio.Event = field(default_factory=asyncio.Event)
    _rung: bool = False
    _line: "Line | None" = None
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _told: bool = False

    async def pause(self, seconds: float, *, found: bool) -> None:  # noqa: ARG002 - as the webhooks' rings
        """Wait for `seconds`, or until something changed; a storm of events is one look a second."""
        await self._listen_to(self.wanted())
        gap = asyncio.create_task(asyncio.sleep(GAP_SECONDS if self._rung else 0.0))
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
                self._rung = True
                await gap
        except TimeoutError:
            self._rung = self._event.is_set()
        finally:
            gap.cancel()
        self._event.clear()  # before the look: what comes while it looks is looked for by the next

    async def close(self) -> None:
        """Stop listening."""
        await self._listen_to(())

    async def _listen_to(self, objects: Sequence[str]) -> None:
        for gone in self._tasks.keys() - set(objects):
            self._tasks.pop(gone).cancel()
        if objects and self._line is None:
            self._line = self._opened()
        if self._line is None:
            return
        for name in set(objects) - self._tasks.keys():
            subscription = Subscription(
                self.integration, name, self._line, self.open_ledger, self._event.set
            )
            self._tasks[name] = asyncio.create_task(subscription.run(), name=f"changes of {name}")
        if not objects:
            line, self._line = self._line, None
            await line.close()

    def _opened(self) -> "Line | None":
        try:
            check_packages()
        except ConfigError as error:
            if not self._told:
                _log.error("Integration '%s': %s", self.integration, error)
            self._told = True
            return None
        from pd_sf_rules.systems.salesforce.pubsub.line import Line  # noqa: PLC0415 - gRPC, when it is wanted

        return Line(self.connect)
