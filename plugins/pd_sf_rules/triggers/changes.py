"""Triggers that ring when Salesforce or PagerDuty changed: for asset watchers and for deferred sensors."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from pd_sf_rules.errors import SyncError
from pd_sf_rules.hooks.runs import ledger_of_process
from pd_sf_rules.hooks.stored import async_connection
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Source
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.settings import load_integration
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.triggers.doorbell import Bell, DueBell, bell_for

LONGEST_PAUSE_SECONDS = 300.0

_log = logging.getLogger(__name__)


class _ChangesTrigger(BaseEventTrigger):
    """Rings for ever, or once. A trouble on the way is logged once and waited out: a trigger that raises is
    restarted without any pause."""

    system: Source

    def __init__(
        self, integration: str = "default", poll_seconds: float = 10.0, *, at_start: bool = True
    ) -> None:
        """Look every `poll_seconds`; `at_start` rings at the first look, for what was missed before it."""
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.integration = integration
        self.poll_seconds = poll_seconds
        self.at_start = at_start

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make an equal trigger."""
        arguments = {
            "integration": self.integration,
            "poll_seconds": self.poll_seconds,
            "at_start": self.at_start,
        }
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each change seen. It holds no data: the run it starts reads from the cursor."""
        bells: tuple[Bell, DueBell] | None = None
        looked, failures = False, 0
        try:
            while True:
                rang = False
                try:
                    bells = bells or await self._bells()
                    rang = await asyncio.to_thread(_either, *bells)
                    rang, looked, failures = rang and (looked or self.at_start), True, 0
                except SyncError as error:
                    failures += 1
                    self._complain(error, failures)
                if rang:
                    yield _ring(self.system)
                await asyncio.sleep(self._pause(failures))
        finally:
            if bells is not None:
                bells[0].close()

    async def _bells(self) -> tuple[Bell, DueBell]:
        integration = load_integration(self.integration)
        conn_id = (
            integration.salesforce_conn_id
            if self.system == SALESFORCE
            else integration.pagerduty_conn_id
        )
        spec = await async_connection(conn_id)
        bell = bell_for(
            self.system, integration, lambda: SalesforceClient(spec), lambda: PagerDutyClient(spec)
        )
        return bell, DueBell(integration, self.system, ledger_of_process)

    def _complain(self, error: SyncError, failures: int) -> None:
        log = _log.warning if failures == 1 else _log.debug
        log("%s of integration '%s' cannot be watched: %s", self.system, self.integration, error)

    def _pause(self, failures: int) -> float:
        if not failures:
            return self.poll_seconds
        longest = max(self.poll_seconds, LONGEST_PAUSE_SECONDS)
        pause = min(self.poll_seconds * 2.0 ** min(failures, 20), longest)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret


class SalesforceChangesTrigger(_ChangesTrigger):
    """Rings when a watched Salesforce object changed, or an action of that side is due again."""

    system = SALESFORCE


class PagerDutyChangesTrigger(_ChangesTrigger):
    """Rings when PagerDuty has a new log entry, or an action of that side is due again."""

    system = PAGERDUTY


def _ring(system: Source) -> TriggerEvent:
    payload = {"system": system, "seen_at": utc_now().isoformat()}
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow leaves it untyped


def _either(bell: Bell, due: DueBell) -> bool:
    changed = bell.rang()
    return due.rang() or changed
