"""Request bodies in PagerDuty's own names (OpenAPI, incidents)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class NewIncident:
    """An incident to create. `incident_key` guards against a second one while the first is open.

    Give `assignee_ids` or `escalation_policy_id` or neither (then the service's policy), not both.
    """

    title: str
    service_id: str
    incident_key: str
    urgency: str | None = None
    priority_id: str | None = None
    details: str | None = None
    escalation_policy_id: str | None = None
    assignee_ids: Sequence[str] = ()
    incident_type: str | None = None
    conference_bridge: Mapping[str, Any] | None = None


def creation_body(new: NewIncident) -> dict[str, Any]:
    """Return the `incident` of `POST /incidents`."""
    body: dict[str, Any] = {
        "type": "incident",
        "title": new.title,
        "service": _reference("service", new.service_id),
        "incident_key": new.incident_key,
    }
    if new.urgency:
        body["urgency"] = new.urgency
    if new.priority_id:
        body["priority"] = _reference("priority", new.priority_id)
    if new.details:
        body["body"] = {"type": "incident_body", "details": new.details}
    if new.escalation_policy_id:
        body["escalation_policy"] = _reference("escalation_policy", new.escalation_policy_id)
    if new.assignee_ids:
        body["assignments"] = _assignments(new.assignee_ids)
    if new.incident_type:
        body["incident_type"] = {"name": new.incident_type}
    if new.conference_bridge:
        body["conference_bridge"] = dict(new.conference_bridge)
    return body


def changes_body(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an incident of `PUT /incidents`, without its id; see actions.IncidentUpdate."""
    body: dict[str, Any] = {"type": "incident_reference"}
    for name, value in changes.items():
        if name in {"priority_id", "escalation_policy_id", "service_id"}:
            kind = name.removesuffix("_id")
            body[kind] = _reference(kind, value) if value else None
        elif name == "assignee_ids":
            body["assignments"] = _assignments(value)
        else:
            body[name] = value
    return body


def _reference(kind: str, one: str) -> dict[str, str]:
    return {"id": one, "type": "priority" if kind == "priority" else f"{kind}_reference"}


def _assignments(ids: Sequence[str]) -> list[dict[str, Any]]:
    return [{"assignee": _reference("user", one)} for one in ids]


def responder(kind: str, one: str) -> dict[str, Any]:
    """Return one target of `POST /incidents/{id}/responder_requests`."""
    return {"responder_request_target": {"id": one, "type": f"{kind}_reference"}}
