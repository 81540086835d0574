"""Stored documents to what the REST API shows: references, links, and `include[]` expansion."""

from collections.abc import Mapping
from typing import Any

from sandbox.pagerduty.shapes import Doc
from sandbox.pagerduty.state import PagerDutyState

PATHS = {
    "user": "users",
    "service": "services",
    "escalation_policy": "escalation_policies",
    "priority": "priorities",
    "team": "teams",
    "incident_workflow": "incident_workflows",
    "incident": "incidents",
    "log_entry": "log_entries",
}
WEB_PATHS = {
    "user": "users/",
    "service": "service-directory/",
    "escalation_policy": "escalation_policies#",
    "team": "teams/",
    "incident": "incidents/",
}
HIDDEN = {"service": ("routing_key",), "user": ("active",), "custom_field": ("incident_type",)}
# `include[]` value of GET /incidents -> the members it fills with whole objects.
INCIDENT_INCLUDES = {
    "acknowledgers": ("acknowledgements",),
    "agents": ("last_status_change_by",),
    "assignees": ("assignments",),
    "users": ("assignments", "acknowledgements", "last_status_change_by"),
    "escalation_policies": ("escalation_policy",),
    "first_trigger_log_entries": ("first_trigger_log_entry",),
    "priorities": ("priority",),
    "services": ("service",),
    "teams": ("teams",),
}


def links(state: PagerDutyState, kind: str, identifier: str) -> Doc:
    """The `self` and `html_url` members of a resource."""
    path = PATHS.get(kind)
    web = WEB_PATHS.get(kind)
    return {
        "self": f"{state.api_url}/{path}/{identifier}" if path else None,
        "html_url": f"{state.web_url}/{web}{identifier}" if web else None,
    }


def summary_of(doc: Mapping[str, Any]) -> str:
    """What a reference calls the thing."""
    return str(doc.get("name") or doc.get("summary") or doc["id"])


def reference(state: PagerDutyState, pointer: Mapping[str, Any]) -> Doc:
    """A stored pointer as an API reference: id, type, summary, self, html_url."""
    kind, identifier = pointer["ref"], pointer["id"]
    summary = state.store.name(kind, identifier) or pointer.get("summary")
    kind_name = pointer.get("type", kind)
    return {
        "id": identifier,
        "type": f"{kind_name}_reference",
        "summary": summary,
        **links(state, kind, identifier),
    }


def expand(state: PagerDutyState, value: Any, *, whole: bool = False) -> Any:
    """Replace stored pointers inside `value` by references, or by whole objects one level deep."""
    if isinstance(value, Mapping):
        if "ref" in value:
            doc = state.store.get(value["ref"], value["id"]) if whole else None
            return resource(state, value["ref"], doc) if doc else reference(state, value)
        return {
            key: expand(state, member, whole=whole)
            for key, member in value.items()
            if not key.startswith("_")
        }
    if isinstance(value, list):
        return [expand(state, member, whole=whole) for member in value]
    return value


def resource(
    state: PagerDutyState, kind: str, doc: Mapping[str, Any], include: tuple[str, ...] = ()
) -> Doc:
    """A whole user, service, priority... ; members named in `include` hold whole objects too."""
    hidden = HIDDEN.get(kind, ())
    shown = {
        key: expand(state, value, whole=key in include)
        for key, value in doc.items()
        if key not in hidden
    }
    kind_type = {"custom_field": "field"}.get(kind, kind)
    return {
        **shown,
        "type": kind_type,
        "summary": summary_of(doc),
        **links(state, kind, doc["id"]),
    }


def incident_reference(state: PagerDutyState, doc: Mapping[str, Any]) -> Doc:
    """The reference form of an incident."""
    return {
        "id": doc["id"],
        "type": "incident_reference",
        "summary": f"[#{doc['incident_number']}] {doc['title']}",
        **links(state, "incident", doc["id"]),
    }


def _alert_counts(state: PagerDutyState, incident_id: str) -> Doc:
    rows = state.store.rows(
        "SELECT status, COUNT(*) AS n FROM alerts WHERE incident_id = ? GROUP BY status",
        (incident_id,),
    )
    counts = {row["status"]: row["n"] for row in rows}
    resolved = counts.get("resolved", 0)
    return {
        "all": sum(counts.values()),
        "triggered": sum(counts.values()) - resolved,
        "resolved": resolved,
    }


def incident(state: PagerDutyState, doc: Mapping[str, Any], include: tuple[str, ...] = ()) -> Doc:
    """An incident as REST shows it; custom fields only with `include[]=custom_fields`."""
    whole = {member for name in include for member in INCIDENT_INCLUDES.get(name, ())}
    shown = {
        key: expand(state, value, whole=key in whole)
        for key, value in doc.items()
        if not key.startswith("_")
    }
    if "first_trigger_log_entries" in include:
        entry = doc["first_trigger_log_entry"]["id"]
        found = state.store.docs("SELECT doc FROM log_entries WHERE id = ?", (entry,))
        if found:
            shown["first_trigger_log_entry"] = log_entry(state, found[0], doc, ("channels",))
    if "custom_fields" in include:
        shown["custom_fields"] = custom_field_values(state, doc)
    return {
        **incident_reference(state, doc),
        "type": "incident",
        **shown,
        "alert_counts": _alert_counts(state, doc["id"]),
    }


def custom_field_values(state: PagerDutyState, doc: Mapping[str, Any]) -> list[Doc]:
    """Every enabled custom field of the account with this incident's value (null where unset)."""
    names = ("id", "name", "display_name", "description", "data_type", "field_type")
    return [
        {
            **{name: field[name] for name in names},
            "type": "field_value",
            "value": doc["_custom_fields"].get(field["id"]),
        }
        for field in state.store.all("custom_field")
        if field["enabled"]
    ]


def log_entry(
    state: PagerDutyState,
    doc: Mapping[str, Any],
    of_incident: Mapping[str, Any],
    include: tuple[str, ...] = (),
) -> Doc:
    """A log entry; the incident inside is the incident as it is now, not as it was then.

    Channel bodies (details, old and new values) come only with `include[]=channels`.
    """
    shown = {key: expand(state, value) for key, value in doc.items() if key != "channel"}
    channel = expand(state, doc["channel"])
    if "channels" not in include:
        channel = {
            key: channel[key] for key in ("type", "summary", "notification") if key in channel
        }
    return {
        **shown,
        "self": f"{state.api_url}/log_entries/{doc['id']}?incident_id={of_incident['id']}",
        "html_url": None,
        "channel": channel,
        "service": expand(state, of_incident["service"], whole="services" in include),
        "teams": expand(state, of_incident["teams"], whole="teams" in include),
        "incident": incident(state, of_incident)
        if "incidents" in include
        else incident_reference(state, of_incident),
    }
