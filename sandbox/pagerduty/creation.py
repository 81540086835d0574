"""New incidents: checked, stored, logged and announced."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.pagerduty import checks, entries, incidents, pending, webhooks
from sandbox.pagerduty.shapes import Actor, Doc, arguments_error, invalid, ref
from sandbox.pagerduty.state import PagerDutyState


@dataclass(frozen=True, slots=True)
class Draft:
    """A checked new incident: every id in it exists."""

    title: str
    service: Doc
    urgency: str
    priority_id: str | None
    incident_key: str | None
    details: str | None
    assignee_ids: tuple[str, ...]
    escalation_policy_id: str
    incident_type: str
    conference_bridge: Doc | None


def _default_urgency(service: Mapping[str, Any]) -> str:
    return str((service.get("incident_urgency_rule") or {}).get("urgency") or "high")


def draft(state: PagerDutyState, body: Any) -> Draft:
    """Check the `incident` object of POST /incidents; raises Refusal with what is wrong."""
    title = _required(body)
    service = checks.service(state, body["service"])
    if service["status"] == "disabled":
        raise invalid("Service is disabled")
    if body.get("assignments") and body.get("escalation_policy"):
        raise invalid("Assignments and escalation policy cannot both be given")
    assignees = checks.assignee_ids(state, body["assignments"]) if body.get("assignments") else ()
    if len(assignees) > 1:
        raise invalid("Only one assignee is supported")
    policy, kind = body.get("escalation_policy"), body.get("incident_type")
    return Draft(
        title=title,
        service=service,
        urgency=checks.urgency(body.get("urgency") or _default_urgency(service)),
        priority_id=checks.priority_id(state, body.get("priority")),
        incident_key=body.get("incident_key") or None,
        details=_details(body.get("body")),
        assignee_ids=assignees,
        escalation_policy_id=checks.policy_id(state, policy or service["escalation_policy"]),
        incident_type=checks.incident_type(state, kind) if kind else "incident_default",
        conference_bridge=checks.conference_bridge(body.get("conference_bridge")),
    )


def _required(body: Any) -> str:
    """The title of a body that has everything it must have."""
    if not isinstance(body, Mapping):
        raise invalid("Incident can't be blank")
    problems = []
    if body.get("type") not in ("incident", "incident_reference"):
        problems.append("Type must be incident")
    title = body.get("title")
    if not isinstance(title, str) or not title.strip():
        problems.append("Title can't be blank")
    if not (isinstance(body.get("service"), Mapping) and body["service"].get("id")):
        problems.append("Service can't be blank")
    if problems:
        raise invalid(*problems)
    return str(title)


def _details(body: Any) -> str | None:
    details = body.get("details") if isinstance(body, Mapping) else None
    return details if details is None or isinstance(details, str) else json.dumps(details)


def _blank(state: PagerDutyState, new: Draft, actor: Actor) -> Doc:
    """A new incident before anybody is assigned."""
    number = int(state.store.scalar("SELECT COALESCE(MAX(number), 0) + 1 FROM incidents"))
    now = state.stamp()
    service_pointer = ref("service", new.service["id"])
    return {
        "id": state.new_id("Q", 14),
        "incident_number": number,
        "title": new.title,
        "description": new.title,
        "status": "triggered",
        "urgency": new.urgency,
        "created_at": now,
        "updated_at": now,
        "resolved_at": None,
        "last_status_change_at": now,
        "last_status_change_by": service_pointer if actor.kind == "service" else actor.pointer,
        "incident_key": new.incident_key,
        "service": service_pointer,
        "assignments": [],
        "assigned_via": "direct_assignment" if new.assignee_ids else "escalation_policy",
        "acknowledgements": [],
        "escalation_policy": ref("escalation_policy", new.escalation_policy_id),
        "teams": new.service["teams"],
        "priority": ref("priority", new.priority_id) if new.priority_id else None,
        "first_trigger_log_entry": None,
        "is_mergeable": True,
        "incident_type": {"name": new.incident_type},
        "pending_actions": [],
        "alert_grouping": None,
        "resolve_reason": None,
        "conference_bridge": new.conference_bridge,
        "incidents_responders": [],
        "responder_requests": [],
        "subscriber_requests": [],
        "body": {"type": "incident_body", "details": new.details} if new.details else None,
        "_custom_fields": {},
        "_escalation_level": 1,
    }


def refuse_duplicate(state: PagerDutyState, service_id: str, incident_key: str) -> None:
    """Raise the duplicate refusal while an open incident on the service has the key."""
    taken = state.store.scalar(
        "SELECT COUNT(*) FROM incidents"
        " WHERE service_id = ? AND incident_key = ? AND status <> 'resolved'",
        (service_id, incident_key),
    )
    if taken:
        raise arguments_error(
            "Open incident with matching dedup key already exists on this service"
        )


def create(state: PagerDutyState, actor: Actor, body: Any) -> Doc:
    """POST /incidents: check, store, log and announce a new incident; the stored document."""
    with state.transaction():
        new = draft(state, body)
        if new.incident_key:
            refuse_duplicate(state, new.service["id"], new.incident_key)
        return open_incident(state, actor, new)


def open_incident(
    state: PagerDutyState, actor: Actor, new: Draft, *, channel: Mapping[str, Any] | None = None
) -> Doc:
    """Store a checked draft with its trigger and assign entries, and announce it."""
    doc = _blank(state, new, actor)
    people = new.assignee_ids or checks.on_call(state, new.escalation_policy_id)
    doc["assignments"] = incidents.assignments(state, people)
    own = actor.kind == "user" and new.assignee_ids == (actor.id,)
    if own:
        doc["status"] = "acknowledged"
        doc["acknowledgements"] = [{"at": state.stamp(), "acknowledger": actor.pointer}]
    pending.plan(state, doc)
    trigger_channel = {
        "type": "web_trigger" if actor.channel == "website" else actor.channel,
        "summary": new.title,
        "subject": new.title,
        "details": new.details,
        **(channel or {}),
    }
    entry = entries.record(
        state, doc, "trigger", actor, "Triggered through the API.",
        channel=trigger_channel, event_details={"description": new.title},
    )  # fmt: skip
    doc["first_trigger_log_entry"] = {
        "ref": "log_entry", "type": "trigger_log_entry", "id": entry["id"],
        "summary": entry["summary"],
    }  # fmt: skip
    incidents.save(state, doc)
    entries.record(
        state, doc, "assign", actor, "Assigned", assignees=entries.assignees(doc["assignments"])
    )
    if not own:
        incidents.notify(state, doc, people)
    webhooks.announce(state, "incident.triggered", doc, actor)
    return doc
