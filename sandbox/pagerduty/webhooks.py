"""Webhooks V3: subscriptions, and the events that they are told (the courier delivers them)."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from sandbox.pagerduty import delivery_queue, rendering
from sandbox.pagerduty.shapes import Actor, Doc, Refusal, invalid, not_found, to_milliseconds
from sandbox.pagerduty.state import PagerDutyState

FILTERS = ("account_reference", "service_reference", "team_reference")
MAX_PER_FILTER = 10
INCIDENT_EVENTS = tuple(
    f"incident.{name}"
    for name in (
        "triggered", "acknowledged", "unacknowledged", "resolved", "reopened", "escalated",
        "delegated", "reassigned", "priority_updated", "service_updated", "incident_type.changed",
        "annotated", "custom_field_values.updated", "conference_bridge.updated",
        "responder.added", "status_update_published", "workflow.started", "workflow.completed",
    )
)  # fmt: skip


def incident_data(state: PagerDutyState, doc: Mapping[str, Any]) -> Doc:
    """An incident as webhooks show it: `number` and `assignees`, no update times."""
    expanded = rendering.expand(
        state, {name: doc[name] for name in ("service", "escalation_policy", "teams", "priority")}
    )
    people = [] if doc["status"] == "resolved" else doc["assignments"]
    return {
        "id": doc["id"],
        "type": "incident",
        **rendering.links(state, "incident", doc["id"]),
        "number": doc["incident_number"],
        "status": doc["status"],
        "incident_key": doc["incident_key"],
        "created_at": doc["created_at"],
        "title": doc["title"],
        "assignees": [rendering.reference(state, item["assignee"]) for item in people],
        **expanded,
        "urgency": doc["urgency"],
        "conference_bridge": doc["conference_bridge"],
        "resolve_reason": doc["resolve_reason"],
        "incident_type": doc["incident_type"],
    }


def incident_pointer(state: PagerDutyState, doc: Mapping[str, Any]) -> Doc:
    """The reference that notes, workflows and the like carry as `data.incident`."""
    return {**rendering.incident_reference(state, doc), "summary": doc["title"]}


def announce(
    state: PagerDutyState,
    event_type: str,
    doc: Mapping[str, Any],
    actor: Actor | None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Queue one event about an incident for every subscription that wants it.

    `data` replaces the incident as the payload and gets the incident as a member.
    """
    subscriptions = [
        item
        for item in state.store.all("webhook_subscription")
        if _wants(item, event_type, doc) and not delivery_queue.is_disabled(state, item)
    ]
    if not subscriptions:
        return
    payload = incident_data(state, doc)
    if data is not None:
        payload = {"incident": incident_pointer(state, doc), **data}
    event = _event(state, event_type, "incident", actor, payload)
    for subscription in subscriptions:
        delivery_queue.put(state, subscription, doc["id"], event)


def _wants(subscription: Mapping[str, Any], event_type: str, doc: Mapping[str, Any]) -> bool:
    wanted = subscription["filter"]
    if not subscription["active"] or event_type not in subscription["events"]:
        return False
    if wanted["type"] == "service_reference":
        return bool(wanted["id"] == doc["service"]["id"])
    if wanted["type"] == "team_reference":
        return wanted["id"] in {team["id"] for team in doc["teams"]}
    return True


def _event(
    state: PagerDutyState,
    event_type: str,
    resource_type: str,
    actor: Actor | None,
    data: Mapping[str, Any],
) -> Doc:
    return {
        "id": state.new_id("01", 26),
        "event_type": event_type,
        "resource_type": resource_type,
        "occurred_at": to_milliseconds(state.now()),
        "agent": rendering.reference(state, actor.pointer) if actor else None,
        "client": None,
        "data": dict(data),
    }


def ping(state: PagerDutyState, subscription_id: str) -> None:
    """Queue a `pagey.ping` for one subscription."""
    subscription = get(state, subscription_id)
    data = {"message": "Hello from your friend Pagey!", "type": "ping"}
    delivery_queue.put(
        state, subscription, "pagey", _event(state, "pagey.ping", "pagey", None, data)
    )


def get(state: PagerDutyState, subscription_id: str) -> Doc:
    """The stored subscription, secret included; raises Refusal 404."""
    doc = state.store.get("webhook_subscription", subscription_id)
    if doc is None:
        raise not_found("Webhook subscription")
    return doc


def shown(state: PagerDutyState, doc: Mapping[str, Any], *, with_secret: bool = False) -> Doc:
    """A subscription as REST shows it: the secret only right after creation."""
    method = dict(doc["delivery_method"])
    method["temporarily_disabled"] = delivery_queue.is_disabled(state, doc)
    method["secret"] = method["secret"] if with_secret else None
    method["custom_headers"] = [
        {"name": header["name"], "value": "<redacted>"} for header in method["custom_headers"]
    ]
    return {**doc, "delivery_method": method}


def _events(value: Any) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise invalid("Events must be a list of at least one event type")
    if len(set(value)) != len(value):
        raise invalid("Events must be unique")
    return list(value)


def _filter(state: PagerDutyState, value: Any) -> Doc:
    wanted = value if isinstance(value, Mapping) else {}
    if wanted.get("type") not in FILTERS:
        raise invalid(f"Filter type must be one of {', '.join(FILTERS)}")
    kind = str(wanted["type"]).removesuffix("_reference")
    if kind != "account" and state.store.get(kind, str(wanted.get("id"))) is None:
        raise invalid(f"Filter {kind} does not exist")
    return {"id": wanted.get("id"), "type": wanted["type"]}


def _method(state: PagerDutyState, value: Any, secret: str | None) -> Doc:
    method = value if isinstance(value, Mapping) else {}
    if method.get("type") != "http_delivery_method":
        raise invalid("Delivery method type must be http_delivery_method")
    parts = urlsplit(str(method.get("url") or ""))
    loopback = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    if parts.scheme != "https" and not loopback:
        raise invalid("Delivery method url must be https")
    return {
        "id": state.new_id("P", 7),
        "type": "http_delivery_method",
        "url": str(method["url"]),
        "custom_headers": list(method.get("custom_headers") or []),
        "temporarily_disabled": False,
        "secret": secret or state.new_id("", 64),
    }


def subscribe(state: PagerDutyState, body: Any, secret: str | None = None) -> Doc:
    """POST /webhook_subscriptions: the stored subscription with its secret, new unless given."""
    if not isinstance(body, Mapping):
        raise invalid("Webhook subscription can't be blank")
    doc = {
        "id": state.new_id("P", 7),
        "type": "webhook_subscription",
        "active": body.get("active", True) is True,
        "description": body.get("description"),
        "events": _events(body.get("events")),
        "filter": _filter(state, body.get("filter")),
        "oauth_client": None,
        "delivery_method": _method(state, body.get("delivery_method"), secret),
    }
    with state.transaction():
        same = [
            item for item in state.store.all("webhook_subscription")
            if item["filter"] == doc["filter"]
        ]  # fmt: skip
        if len(same) >= MAX_PER_FILTER:
            raise Refusal(400, 2019, "Product Limit Reached", ["Too many webhook subscriptions"])
        state.store.put("webhook_subscription", doc)
    return doc


def change(state: PagerDutyState, subscription_id: str, body: Any) -> Doc:
    """PUT: description, events, filter and active; the delivery method cannot be changed."""
    values = body if isinstance(body, Mapping) else {}
    with state.transaction():
        doc = get(state, subscription_id)
        if "events" in values:
            doc["events"] = _events(values["events"])
        if "filter" in values:
            doc["filter"] = _filter(state, values["filter"])
        if "description" in values:
            doc["description"] = values["description"]
        if "active" in values:
            doc["active"] = values["active"] is True
        state.store.put("webhook_subscription", doc)
    return doc


def enable(state: PagerDutyState, subscription_id: str) -> Doc:
    """Undo the 24-hour disabling that three dropped deliveries bring."""
    with state.transaction():
        doc = get(state, subscription_id)
        doc["active"] = True
        doc["delivery_method"]["temporarily_disabled"] = False
        state.store.put("webhook_subscription", doc)
    return doc
