"""The PagerDuty provider's notifier, raising the alert of a DAG on the connection's events service.

Imported when there is something to tell: the provider takes longer to import than a DAG file to parse.
"""

import logging
from functools import cached_property
from typing import Any

import pagerduty
from airflow.providers.pagerduty.hooks.pagerduty_events import (
    PagerdutyEventsHook,
    prepare_event_data,
)
from airflow.providers.pagerduty.notifications.pagerduty import PagerdutyNotifier
from airflow.sdk import Context

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import SyncError
from pd_sf_rules.hooks.alerts import alert_key, cause_of, remember
from pd_sf_rules.hooks.stored import stored_connection
from pd_sf_rules.systems.pagerduty.alerts import SUMMARY_LENGTH, events_session

_log = logging.getLogger(__name__)


class EventsHook(PagerdutyEventsHook):
    """The provider's events hook with the routing key and the host of a `pagerduty` connection."""

    def __init__(self, spec: ConnectionSpec) -> None:
        super().__init__(integration_key=spec.text("routing_key"))
        self._spec = spec

    def send_event(self, *args: Any, **kwargs: Any) -> str:
        """Send one event and return its dedup key; see the provider's hook for the arguments."""
        with events_session(self._spec) as session:
            return str(session.send_event(**prepare_event_data(*args, **kwargs)))


class SyncNotifier(PagerdutyNotifier):
    """Raises the alert of a DAG; silent without a routing key."""

    def __init__(self, integration: str, pagerduty_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.integration = integration
        self.pagerduty_conn_id = pagerduty_conn_id

    @cached_property
    def hook(self) -> PagerdutyEventsHook:
        """The events hook of the connection, opened when there is something to send."""
        return EventsHook(stored_connection(self.pagerduty_conn_id))

    def notify(self, context: Context) -> None:
        """Send the alert; one that cannot be sent is logged, so that it never hides the failure it tells of."""
        dag_id = str(context["dag"].dag_id)
        try:
            if not stored_connection(self.pagerduty_conn_id).text("routing_key"):
                _log.info("No routing_key in '%s': no alert is sent.", self.pagerduty_conn_id)
                return
            self.summary = f"{dag_id}: {cause_of(context)}"[:SUMMARY_LENGTH]
            self.source, self.dedup_key = dag_id, alert_key(dag_id)
            self.component = str(context["ti"].task_id)
            self.custom_details = {"run": str(context["run_id"]), "task": self.component}
            super().notify(context)  # type: ignore[no-untyped-call]  # the provider leaves it untyped
            remember(self.integration, dag_id, is_open=True)
        except (SyncError, pagerduty.Error) as error:
            _log.error("The alert of %s: %s", dag_id, error)
