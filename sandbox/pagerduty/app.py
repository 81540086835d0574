"""The simulated PagerDuty as one ASGI application: REST v2, Events v2 and the OAuth token host."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.pagerduty import access, calls, courier, events
from sandbox.pagerduty import directory_calls as directory
from sandbox.pagerduty import incident_calls as incident
from sandbox.pagerduty.shapes import Doc, not_found
from sandbox.pagerduty.state import PagerDutyState

# (method, path, operation, OAuth scope, does the spec require From?)
_Row = tuple[str, str, calls.Operation, str, bool]
INCIDENTS: list[_Row] = [
    ("GET", "/log_entries", incident.list_log_entries, "incidents.read", False),
    ("GET", "/log_entries/{entry_id}", incident.get_log_entry, "incidents.read", False),
    ("PUT", "/log_entries/{entry_id}/channel", incident.rewrite_channel, "incidents.write", True),
    ("GET", "/incidents", incident.list_incidents, "incidents.read", False),
    ("POST", "/incidents", incident.create_incident, "incidents.write", True),
    ("PUT", "/incidents", incident.update_incidents, "incidents.write", True),
    ("GET", "/incidents/types", directory.list_incident_types, "incident_types.read", False),
    ("GET", "/incidents/types/{type}/custom_fields", directory.list_custom_fields,
     "custom_fields.read", False),
    ("GET", "/incidents/{incident_id}", incident.get_incident, "incidents.read", False),
    ("PUT", "/incidents/{incident_id}", incident.update_incident, "incidents.write", True),
    ("PUT", "/incidents/{incident_id}/merge", incident.merge_incidents, "incidents.write", True),
    ("POST", "/incidents/{incident_id}/snooze", incident.snooze_incident, "incidents.write", True),
    ("GET", "/incidents/{incident_id}/log_entries", incident.list_incident_log_entries,
     "incidents.read", False),
    ("GET", "/incidents/{incident_id}/alerts", incident.list_alerts, "incidents.read", False),
    ("GET", "/incidents/{incident_id}/notes", incident.list_notes, "incidents.read", False),
    ("POST", "/incidents/{incident_id}/notes", incident.add_note, "incidents.write", True),
    ("PUT", "/incidents/{incident_id}/notes/{note_id}", incident.edit_note, "incidents.write", True),
    ("DELETE", "/incidents/{incident_id}/notes/{note_id}", incident.delete_note, "incidents.write",
     False),
    ("POST", "/incidents/{incident_id}/status_updates", incident.publish_status_update,
     "incidents.write", True),
    ("POST", "/incidents/{incident_id}/responder_requests", incident.request_responders,
     "incidents.write", False),
    ("GET", "/incidents/{incident_id}/custom_fields/values", incident.get_custom_fields,
     "incidents.read", False),
    ("PUT", "/incidents/{incident_id}/custom_fields/values", incident.set_custom_fields,
     "incidents.write", False),
]  # fmt: skip
DIRECTORY: list[_Row] = [
    ("GET", "/users/me", directory.me, "users.read", False),
    *(
        row
        for plural in directory.LISTS
        for row in (
            ("GET", f"/{plural}", directory.lister(plural), f"{plural}.read", False),
            ("GET", f"/{plural}/{{id}}", directory.getter(plural), f"{plural}.read", False),
        )
    ),
    ("GET", "/priorities", directory.list_priorities, "priorities.read", False),
    ("GET", "/abilities", directory.list_abilities, "abilities.read", False),
    ("GET", "/abilities/{name}", directory.check_ability, "abilities.read", False),
    ("GET", "/incident_workflows", directory.list_workflows, "incident_workflows.read", False),
    ("GET", "/incident_workflows/{id}", directory.get_workflow, "incident_workflows.read", False),
    ("POST", "/incident_workflows/{id}/instances", directory.start_workflow,
     "incident_workflows:instances.write", False),
]  # fmt: skip
WEBHOOKS: list[_Row] = [
    ("GET", "/webhook_subscriptions", directory.list_subscriptions,
     "webhook_subscriptions.read", False),
    ("POST", "/webhook_subscriptions", directory.create_subscription,
     "webhook_subscriptions.write", False),
    ("GET", "/webhook_subscriptions/{id}", directory.get_subscription,
     "webhook_subscriptions.read", False),
    ("PUT", "/webhook_subscriptions/{id}", directory.change_subscription,
     "webhook_subscriptions.write", False),
    ("DELETE", "/webhook_subscriptions/{id}", directory.delete_subscription,
     "webhook_subscriptions.write", False),
    ("POST", "/webhook_subscriptions/{id}/ping", directory.ping_subscription,
     "webhook_subscriptions.write", False),
    ("POST", "/webhook_subscriptions/{id}/enable", directory.enable_subscription,
     "webhook_subscriptions.write", False),
]  # fmt: skip


THROTTLED = {"status": "throttled", "message": "Too many events for this routing key"}


def create_app(state: PagerDutyState) -> Starlette:
    """Serve one account; the webhook courier runs while the application does."""
    limit = access.RateLimit(state)
    routes = [
        calls.route(state, limit, method, path, operation, scope, needs_from=needs_from)
        for method, path, operation, scope, needs_from in (*INCIDENTS, *DIRECTORY, *WEBHOOKS)
    ]
    routes += [
        Route("/oauth/token", _token_endpoint(state), methods=["POST"]),
        Route("/v2/enqueue", _events_endpoint(state, limit, events.enqueue), methods=["POST"]),
        Route(
            "/v2/change/enqueue",
            _events_endpoint(state, limit, events.enqueue_change),
            methods=["POST"],
        ),
    ]

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with courier.running(state):
            yield

    return Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={404: _unknown, 405: _unknown},
        middleware=[Middleware(_Dated, state=state)],
    )


class _Dated:
    """Puts the account's own time, skew included, into the Date header of every answer."""

    def __init__(self, app: ASGIApp, state: PagerDutyState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                now = format_datetime(self._state.now(), usegmt=True)
                message["headers"] = [*message["headers"], (b"date", now.encode())]
            await send(message)

        await self._app(scope, receive, dated)


def _token_endpoint(state: PagerDutyState) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        status, body = access.grant_token(state, form)
        return JSONResponse(body, status_code=status)

    return endpoint


def _events_endpoint(
    state: PagerDutyState,
    limit: access.RateLimit,
    accept: Callable[[PagerDutyState, Any], Doc],
) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        if len(raw) > events.MAX_BYTES:
            return JSONResponse({"status": "invalid event", "message": "Event too large"}, 413)
        try:
            event = json.loads(raw)
            key = event.get("routing_key") if isinstance(event, dict) else None
            if key and not limit.spend_event(str(key)):
                return JSONResponse(THROTTLED, 429)
            return JSONResponse(accept(state, event), 202)
        except ValueError:
            return JSONResponse(events.BadEvent("Body is not valid JSON").body, 400)
        except events.BadEvent as bad:
            return JSONResponse(bad.body, 400)

    return endpoint


async def _unknown(_request: Request, _error: Exception) -> Response:
    return calls.refused(not_found(), {})
