"""Alerts about the sync itself, by the Events API v2, to the service whose routing key the connection holds."""

from collections.abc import Mapping
from typing import Any, Literal

import pagerduty
from pagerduty import EventsApiV2Client

from pd_sf_rules.connections import ConnectionSpec, checked_url
from pd_sf_rules.errors import RetryableError

AlertAction = Literal["trigger", "resolve"]
SOURCE = "pd-sf-rules"
SUMMARY_LENGTH = 1024


class EventsSession(EventsApiV2Client):
    """The official client on the host of the connection's `events_url`: the US's, the EU's, or loopback http."""

    # An alert without a network, or with a service in trouble, holds its task up for seconds, not for minutes.
    max_network_attempts = 1
    max_http_attempts = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.retry[429] = 2  # the client's own default is to ask for ever

    @property
    def url(self) -> str:
        """The base URL, checked where the connection is read."""
        return str(self._url)

    @url.setter
    def url(self, value: str) -> None:
        self._url = value


def events_session(spec: ConnectionSpec) -> EventsSession:
    """Return a client for the routing key and events host of a `pagerduty` connection."""
    return EventsSession(spec.text("routing_key"), base_url=checked_url(spec, "events_url") or None)


def send_alert(
    spec: ConnectionSpec,
    action: AlertAction,
    *,
    dedup_key: str,
    summary: str = "",
    details: Mapping[str, Any] | None = None,
    once: bool = False,
) -> bool:
    """Raise or resolve one alert; False when the connection has no routing key, so that nothing was sent.

    `once` is for an alert that is sent again later by itself: it is not waited for here.

    The same `dedup_key` never opens a second incident while the first is open. Raises RetryableError when the
    alert could not be delivered.
    """
    if not spec.text("routing_key"):
        return False
    payload: dict[str, Any] = {}
    if action == "trigger":
        payload = {
            "payload": {"summary": summary[:SUMMARY_LENGTH], "source": SOURCE, "severity": "error"}
        }
        if details:
            payload["payload"]["custom_details"] = dict(details)
    try:
        with events_session(spec) as session:
            if once:
                session.max_network_attempts = 0
                session.retry.clear()
            session.send_event(action, dedup_key=dedup_key, **payload)
    except pagerduty.Error as error:
        raise RetryableError(f"The alert '{dedup_key}' could not be sent: {error}") from None
    return True
