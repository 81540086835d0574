"""Wait for a change without holding a worker slot."""

from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator, Context

from pd_sf_rules.triggers.changes import (
    ChangesTrigger,
    PagerDutyChangesTrigger,
    SalesforceChangesTrigger,
)


class _ChangeSensor(BaseSensorOperator):
    """Looks once in the worker, so that a wrong connection fails at once, and leaves the waiting to the triggerer."""

    trigger: type[ChangesTrigger]

    def __init__(
        self, *, integration: str = "default", poll_seconds: float = 10.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.integration = integration
        self.poll_seconds = poll_seconds

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow's signature
        """Look, and defer until something changed since; raises SyncError when it cannot look."""
        trigger = self.trigger(
            self.integration,
            self.poll_seconds,
            baseline=self.trigger.first_look(self.integration),
        )
        timeout = timedelta(seconds=self.timeout)
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return what the trigger saw: the system and the instant, ISO 8601."""
        return event


class SalesforceChangeSensor(_ChangeSensor):
    """Succeed when a Salesforce object that the integration's rules watch changes after the sensor started.

    `poll_seconds` is the time between two looks (one API call each), `timeout` when to give up. It only waits:
    it reads no record and moves no cursor.
    """

    trigger = SalesforceChangesTrigger


class PagerDutyLogEntrySensor(_ChangeSensor):
    """Succeed when PagerDuty shows a log entry that came after the sensor started; else as above."""

    trigger = PagerDutyChangesTrigger
