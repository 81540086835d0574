"""What PUT /incidents does: status, priority, urgency, assignment and the rest, each with its log entry."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.pagerduty import checks, entries, incidents, notes, pending, webhooks
from sandbox.pagerduty.shapes import Actor, Doc, Refusal, invalid, ref
from sandbox.pagerduty.state import PagerDutyState

STATUSES = ("triggered", "acknowledged", "resolved")
MAX_BULK = 250
CHANGES_OF_OPEN = (
    "title", "urgency", "priority", "escalation_level", "assignments", "escalation_policy",
    "incident_type", "conference_bridge", "service", "resolution",
)  # fmt: skip


def update(state: PagerDutyState, actor: Actor, incident_id: str, body: Any) -> Doc:
    """PUT /incidents/{id}: the changed incident; raises Refusal and changes nothing otherwise."""
    if not isinstance(body, Mapping) or not str(body.get("type", "")).startswith("incident"):
        raise invalid("Type must be incident_reference")
    with state.transaction():
        return _apply(state, actor, incidents.get(state, incident_id), body)


def update_many(state: PagerDutyState, actor: Actor, bodies: Any) -> list[Doc]:
    """PUT /incidents: up to 250 incidents, all or nothing."""
    if not isinstance(bodies, list) or not bodies:
        raise invalid("Incidents must be a list")
    if len(bodies) > MAX_BULK:
        raise Refusal(413, 2001, "Request Entity Too Large", [f"At most {MAX_BULK} incidents"])
    changed = []
    with state.transaction():
        for body in bodies:
            identifier = body.get("id") if isinstance(body, Mapping) else None
            if not identifier:
                raise Refusal(400, 1004, "Invalid ID", ["Incident id can't be blank"])
            without_service = {key: value for key, value in body.items() if key != "service"}
            changed.append(update(state, actor, str(identifier), without_service))
    return changed


def _apply(state: PagerDutyState, actor: Actor, doc: Doc, body: Mapping[str, Any]) -> Doc:
    status = body.get("status")
    if status is not None and status not in STATUSES:
        raise Refusal(400, 1003, "Invalid Status", ["Status is invalid"])
    if body.get("assignments") and body.get("escalation_policy"):
        raise invalid("Assignments and escalation policy cannot both be given")
    if doc["status"] == "resolved" and status not in ("triggered", "acknowledged"):
        asked = status is not None or any(name in body for name in CHANGES_OF_OPEN)
        if asked:
            raise Refusal(400, 1001, "Incident Already Resolved", ["Incident Already Resolved"])
    before_status: list[tuple[str, _Change]] = [
        ("title", set_title), ("service", set_service), ("incident_type", set_incident_type),
        ("conference_bridge", set_conference_bridge), ("priority", set_priority),
        ("urgency", set_urgency), ("escalation_policy", delegate), ("assignments", assign),
        ("escalation_level", escalate),
    ]  # fmt: skip
    if status in ("triggered", "acknowledged"):
        set_status(state, actor, doc, status, None)
    for name, change in before_status:
        if name in body:
            change(state, actor, doc, body[name])
    if status == "resolved":
        set_status(state, actor, doc, status, body.get("resolution"))
    doc["updated_at"] = state.stamp()
    incidents.save(state, doc)
    return doc


_Change = Callable[[PagerDutyState, Actor, Doc, Any], None]


def set_status(
    state: PagerDutyState, actor: Actor, doc: Doc, status: str, resolution: str | None
) -> None:
    """Move between triggered, acknowledged and resolved; a resolved incident is reopened."""
    if doc["status"] == "resolved":
        _reopen(state, actor, doc)
    if status == "acknowledged":
        _acknowledge(state, actor, doc)
    elif status == "resolved":
        resolve(state, actor, doc, resolution)
    elif doc["status"] == "acknowledged":
        unacknowledge(state, actor, doc)


def _moved(state: PagerDutyState, actor: Actor, doc: Doc, status: str) -> None:
    doc["status"] = status
    doc["last_status_change_at"] = state.stamp()
    doc["last_status_change_by"] = actor.pointer
    pending.plan(state, doc)


def _acknowledge(state: PagerDutyState, actor: Actor, doc: Doc) -> None:
    service = state.store.get("service", doc["service"]["id"]) or {}
    _moved(state, actor, doc, "acknowledged")
    others = [item for item in doc["acknowledgements"] if item["acknowledger"] != actor.pointer]
    doc["acknowledgements"] = [*others, {"at": state.stamp(), "acknowledger": actor.pointer}]
    entries.record(
        state, doc, "acknowledge", actor, "Acknowledged",
        acknowledgement_timeout=service.get("acknowledgement_timeout"),
    )  # fmt: skip
    if actor.kind == "user" and [item["assignee"]["id"] for item in doc["assignments"]] != [
        actor.id
    ]:
        doc["assignments"] = incidents.assignments(state, [actor.id])
        _log_assignment(state, actor, doc, "assign")
    webhooks.announce(state, "incident.acknowledged", doc, actor)


def unacknowledge(state: PagerDutyState, actor: Actor, doc: Doc) -> None:
    """Back to triggered, by a person or by a time-out."""
    _moved(state, actor, doc, "triggered")
    doc["acknowledgements"] = []
    entries.record(state, doc, "unacknowledge", actor, "Unacknowledged")
    webhooks.announce(state, "incident.unacknowledged", doc, actor)


def resolve(
    state: PagerDutyState,
    actor: Actor,
    doc: Doc,
    resolution: str | None = None,
    *,
    reason: Mapping[str, Any] | None = None,
) -> None:
    """Close the incident; a resolution text goes into the entry and becomes a note."""
    if doc["status"] == "resolved":
        raise Refusal(400, 1001, "Incident Already Resolved", ["Incident Already Resolved"])
    _moved(state, actor, doc, "resolved")
    doc["resolved_at"] = state.stamp()
    doc["resolve_reason"] = dict(reason) if reason else None
    doc["acknowledgements"] = []
    doc["assignments"] = []
    members: dict[str, Any] = {"note": resolution} if resolution else {}
    entries.record(state, doc, "resolve", actor, "Resolved", **members)
    state.store.execute(
        "UPDATE alerts SET status = 'resolved', doc = json_set(doc, '$.status', 'resolved')"
        " WHERE incident_id = ?",
        (doc["id"],),
    )
    webhooks.announce(state, "incident.resolved", doc, actor)
    if resolution:
        notes.store(state, actor, doc, f"Resolution Note: {resolution}")


def _reopen(state: PagerDutyState, actor: Actor, doc: Doc) -> None:
    doc["assigned_via"], doc["_escalation_level"] = "escalation_policy", 1
    _moved(state, actor, doc, "triggered")
    doc["resolved_at"] = None
    doc["resolve_reason"] = None
    people = checks.on_call(state, doc["escalation_policy"]["id"])
    doc["assignments"] = incidents.assignments(state, people)
    entries.record(state, doc, "reopen", actor, "Reopened")
    _log_assignment(state, actor, doc, "assign")
    webhooks.announce(state, "incident.reopened", doc, actor)


def _log_assignment(state: PagerDutyState, actor: Actor, doc: Doc, kind: str) -> None:
    people = entries.assignees(doc["assignments"])
    entries.record(state, doc, kind, actor, f"{kind.capitalize()}ed", assignees=people)


def assign(state: PagerDutyState, actor: Actor, doc: Doc, value: Any) -> None:
    """Reassign to people directly: the policy is no longer followed."""
    people = checks.assignee_ids(state, value)
    doc["assignments"] = incidents.assignments(state, people)
    doc["assigned_via"] = "direct_assignment"
    if doc["status"] == "triggered":
        pending.plan(state, doc)
    _log_assignment(state, actor, doc, "assign")
    incidents.notify(state, doc, people)
    webhooks.announce(state, "incident.reassigned", doc, actor)


def delegate(state: PagerDutyState, actor: Actor, doc: Doc, value: Any) -> None:
    """Hand over to another escalation policy, from its first level."""
    policy = checks.policy_id(state, value)
    doc["escalation_policy"] = ref("escalation_policy", policy)
    doc["_escalation_level"] = 1
    _by_policy(state, doc, checks.on_call(state, policy))
    _log_assignment(state, actor, doc, "delegate")
    webhooks.announce(state, "incident.delegated", doc, actor)


def escalate(state: PagerDutyState, actor: Actor, doc: Doc, value: Any) -> None:
    """Go to a level of the current policy; impossible for low urgency."""
    policy = doc["escalation_policy"]["id"]
    levels = len((state.store.get("escalation_policy", policy) or {})["escalation_rules"])
    known_level = isinstance(value, int) and 1 <= value <= levels
    if doc["urgency"] == "low" or not known_level:
        raise Refusal(400, 1006, "Cannot Escalate", ["Incident cannot be escalated to this level"])
    doc["_escalation_level"] = value
    _by_policy(state, doc, checks.on_call(state, policy, value))
    _log_assignment(state, actor, doc, "escalate")
    webhooks.announce(state, "incident.escalated", doc, actor)


def _by_policy(state: PagerDutyState, doc: Doc, people: Sequence[str]) -> None:
    doc["assignments"] = incidents.assignments(state, people)
    doc["assigned_via"] = "escalation_policy"
    if doc["status"] == "triggered":
        pending.plan(state, doc)
    incidents.notify(state, doc, people)


def set_priority(state: PagerDutyState, actor: Actor, doc: Doc, value: Any) -> None:
    """Set or clear the priority; the entry's channel tells old and new."""
    new = checks.priority_id(state, value)
    old = doc["priority"]["id"] if doc["priority"] else None
    if new == old:
        return
    doc["priority"] = ref("priority", new) if new else None
    channel = {"old_priority": _named(state, old), "new_priority": _named(state, new)}
    entries.record(state, doc, "priority_change", actor, "Priority changed", channel=channel)
    webhooks.announce(state, "incident.priority_updated", doc, actor)


def _named(state: PagerDutyState, priority_id: str | None) -> Doc | None:
    priority = state.store.get("priority", priority_id) if priority_id else None
    return {"id": priority["id"], "name": priority["name"]} if priority else None


def set_urgency(state: PagerDutyState, actor: Actor, doc: Doc, value: Any) -> None:
    """high or low; there is no webhook for it."""
    checks.urgency(value)
    if value == doc["urgency"]:
        return
    channel = {"old_urgency": doc["urgency"], "new_urgency": value}
    doc["urgency"] = value
    entries.record(state, doc, "urgency_change", actor, "Urgency changed", channel=channel)


def _field_changed(
    state: PagerDutyState, actor: Actor, doc: Doc, name: str, old: Any, new: Any
) -> None:
    changeset = [f"{name} changed from {old} to {new}"]
    field = {"id": name, "name": name, "value": new, "old_value": old}
    entries.record(
        state, doc, "field_value_change", actor, f"{name} changed",
        channel={"changeset": changeset, "application_fields": [field]}, changeset=changeset,
    )  # fmt: skip


def set_title(state: PagerDutyState, actor: Actor, doc: Doc, value: Any) -> None:
    """A new title; there is no webhook for it."""
    if not isinstance(value, str) or not value.strip():
        raise invalid("Title can't be blank")
    if value == doc["title"]:
        return
    old, doc["title"], doc["description"] = doc["title"], value, value
    _field_changed(state, actor, doc, "title", old, value)


def set_incident_type(state: PagerDutyState, actor: Actor, doc: Doc, value: Any) -> None:
    """Another enabled incident type, by name or id."""
    name = checks.incident_type(state, value)
    old = doc["incident_type"]["name"]
    if name == old:
        return
    doc["incident_type"] = {"name": name}
    _field_changed(state, actor, doc, "incident_type", old, name)
    webhooks.announce(state, "incident.incident_type.changed", doc, actor)


def set_conference_bridge(state: PagerDutyState, actor: Actor, doc: Doc, value: Any) -> None:
    """A conference number or address, or null for none."""
    bridge = checks.conference_bridge(value)
    if bridge == doc["conference_bridge"]:
        return
    old, doc["conference_bridge"] = doc["conference_bridge"], bridge
    _field_changed(state, actor, doc, "conference_bridge", old, bridge)
    webhooks.announce(state, "incident.conference_bridge.updated", doc, actor)


def set_service(state: PagerDutyState, actor: Actor, doc: Doc, value: Any) -> None:
    """Move the incident to another service."""
    service = checks.service(state, value)
    old, identifier = doc["service"]["id"], service["id"]
    if old == identifier:
        return
    doc["service"] = ref("service", identifier)
    doc["teams"] = service["teams"]
    _field_changed(state, actor, doc, "service", old, identifier)
    webhooks.announce(state, "incident.service_updated", doc, actor)
