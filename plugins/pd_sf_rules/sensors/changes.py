"""Wait for a change without holding a worker slot."""

from typing import Any

from airflow.sdk import BaseSensorOperator, Context

from pd_sf_rules.triggers.changes import PagerDutyChangesTrigger, SalesforceChangesTrigger


class SalesforceChangeSensor(BaseSensorOperator):
    """Succeed when a Salesforce object that the integration's rules watch changes after the sensor started.

    `poll_seconds` is the time between two looks (one API call each). It only waits: it reads no record and
    moves no cursor.
    """

    def __init__(
        self, *, integration: str = "default", poll_seconds: float = 10.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.integration = integration
        self.poll_seconds = poll_seconds

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow's signature
        """Hand the waiting to the triggerer."""
        trigger = SalesforceChangesTrigger(self.integration, self.poll_seconds, at_start=False)
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return what the trigger saw: the system and the instant, ISO 8601."""
        return event


class PagerDutyLogEntrySensor(BaseSensorOperator):
    """Succeed when PagerDuty shows a log entry that is newer than the sensor's start; else as above."""

    def __init__(
        self, *, integration: str = "default", poll_seconds: float = 10.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.integration = integration
        self.poll_seconds = poll_seconds

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow's signature
        """Hand the waiting to the triggerer."""
        trigger = PagerDutyChangesTrigger(self.integration, self.poll_seconds, at_start=False)
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return what the trigger saw: the system and the instant, ISO 8601."""
        return event
