"""Alerts about the sync itself, through the PagerDuty provider's notifier, to the sync's own service."""

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

from pd_sf_rules.connections import ConnectionSpec, checked_url
from pd_sf_rules.errors import SyncError
from pd_sf_rules.hooks.stored import stored_connection

_log = logging.getLogger(__name__)


class _EventsClient(pagerduty.EventsApiV2Client):
    """The official client on the host of the connection's `events_url`: the EU's, or loopback http."""

    @property
    def url(self) -> str:
        """The base URL, checked where the connection is read."""
        return str(self._url)

    @url.setter
    def url(self, value: str) -> None:
        self._url = value


class EventsHook(PagerdutyEventsHook):
    """The provider's events hook with the routing key and the host of a `pagerduty` connection."""

    def __init__(self, spec: ConnectionSpec) -> None:
        super().__init__(integration_key=spec.text("routing_key"))
        self._url = checked_url(spec, "events_url")

    def send_event(self, *args: Any, **kwargs: Any) -> str:
        """Send one event and return its dedup key; see the provider's hook for the arguments."""
        client = _EventsClient(self.integration_key, base_url=self._url or None)
        return str(client.send_event(**prepare_event_data(*args, **kwargs)))


class SyncNotifier(PagerdutyNotifier):
    """Sends an alert, or resolves it, under one dedup key a task; silent without a routing key."""

    def __init__(self, pagerduty_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pagerduty_conn_id = pagerduty_conn_id

    @cached_property
    def hook(self) -> PagerdutyEventsHook:
        """The events hook of the connection, opened when there is something to send."""
        return EventsHook(stored_connection(self.pagerduty_conn_id))

    def notify(self, context: Context) -> None:
        """Send the alert; one that cannot be sent is logged, so that it never hides the failure it tells of."""
        try:
            if not stored_connection(self.pagerduty_conn_id).text("routing_key"):
                _log.info(
                    "No routing_key in connection '%s': no alert is sent.", self.pagerduty_conn_id
                )
                return
            super().notify(context)  # type: ignore[no-untyped-call]  # the provider leaves it untyped
        except (SyncError, pagerduty.Error) as error:
            _log.error("The alert could not be sent: %s", error)


def alert_on_failure(pagerduty_conn_id: str) -> SyncNotifier:
    """Return the notifier for a task that failed for good."""
    return SyncNotifier(
        pagerduty_conn_id,
        summary="{{ dag.dag_id }}.{{ ti.task_id }} failed: the sync needs a look",
        severity="error",
        source="{{ dag.dag_id }}",
        action="trigger",
        dedup_key="pdsf/{{ dag.dag_id }}/{{ ti.task_id }}",
        component="{{ ti.task_id }}",
        group="pd-sf-rules",
        custom_details={"run": "{{ run_id }}", "try": "{{ ti.try_number }}"},
    )
