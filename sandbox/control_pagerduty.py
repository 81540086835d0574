"""Control of the simulated PagerDuty: act as a person, look at everything, change settings."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sandbox.pagerduty import courier, entries, incidents, notes, rendering, timers, webhooks
from sandbox.pagerduty.delivery_queue import DeliveryFaults
from sandbox.pagerduty.people import Person, person
from sandbox.pagerduty.seed import WEBHOOK_SECRET
from sandbox.pagerduty.shapes import Doc
from sandbox.pagerduty.state import LogEntryFaults, PagerDutyState

Answering = Callable[[Callable[[Request, Any], Any]], Callable[[Request], Awaitable[Response]]]
DEFAULT_PERSON = "Ana Lopez"

# POST /pagerduty/incidents/{id}/{action}: what the person does with the JSON body.
ACTIONS: dict[str, Callable[[Person, str, Any], Any]] = {
    "acknowledge": lambda who, i, _body: who.acknowledge(i),
    "unacknowledge": lambda who, i, _body: who.unacknowledge(i),
    "resolve": lambda who, i, body: who.resolve(i, body.get("resolution")),
    "reopen": lambda who, i, _body: who.reopen(i),
    "note": lambda who, i, body: who.add_note(i, body["content"]),
    "priority": lambda who, i, body: who.set_priority(i, body["priority"]),
    "urgency": lambda who, i, body: who.set_urgency(i, body["urgency"]),
    "title": lambda who, i, body: who.set_title(i, body["title"]),
    "reassign": lambda who, i, body: who.reassign(i, *body["users"]),
    "delegate": lambda who, i, body: who.delegate(i, body["escalation_policy"]),
    "escalate": lambda who, i, body: who.escalate(i, body["level"]),
    "snooze": lambda who, i, body: who.snooze(i, body["seconds"]),
    "merge": lambda who, i, body: who.merge(i, body["sources"]),
    "status_update": lambda who, i, body: who.publish_status_update(i, body["message"]),
    "custom_fields": lambda who, i, body: who.set_custom_fields(i, body["fields"]),
    "workflow": lambda who, i, body: who.run_workflow(i, body["workflow"]),
}
SETTABLE = ("per_minute", "per_operation", "events_per_minute", "window_seconds")


def acting(state: PagerDutyState, body: Any) -> Person:
    """The person named by the body's `as` (Ana Lopez without it)."""
    return person(state, str(body.get("as") or DEFAULT_PERSON))


def incident_story(state: PagerDutyState, incident_id: str) -> Doc:
    """An incident with its notes (newest first) and log entries (newest first, at most 100)."""
    doc = incidents.get(state, incident_id)
    page, _ = entries.listing(state, entries.Window(incident_id=doc["id"]), 0, 100)
    return {
        "incident": rendering.incident(state, doc, ("custom_fields",)),
        "notes": [notes.shown(state, note) for note in notes.of_incident(state, doc["id"])],
        "log_entries": [rendering.log_entry(state, entry, of, ("channels",)) for entry, of in page],
    }


def routes(state: PagerDutyState, answering: Answering) -> list[BaseRoute]:
    """The routes under /pagerduty/."""

    def everything(_request: Request, _body: Any) -> Any:
        timers.run_due(state)
        found = incidents.search(state, incidents.Search(order=(("number", "DESC"),)), 0, 10_000)
        return {"incidents": [rendering.incident(state, doc) for doc in found]}

    def create(_request: Request, body: Any) -> Any:
        names = ("priority", "urgency", "details")
        options = {name: body[name] for name in names if name in body}
        who, service, title = acting(state, body), body["service"], body["title"]
        if "count" not in body:
            return {"incident": who.create_incident(service, title, **options)}
        with state.transaction():
            numbered = (f"{title} {number}" for number in range(1, int(body["count"]) + 1))
            return {
                "ids": [who.create_incident(service, each, **options)["id"] for each in numbered]
            }

    def story(request: Request, _body: Any) -> Any:
        return incident_story(state, request.path_params["incident_id"])

    def act(request: Request, body: Any) -> Any:
        action = ACTIONS.get(request.path_params["action"])
        if action is None:
            raise LookupError(f"no such action; known: {', '.join(sorted(ACTIONS))}")
        result = action(acting(state, body), request.path_params["incident_id"], body)
        return {"result": result}

    return [
        Route("/pagerduty/incidents", answering(everything), methods=["GET"]),
        Route("/pagerduty/incidents", answering(create), methods=["POST"]),
        Route("/pagerduty/incidents/{incident_id}.json", answering(story), methods=["GET"]),
        Route("/pagerduty/incidents/{incident_id}/{action}", answering(act), methods=["POST"]),
        *_account_routes(state, answering),
    ]


def _account_routes(state: PagerDutyState, answering: Answering) -> list[BaseRoute]:
    def read(request: Request, _body: Any) -> Any:
        return {"resources": state.store.all(request.path_params["kind"])}

    def write(request: Request, body: Any) -> Any:
        kind, identifier = request.path_params["kind"], request.path_params["id"]
        known = state.store.get(kind, identifier)
        state.store.put(kind, {**(known or {}), **body, "id": identifier})
        return {"resource": state.store.get(kind, identifier)}

    def remove(request: Request, _body: Any) -> Any:
        if not state.store.delete(request.path_params["kind"], request.path_params["id"]):
            raise LookupError("no such resource")
        return {"status": "removed"}

    one, many = "/pagerduty/resources/{kind}/{id}", "/pagerduty/resources/{kind}"
    return [
        Route(many, answering(read), methods=["GET"]),
        Route(one, answering(write), methods=["PUT"]),
        Route(one, answering(remove), methods=["DELETE"]),
        Route("/pagerduty/settings", answering(lambda _r, body: _settings(state, body)),
              methods=["POST"]),
        Route("/pagerduty/webhooks", answering(lambda _r, body: _subscribe(state, body)),
              methods=["POST"]),
        Route("/pagerduty/deliveries", answering(lambda _r, _b: {"deliveries": courier.deliveries(state)}),
              methods=["GET"]),
    ]  # fmt: skip


# POST /pagerduty/settings: the state's attribute of each name, and what makes its value of the JSON.
SETTINGS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "log_entry_faults": ("log_entry_faults", lambda value: LogEntryFaults(**value)),
    "delivery_faults": ("delivery_faults", lambda value: DeliveryFaults(**value)),
    "webhook_retry_seconds": ("webhook_retry_seconds", float),
    "webhook_timeout_seconds": ("webhook_timeout_seconds", float),
    "clock_offset_seconds": ("clock_offset", lambda value: timedelta(seconds=float(value))),
    "time_zone": ("time_zone", lambda value: ZoneInfo(value).key),
    "abilities": ("abilities", list),
}


def _settings(state: PagerDutyState, body: Any) -> Doc:
    """Limits, oddities, clock skew and abilities; only what is named changes."""
    known = {*SETTABLE, *SETTINGS}
    unknown = sorted(set(body) - known)
    if unknown:
        raise ValueError(
            f"unknown settings {', '.join(unknown)}; known: {', '.join(sorted(known))}"
        )
    for name, value in body.items():
        if name in SETTABLE:
            setattr(state.limits, name, value)
        else:
            attribute, made = SETTINGS[name]
            setattr(state, attribute, made(value))
    return {"status": "set"}


def _subscribe(state: PagerDutyState, body: Any) -> Doc:
    """A webhook subscription of the whole account; its secret is the demo connection's."""
    subscription = {
        "type": "webhook_subscription",
        "description": "sandbox",
        "events": body.get("events") or list(webhooks.INCIDENT_EVENTS),
        "filter": {"type": "account_reference"},
        "delivery_method": {"type": "http_delivery_method", "url": body["url"]},
    }
    doc = webhooks.subscribe(state, subscription, secret=body.get("secret") or WEBHOOK_SECRET)
    return {"webhook_subscription": webhooks.shown(state, doc, with_secret=True)}
