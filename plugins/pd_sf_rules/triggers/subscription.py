"""Salesforce's change events as a doorbell: each says "look now", and nothing else is taken from it."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pd_sf_rules.errors import ConfigError, RateLimitedError, RefusedError, SyncError
from pd_sf_rules.ledger import Ledger, signals
from pd_sf_rules.ledger.signals import Signal
from pd_sf_rules.systems.salesforce.pubsub.change_event import topic_of

if TYPE_CHECKING:
    from pd_sf_rules.systems.salesforce.pubsub.line import Batch, Line

SHORTEST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
SLOW_SECONDS = 300.0
"""The pause after what a person must mend."""

SETTLED_SECONDS = 2.0
"""After so long a new subscription is taken to be in force: what happened on the way to it is looked for then."""

KEPT_EVERY = timedelta(seconds=1)
"""How often the place is kept at most, however many events come."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Subscription:
    """Listens to the change events of one object for ever, and calls `ring` with the newest instant of each answer's.

    It outlasts every trouble: what is wrong is logged once and kept in the ledger, for `health` to tell, and polling
    goes on beside it.
    """

    integration: str
    object_name: str
    line: "Line"
    open_ledger: Callable[[], Ledger]
    ring: Callable[[datetime | None], None]
    failures: int = 0
    _complained: bool = False
    _known: Signal = field(init=False)
    _kept: Signal | None = None

    def __post_init__(self) -> None:
        self._known = Signal(self.object_name)

    async def run(self) -> None:
        """Listen until cancelled; then keep the place."""
        try:
            await self._recall()
            while True:
                pause = await self._listened()
                await asyncio.sleep(pause)
        finally:
            # In a thread of its own, for this task is being cancelled and may not wait.
            if self._kept is not None and self._known != self._kept:
                asyncio.get_running_loop().run_in_executor(None, self._keep, self._known)

    async def _listened(self) -> float:
        """Listen until something ends it, and return how many seconds to wait then."""
        from pd_sf_rules.systems.salesforce.pubsub.refusals import (  # noqa: PLC0415 - gRPC, when it is wanted
            ReplayIdError,
        )

        try:
            await self._subscribed(self._known.replay_id)
        except ReplayIdError as error:
            _log.info("%s Changes since then are read from the cursor.", error)
            self._known = replace(self._known, replay_id=None)
            self.ring(None)
            return await self._failed(error)
        except (ConfigError, RefusedError, RateLimitedError) as error:
            return max(await self._failed(error), SLOW_SECONDS)
        except (SyncError, OSError) as error:
            return await self._failed(error)
        except Exception as error:  # noqa: BLE001 - the doorbell outlasts what nobody thought of
            _log.debug("unexpected", exc_info=True)
            return await self._failed(SyncError(f"Unexpected {type(error).__name__}."))
        return SHORTEST_PAUSE_SECONDS

    async def _subscribed(self, replay_id: bytes | None) -> None:
        """Hear what happens after that place; without one, from some moment on that Salesforce does not tell."""
        topic, loop = topic_of(self.object_name), asyncio.get_running_loop()
        settled = loop.call_later(SETTLED_SECONDS, self.ring, None) if replay_id is None else None
        try:
            async with aclosing(self.line.batches(topic, replay_id)) as batches:
                async for batch in batches:
                    await self._hear(batch)
        finally:
            if settled is not None:
                settled.cancel()

    async def _hear(self, batch: "Batch") -> None:
        """Ring for what changed, and keep the place: in this order, so that nothing is passed over in between."""
        again, now = self.failures > 0, datetime.now(UTC)
        if batch.changed or again:  # after a trouble, what it hid is looked for
            self.ring(max((one.committed_at for one in batch.events), default=None))
        self.failures, self._complained = 0, False
        if again:
            _log.info("Change events of %s come again.", self.object_name)
        for event in batch.events:
            if event.is_gap:
                _log.info("Salesforce tells %s of %s.", event.change, event.object_name)
        self._known = Signal(
            self.object_name,
            replay_id=batch.replay_id or self._known.replay_id,
            heard_at=now,
            changed_at=now if batch.changed else self._known.changed_at,
        )
        kept = self._kept.heard_at if self._kept else None
        if again or kept is None or now - kept >= KEPT_EVERY:
            await asyncio.to_thread(self._keep, self._known)

    async def _failed(self, error: Exception) -> float:
        """Keep what is wrong, and return how many seconds to wait: longer and longer, and never all at once."""
        self.failures += 1
        # A stream ends now and then, and is there again a second later: that is no trouble.
        loud = self.failures > 1 or isinstance(error, ConfigError | RefusedError)
        level = logging.WARNING if loud and not self._complained else logging.DEBUG
        self._complained |= loud
        text = "Change events of %s are not heard, and will be again; polling goes on: %s"
        _log.log(level, text, self.object_name, error)
        since = self._known.broken_since or datetime.now(UTC)
        self._known = replace(self._known, broken_since=since, why=str(error))
        await asyncio.to_thread(self._keep, self._known)
        pause = min(
            SHORTEST_PAUSE_SECONDS * 2.0 ** min(self.failures - 1, 10), LONGEST_PAUSE_SECONDS
        )
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret

    async def _recall(self) -> None:
        """Take up the place that was kept; a ledger that cannot be read gives none."""
        try:
            self._known = await asyncio.to_thread(self._read)
        except (SyncError, OSError) as error:
            _log.debug("The place of %s is not known: %s", self.object_name, error)
        self._kept = self._known
        if (
            self._known.heard_at is not None
        ):  # the time in which nobody listened is not the bus's silence
            self._known = replace(self._known, heard_at=datetime.now(UTC))
            await asyncio.to_thread(self._keep, self._known)

    def _read(self) -> Signal:
        with self.open_ledger().read() as c:
            return signals.signal_of(c, self.integration, self.object_name)

    def _keep(self, known: Signal) -> None:
        try:
            with self.open_ledger().begin() as c:
                signals.keep_signal(c, self.integration, known)
            self._kept = known
        except (
            SyncError,
            OSError,
        ) as error:  # each look asks the ledger too, and says what is wrong with it
            _log.debug("The place of %s is not kept: %s", self.object_name, error)
