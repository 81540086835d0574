"""The pause between two looks at Salesforce, cut short by a change event that came meanwhile."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import Ledger
from pd_sf_rules.systems.salesforce.pubsub.endpoint import check_packages
from pd_sf_rules.triggers.poll import Poll
from pd_sf_rules.triggers.rings import GAP_SECONDS
from pd_sf_rules.triggers.subscription import Subscription

if TYPE_CHECKING:
    from pd_sf_rules.systems.salesforce.pubsub.line import Line

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ChangeRings:
    """Waits between the looks of a poll, and listens meanwhile to what it watches: to nothing where the signal is off.

    What it watches may change from look to look: subscriptions come and go with it. All share one line to Salesforce.
    """

    poll: Poll
    connect: Callable[[], ConnectionSpec]
    open_ledger: Callable[[], Ledger]
    _event: asyncio.Event = field(default_factory=asyncio.Event)
    _rung: bool = False
    _line: "Line | None" = None
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _news: dict[str, datetime] = field(default_factory=dict)
    _complained: bool = False

    async def pause(self, seconds: float, *, found: bool) -> None:  # noqa: ARG002 - as the webhooks' rings
        """Wait for `seconds`, or until something changed; a storm of events is one look a second."""
        await self._listen_to(self.poll.signalled())
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
        # Before the look: what comes while it looks is looked for by the next.
        self._event.clear()
        self.poll.told, self._news = self._news, {}

    def ring(self, object_name: str, changed_at: datetime | None) -> None:
        """Let the next look come now; `changed_at` is when the object was changed last, where that was told."""
        if changed_at is not None:
            self._news[object_name] = max(changed_at, self._news.get(object_name, changed_at))
        self._event.set()

    async def close(self) -> None:
        """Stop listening."""
        await self._listen_to(())

    async def _listen_to(self, objects: Sequence[str]) -> None:
        for gone in self._tasks.keys() - set(objects):
            self._tasks.pop(gone).cancel()
        for name in [name for name, task in self._tasks.items() if task.done()]:
            self._bury(self._tasks.pop(name))
        if objects and self._line is None:
            # Its packages are imported there, which takes a while.
            self._line = await asyncio.to_thread(self._opened)
        if self._line is None:
            return
        for name in set(objects) - self._tasks.keys():
            subscription = Subscription(
                self.poll.integration,
                name,
                self._line,
                self.open_ledger,
                partial(self.ring, name),
            )
            self._tasks[name] = asyncio.create_task(subscription.run(), name=f"changes of {name}")
        if not objects:
            line, self._line = self._line, None
            await line.close()

    def _bury(self, task: asyncio.Task[None]) -> None:
        """Say why a subscription is over that was to go on: another takes its place."""
        why = None if task.cancelled() else task.exception()
        said = "%s of integration '%s' were not listened to any more, and are again: %s"
        name = type(why).__name__ if why else "cancelled"
        _log.warning(said, task.get_name(), self.poll.integration, name, exc_info=why)

    def _opened(self) -> "Line | None":
        try:
            check_packages()
        except ConfigError as error:
            if not self._complained:
                _log.error("Integration '%s': %s", self.poll.integration, error)
            self._complained = True
            return None
        from pd_sf_rules.systems.salesforce.pubsub.line import Line  # noqa: PLC0415 - gRPC, when it is wanted

        return Line(self.connect)
