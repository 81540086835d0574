"""Incidents: finding, storing and creating them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.pagerduty import entries, webhooks
from sandbox.pagerduty.shapes import Actor, Doc, Refusal, arguments_error, invalid, not_found, ref
from sandbox.pagerduty.state import PagerDutyState

OPEN = ("triggered", "acknowledged")
URGENCIES = ("high", "low")
SORTS = {"incident_number": "number", "created_at": "created_at", "resolved_at": "resolved_at",
         "urgency": "urgency"}  # fmt: skip


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


def get(state: PagerDutyState, id_or_number: str) -> Doc:
    """The stored incident; raises Refusal 404 for an unknown id or number."""
    docs = state.store.docs("SELECT doc FROM incidents WHERE id = ?", (id_or_number,))
    if not docs and id_or_number.isdigit():
        docs = state.store.docs("SELECT doc FROM incidents WHERE number = ?", (int(id_or_number),))
    if not docs:
        raise not_found("Incident")
    return docs[0]


def save(state: PagerDutyState, doc: Doc) -> None:
    """Write the incident back, its searchable columns beside it."""
    dues = [action["_due"] for action in doc["pending_actions"]]
    priority = doc["priority"]
    values = (
        doc["id"], doc["service"]["id"], doc["status"], doc["urgency"],
        priority and priority["id"], doc["incident_key"], doc["created_at"], doc["resolved_at"],
        min(dues, default=None), json.dumps(doc), doc["incident_number"],
    )  # fmt: skip
    updated = state.store.execute(
        "UPDATE incidents SET id = ?, service_id = ?, status = ?, urgency = ?, priority_id = ?,"
        " incident_key = ?, created_at = ?, resolved_at = ?, due_at = ?, doc = ? WHERE number = ?",
        values,
    )
    if not updated:
        state.store.execute(
            "INSERT INTO incidents (id, service_id, status, urgency, priority_id, incident_key,"
            " created_at, resolved_at, due_at, doc, number)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )


@dataclass(frozen=True, slots=True)
class Search:
    """Filters of GET /incidents; empty tuples and None do not filter."""

    since: str | None = None
    until: str | None = None
    statuses: tuple[str, ...] = ()
    urgencies: tuple[str, ...] = ()
    service_ids: tuple[str, ...] = ()
    priority_ids: tuple[str, ...] = ()
    team_ids: tuple[str, ...] = ()
    user_ids: tuple[str, ...] = ()
    incident_key: str | None = None
    order: tuple[tuple[str, str], ...] = (("number", "ASC"),)


def _condition(search: Search) -> tuple[str, list[Any]]:
    terms, values = ["1 = 1"], list[Any]()

    def add(term: str, *more: Any) -> None:
        terms.append(term)
        values.extend(more)

    if search.since is not None:
        add("i.created_at >= ?", search.since)
    if search.until is not None:
        add("i.created_at < ?", search.until)
    for column, wanted in (
        ("i.status", search.statuses), ("i.urgency", search.urgencies),
        ("i.service_id", search.service_ids), ("i.priority_id", search.priority_ids),
    ):  # fmt: skip
        if wanted:
            add(f"{column} IN ({', '.join('?' * len(wanted))})", *wanted)
    if search.team_ids:
        marks = ", ".join("?" * len(search.team_ids))
        add("EXISTS (SELECT 1 FROM json_each(i.doc, '$.teams') AS t"
            f" WHERE t.value ->> 'id' IN ({marks}))", *search.team_ids)  # fmt: skip
    if search.user_ids:
        marks = ", ".join("?" * len(search.user_ids))
        add("EXISTS (SELECT 1 FROM json_each(i.doc, '$.assignments') AS a"
            f" WHERE a.value ->> '$.assignee.id' IN ({marks}))", *search.user_ids)  # fmt: skip
    if search.incident_key is not None:
        add("(i.incident_key = ? OR EXISTS (SELECT 1 FROM alerts"
            " WHERE alerts.incident_id = i.id AND alerts.alert_key = ?))",
            search.incident_key, search.incident_key)  # fmt: skip
    return " AND ".join(terms), values


def search(state: PagerDutyState, wanted: Search, offset: int, limit: int) -> list[Doc]:
    """One page of stored incidents in the order asked for."""
    condition, values = _condition(wanted)
    order = ", ".join(f"i.{column} {direction}" for column, direction in wanted.order)
    sql = f"SELECT doc FROM incidents AS i WHERE {condition} ORDER BY {order} LIMIT ? OFFSET ?"  # noqa: S608
    return state.store.docs(sql, [*values, limit, offset])


def count(state: PagerDutyState, wanted: Search) -> int:
    """How many incidents the filters leave."""
    condition, values = _condition(wanted)
    sql = f"SELECT COUNT(*) FROM incidents AS i WHERE {condition}"  # noqa: S608
    return int(state.store.scalar(sql, values))


def resolve_priority(state: PagerDutyState, value: Any) -> str | None:
    """The id behind a priority reference or a bare name (the highest match wins)."""
    if value is None:
        return None
    known = state.store.all("priority")
    if isinstance(value, Mapping) and value.get("id"):
        matches = [doc for doc in known if doc["id"] == value["id"]]
    else:
        name = value.get("name") if isinstance(value, Mapping) else value
        matches = sorted(
            (doc for doc in known if doc["name"] == name), key=lambda doc: -int(doc["order"])
        )
    if not matches:
        raise Refusal(400, 1020, "Invalid Priority", ["Priority is invalid"])
    return str(matches[0]["id"])


def resolve_assignees(state: PagerDutyState, value: Any) -> tuple[str, ...]:
    """User ids of an `assignments` list; raises Refusal 1007 for a user that does not exist."""
    if not isinstance(value, list) or not value:
        raise invalid("Assignments must be a list of assignees")
    found = []
    for item in value:
        assignee = item.get("assignee") if isinstance(item, Mapping) else None
        user = state.store.get("user", str((assignee or {}).get("id")))
        if user is None or not user["active"]:
            raise Refusal(400, 1007, "Assigned To User Not Found")
        found.append(user["id"])
    return tuple(found)


def resolve_policy(state: PagerDutyState, value: Any) -> str:
    """The id of an escalation policy reference; raises Refusal 1014 where there is none."""
    identifier = str(value.get("id")) if isinstance(value, Mapping) else ""
    if state.store.get("escalation_policy", identifier) is None:
        raise Refusal(400, 1014, "Escalation Policy Not Found")
    return identifier


def resolve_type(state: PagerDutyState, value: Any) -> str:
    """The name of an enabled incident type given as `{"name": ...}` or `{"id": ...}`."""
    wanted = value if isinstance(value, Mapping) else {}
    for known in state.store.all("incident_type"):
        if known["enabled"] and (wanted.get("name") == known["name"] or wanted.get("id") == known["id"]):  # noqa: E501
            return str(known["name"])
    raise invalid("Incident type is invalid")


def resolve_bridge(value: Any) -> Doc | None:
    """A conference bridge with at least one of its two members."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise invalid("Conference bridge must be an object")
    return {name: value.get(name) for name in ("conference_number", "conference_url")}


def on_call(state: PagerDutyState, policy_id: str, level: int = 1) -> tuple[str, ...]:
    """Who a policy's level pages; raises Refusal 1015 where nobody is."""
    policy = state.store.get("escalation_policy", policy_id)
    rules = policy["escalation_rules"] if policy else []
    targets = rules[level - 1]["targets"] if 0 < level <= len(rules) else []
    if not targets:
        raise Refusal(400, 1015, "Escalation Policy Has Nobody On Call")
    return tuple(target["id"] for target in targets)


def _default_urgency(service: Mapping[str, Any]) -> str:
    return str((service.get("incident_urgency_rule") or {}).get("urgency") or "high")


def draft(state: PagerDutyState, body: Any) -> Draft:
    """Check the `incident` object of POST /incidents; raises Refusal with what is wrong."""
    if not isinstance(body, Mapping):
        raise invalid("Incident can't be blank")
    problems = []
    if body.get("type") not in ("incident", "incident_reference"):
        problems.append("Type must be incident")
    title = body.get("title")
    if not isinstance(title, str) or not title.strip():
        problems.append("Title can't be blank")
    service_id = body["service"].get("id") if isinstance(body.get("service"), Mapping) else None
    if not service_id:
        problems.append("Service can't be blank")
    if problems:
        raise invalid(*problems)
    service = state.store.get("service", str(service_id))
    if service is None:
        raise Refusal(404, 5002, "Service Not Found")
    if service["status"] == "disabled":
        raise invalid("Service is disabled")
    if body.get("assignments") and body.get("escalation_policy"):
        raise invalid("Assignments and escalation policy cannot both be given")
    assignees = resolve_assignees(state, body["assignments"]) if body.get("assignments") else ()
    if len(assignees) > 1:
        raise invalid("Only one assignee is supported")
    urgency = body.get("urgency") or _default_urgency(service)
    if urgency not in URGENCIES:
        raise invalid("Urgency is invalid")
    details = body["body"].get("details") if isinstance(body.get("body"), Mapping) else None
    policy = body.get("escalation_policy")
    return Draft(
        title=str(title),
        service=service,
        urgency=urgency,
        priority_id=resolve_priority(state, body.get("priority")),
        incident_key=body.get("incident_key") or None,
        details=details if details is None or isinstance(details, str) else json.dumps(details),
        assignee_ids=assignees,
        escalation_policy_id=resolve_policy(state, policy) if policy else service["escalation_policy"]["id"],  # noqa: E501
        incident_type=resolve_type(state, body["incident_type"]) if body.get("incident_type") else "incident_default",  # noqa: E501
        conference_bridge=resolve_bridge(body.get("conference_bridge")),
    )  # fmt: skip


def assignments(state: PagerDutyState, user_ids: Sequence[str]) -> list[Doc]:
    """The stored `assignments` member for these users, as of now."""
    return [{"at": state.stamp(), "assignee": ref("user", user)} for user in user_ids]


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
    people = new.assignee_ids or on_call(state, new.escalation_policy_id)
    doc["assignments"] = assignments(state, people)
    own = actor.kind == "user" and new.assignee_ids == (actor.id,)
    if own:
        doc["status"] = "acknowledged"
        doc["acknowledgements"] = [{"at": state.stamp(), "acknowledger": actor.pointer}]
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
    save(state, doc)
    entries.record(
        state, doc, "assign", actor, "Assigned", assignees=entries.assignees(doc["assignments"])
    )
    if not own:
        notify(state, doc, people)
    webhooks.announce(state, "incident.triggered", doc, actor)
    return doc


def notify(state: PagerDutyState, doc: Mapping[str, Any], user_ids: Sequence[str]) -> None:
    """Log that these people were told; such entries carry no agent."""
    if doc["urgency"] != "high":
        return
    for user in user_ids:
        notification = {"type": "push_notification", "status": "success", "address": "phone"}
        entries.record(
            state, doc, "notify", None, "Notified by push",
            channel={"notification": notification}, user=ref("user", user),
        )  # fmt: skip
