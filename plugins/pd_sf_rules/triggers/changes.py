"""Triggers that ring when Salesforce or PagerDuty changed: for asset watchers and for deferred sensors."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Hashable
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from pd_sf_rules.errors import SyncError
from pd_sf_rules.hooks.runs import ledger_of_process
from pd_sf_rules.hooks.stored import async_connection
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Source
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.settings import Integration, load_integration
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.triggers.doorbell import (
    NOTHING,
    RULES,
    Bell,
    DueBell,
    Topics,
    bell_for,
)

LONGEST_PAUSE_SECONDS = 300.0

_log = logging.getLogger(__name__)


class _ChangesTrigger(BaseEventTrigger):
    """Rings for ever, or once. A trouble on the way is logged once and waited out: a trigger that raises is
    restarted without any pause.

    Triggers of one account share one poll, whatever they listen for; a sensor's has a poll of its own.
    """

    system: Source

    def __init__(
        self,
        integration: str = "default",
        poll_seconds: float = 10.0,
        *,
        topic: str = RULES,
        at_start: bool = True,
    ) -> None:
        """Look every `poll_seconds` for changes about `topic` ("rules" or "notes").

        `at_start` rings at the first look, for what was missed before it.
        """
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.integration = integration
        self.poll_seconds = poll_seconds
        self.topic = topic
        self.at_start = at_start

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make an equal trigger."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self._arguments()

    def _arguments(self) -> dict[str, Any]:
        return {
            "integration": self.integration,
            "poll_seconds": self.poll_seconds,
            "topic": self.topic,
            "at_start": self.at_start,
        }

    def shared_stream_key(self) -> Hashable | None:
        """Return what triggers that share a poll have in common; None polls alone."""
        if not self.at_start:
            return None
        return (self.system, self.integration, self.poll_seconds)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Topics]:
        """Look for ever, and yield the topics of each look that saw something."""
        integration = load_integration(str(kwargs["integration"]))
        bells: tuple[Bell, DueBell] | None = None
        failures = 0
        try:
            while True:
                rang = NOTHING
                try:
                    bells = bells or await cls._bells(integration)
                    rang = await asyncio.to_thread(_either, *bells)
                    failures = 0
                except SyncError as error:
                    failures += 1
                    cls._complain(integration, error, failures)
                if rang:
                    yield rang
                await asyncio.sleep(_pause(float(kwargs["poll_seconds"]), failures))
        finally:
            if bells is not None:
                bells[0].close()

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Topics]
    ) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each look that saw this trigger's topic.

        The event holds no data: the run it starts reads from the cursor.
        """
        async for topics in shared_stream:
            if self.topic in topics:
                yield _ring(self.system)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll alone; without `at_start` the first look only tells what is there already."""
        own = self.open_shared_stream(self._arguments())
        looked = self.at_start
        async for event in self.filter_shared_stream(own):
            if looked:
                yield event
            looked = True

    @classmethod
    async def _bells(cls, integration: Integration) -> tuple[Bell, DueBell]:
        conn_id = (
            integration.salesforce_conn_id
            if cls.system == SALESFORCE
            else integration.pagerduty_conn_id
        )
        spec = await async_connection(conn_id)
        bell = bell_for(
            cls.system, integration, lambda: SalesforceClient(spec), lambda: PagerDutyClient(spec)
        )
        return bell, DueBell(integration, cls.system, ledger_of_process)

    @classmethod
    def _complain(cls, integration: Integration, error: SyncError, failures: int) -> None:
        log = _log.warning if failures == 1 else _log.debug
        log("%s of integration '%s' cannot be watched: %s", cls.system, integration.name, error)


class SalesforceChangesTrigger(_ChangesTrigger):
    """Rings when a watched Salesforce object changed, or an action of that side is due again."""

    system = SALESFORCE


class PagerDutyChangesTrigger(_ChangesTrigger):
    """Rings when PagerDuty has a new log entry, or an action of that side is due again."""

    system = PAGERDUTY


def _ring(system: Source) -> TriggerEvent:
    payload = {"system": system, "seen_at": utc_now().isoformat()}
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow leaves it untyped


def _either(bell: Bell, due: DueBell) -> Topics:
    return bell.rang() | due.rang()


def _pause(poll_seconds: float, failures: int) -> float:
    if not failures:
        return poll_seconds
    longest = max(poll_seconds, LONGEST_PAUSE_SECONDS)
    pause = min(poll_seconds * 2.0 ** min(failures, 20), longest)
    return pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
