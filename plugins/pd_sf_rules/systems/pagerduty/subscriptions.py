"""Webhook subscriptions of an account: who is told of what, and the secret that only their creation tells.

`/webhook_subscriptions` of the REST API: address and secret of one cannot be changed, so a new secret is a new one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pd_sf_rules.errors import RefusedError
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient

INCIDENT_EVENTS = (
    "incident.triggered",
    "incident.acknowledged",
    "incident.unacknowledged",
    "incident.resolved",
    "incident.reopened",
    "incident.escalated",
    "incident.delegated",
    "incident.reassigned",
    "incident.priority_updated",
    "incident.service_updated",
    "incident.incident_type.changed",
    "incident.annotated",
    "incident.custom_field_values.updated",
    "incident.conference_bridge.updated",
    "incident.responder.added",
    "incident.status_update_published",
    "incident.workflow.started",
    "incident.workflow.completed",
)
"""What the sync can act on. PagerDuty tells nothing of a snooze, a new title or a new urgency: polling finds those."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Whose incidents are told: `kind` is account, service or team; `id` is the service's or team's."""

    kind: str = "account"
    id: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.id}".strip()


EVERYTHING = Watched()


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription as PagerDuty shows it. `temporarily_disabled`: three deliveries were dropped, see `enable`."""

    id: str
    url: str
    active: bool
    temporarily_disabled: bool
    events: frozenset[str]
    description: str
    watched: Watched

    @property
    def missing(self) -> list[str]:
        """The events that the sync can act on and that this one does not tell."""
        return sorted(set(INCIDENT_EVENTS) - self.events)


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """A subscription just created, with its secret: no later answer tells it again. Its repr does not show it."""

    subscription: Subscription
    secret: str = field(repr=False)


def list_subscriptions(client: PagerDutyClient) -> list[Subscription]:
    """Return every webhook subscription that the key may see."""
    name = "webhook_subscriptions"
    return [
        _subscription(row)
        for page in client.pages(name, name, doing="the webhook subscriptions")
        for row in page
    ]


def create_subscription(
    client: PagerDutyClient, url: str, *, description: str, watched: Watched = EVERYTHING
) -> NewSubscription:
    """Subscribe `url` to the incidents of the account, of one service or of one team; sent once.

    Raises UncertainError where the answer, and with it the secret, was lost.
    """
    told_of = {"type": f"{watched.kind}_reference"} | ({"id": watched.id} if watched.id else {})
    body = {
        "type": "webhook_subscription",
        "delivery_method": {"type": "http_delivery_method", "url": url},
        "description": description,
        "events": list(INCIDENT_EVENTS),
        "filter": told_of,
    }
    doing = "a new webhook subscription"
    told = client.post("webhook_subscriptions", {"webhook_subscription": body}, doing=doing)
    row = told.get("webhook_subscription") if isinstance(told, Mapping) else None
    secret = _method(row).get("secret") if isinstance(row, Mapping) else None
    if not isinstance(row, Mapping) or not isinstance(secret, str) or not secret:
        raise RefusedError("PagerDuty's answer to a new webhook subscription has no secret.")
    return NewSubscription(_subscription(row), secret)


def delete_subscriptions(client: PagerDutyClient, ids: Iterable[str]) -> None:
    """Remove subscriptions; what PagerDuty still had to deliver through them is gone."""
    for one in ids:
        client.delete(f"webhook_subscriptions/{one}", doing=f"webhook subscription {one}")


def enable(client: PagerDutyClient, subscription: Subscription) -> None:
    """Switch a subscription on again: an inactive one, and one that three dropped deliveries switched off."""
    path, doing = (
        f"webhook_subscriptions/{subscription.id}",
        f"webhook subscription {subscription.id}",
    )
    if not subscription.active:
        client.put(path, {"webhook_subscription": {"active": True}}, doing=doing)
    if subscription.temporarily_disabled:
        client.post(f"{path}/enable", doing=doing)


def ping(client: PagerDutyClient, subscription_id: str) -> None:
    """Have PagerDuty send a `pagey.ping` to the subscription's address."""
    path = f"webhook_subscriptions/{subscription_id}/ping"
    client.post(path, doing=f"a ping by webhook subscription {subscription_id}")


def _subscription(row: Mapping[str, Any]) -> Subscription:
    method, watched, events = _method(row), row.get("filter"), row.get("events")
    told_of = watched if isinstance(watched, Mapping) else {}
    return Subscription(
        id=str(row.get("id") or ""),
        url=str(method.get("url") or ""),
        active=row.get("active") is not False,
        temporarily_disabled=method.get("temporarily_disabled") is True,
        events=frozenset(str(one) for one in events) if isinstance(events, list) else frozenset(),
        description=str(row.get("description") or ""),
        watched=Watched(
            str(told_of.get("type") or "").removesuffix("_reference"), str(told_of.get("id") or "")
        ),
    )


def _method(row: Mapping[str, Any]) -> Mapping[str, Any]:
    method = row.get("delivery_method")
    return method if isinstance(method, Mapping) else {}
