"""Triggers that ring when Salesforce or PagerDuty changed: for asset watchers and for deferred sensors."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from pd_sf_rules.hooks.runs import ledger_of_process
from pd_sf_rules.hooks.stored import stored_connection
from pd_sf_rules.ledger import Ledger
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Source
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.settings import load_integration
from pd_sf_rules.triggers.change_rings import ChangeRings
from pd_sf_rules.triggers.doorbell import RULES, Topics
from pd_sf_rules.triggers.handover import Handover
from pd_sf_rules.triggers.poll import Poll
from pd_sf_rules.triggers.rings import Rings


class ChangesTrigger(BaseEventTrigger):
    """Rings for ever. A trouble on the way is logged once and waited out: a trigger that raises is restarted
    without any pause.

    Triggers of one side of an integration share one poll, whatever they listen for; one that goes on from a
    `baseline` has a poll of its own.
    """

    system: Source

    def __init__(
        self,
        integration: str = "default",
        poll_seconds: float = 10.0,
        *,
        topic: str = RULES,
        baseline: Mapping[str, Any] | None = None,
    ) -> None:
        """Look every `poll_seconds` for changes about `topic` ("rules" or "notes").

        Rings at the first look, for what was missed before it, and then at each change. With `baseline` (what
        `first_look` returned) it rings only at changes since that look.
        """
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.integration = integration
        self.poll_seconds = poll_seconds
        self.topic = topic
        self.baseline = baseline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make an equal trigger."""
        arguments = {
            "integration": self.integration,
            "poll_seconds": self.poll_seconds,
            "topic": self.topic,
        }
        if self.baseline is not None:
            arguments["baseline"] = dict(self.baseline)
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    def shared_stream_key(self) -> Hashable | None:
        """Return what triggers that share a poll have in common; None polls alone."""
        if self.baseline is not None:
            return None
        return (self.system, self.integration, self.poll_seconds)

    @classmethod
    def first_look(cls, integration: str) -> dict[str, Any]:
        """Look once, and return what is there as a `baseline`; raises SyncError when that cannot be."""
        poll = Poll(cls.system, integration, stored_connection)
        try:
            poll.changes()
            return poll.remembered()
        finally:
            poll.close()

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Topics]:
        """Look for ever, and yield the topics of each look: often none. What `_rings` hears brings the next forward."""
        baseline = kwargs.get("baseline")
        ledger = ledger_of_process if baseline is None else None
        poll = Poll(cls.system, str(kwargs["integration"]), stored_connection, ledger)
        if baseline is not None:
            poll.remember(baseline)
        rings = _rings(poll, ledger) if ledger else None
        handover = Handover(f"{poll.system} of integration '{poll.integration}'")
        # A thread of its own: one account that never answers must not use up those that all accounts share.
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"look at {poll.integration}")
        look = partial(asyncio.get_running_loop().run_in_executor, thread, poll.look)
        try:
            if isinstance(rings, Rings):
                await asyncio.to_thread(rings.listen)
            while True:
                began = time.monotonic()
                seen = await look()
                handover.looked(time.monotonic() - began)
                if seen is not None:
                    yield seen
                pause = poll.pause(float(kwargs["poll_seconds"]))
                if poll.failures:  # a side in trouble is not asked more often
                    await asyncio.sleep(pause)
                elif rings is None:
                    await asyncio.sleep(handover.pause(pause))
                else:
                    await rings.pause(handover.pause(pause), found=bool(seen))
        finally:
            poll.close()
            thread.shutdown(wait=False, cancel_futures=True)
            if rings is not None:
                await rings.close()

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Topics]
    ) -> AsyncIterator[TriggerEvent]:
        """Yield an event for the first look that this trigger hears of, and for each that saw its topic.

        The event holds no data: the run it starts reads from the cursor.
        """
        owed = self.baseline is None
        async for topics in shared_stream:
            if owed or self.topic in topics:
                owed = False
                yield _ring(self.system)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll alone."""
        _, arguments = self.serialize()
        async for event in self.filter_shared_stream(self.open_shared_stream(arguments)):
            yield event


class SalesforceChangesTrigger(ChangesTrigger):
    """Rings when a watched Salesforce object changed, or an action of that side is due again."""

    system = SALESFORCE


class PagerDutyChangesTrigger(ChangesTrigger):
    """Rings when PagerDuty has a new log entry, or an action of that side is due again."""

    system = PAGERDUTY


def _rings(poll: Poll, ledger: Callable[[], Ledger]) -> Rings | ChangeRings:
    """Return what cuts the pauses of a poll short: PagerDuty's webhooks, or Salesforce's change events."""
    if poll.system == PAGERDUTY:
        return Rings(poll.integration, ledger)
    return ChangeRings(
        poll,
        lambda: stored_connection(load_integration(poll.integration).salesforce_conn_id),
        ledger,
    )


def _ring(system: Source) -> TriggerEvent:
    payload = {"system": system, "seen_at": utc_now().isoformat()}
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
