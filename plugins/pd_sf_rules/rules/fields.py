"""The names a condition or a template can use, and the kinds of their values.

`Case.Account.Type` is a field of the rule's record, `event.*` and `incident.*` are closed lists. Case of letters
matters: `Event.Subject` and `Incident.Subject` are fields of the sObjects of that name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Literal

from pd_sf_rules.model import Event
from pd_sf_rules.rules.diagnostics import did_you_mean
from pd_sf_rules.rules.values import Kind, kind_of

Side = Literal["record", "incident", "event"]

FieldTypes = Mapping[str, Mapping[str, str]]
"""object -> field path -> Salesforce's type word from describe. What is missing has no known type."""

EVENT_FIELDS: Mapping[str, Kind] = {
    "source": "text",
    "type": "text",
    "agent": "text",
    "occurred_at": "datetime",
}

INCIDENT_FIELDS: Mapping[str, Kind] = {
    "title": "text",
    "status": "text",
    "urgency": "text",
    "priority": "text",
    "priority.id": "text",
    "service.id": "text",
    "service.name": "text",
    "escalation_policy.id": "text",
    "escalation_policy.name": "text",
    "number": "number",
    "html_url": "text",
    "assignees": "text",
}
CUSTOM_FIELDS = "custom_fields."

EVENT_TYPES: Mapping[str, tuple[str, ...]] = {
    "salesforce": ("created", "updated"),
    "pagerduty": (
        "trigger",
        "acknowledge",
        "unacknowledge",
        "resolve",
        "assign",
        "escalate",
        "delegate",
        "annotate",
        "priority_change",
        "urgency_change",
        "custom",
        "reopen",
        "snooze",
        "other",
    ),
}
ALL_EVENT_TYPES = EVENT_TYPES["salesforce"] + EVENT_TYPES["pagerduty"]

OBJECT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_CUSTOM_FIELD = re.compile(r"[A-Za-z0-9_]{1,80}")
_MAX_RELATIONSHIPS = 5  # as far as one SOQL path reaches


class FieldError(ValueError):
    """A name that no condition or template can use. `hint` says what to write."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class FieldRef:
    """A parsed field name: `path` is without the leading object, `incident.` or `event.`."""

    side: Side
    path: str

    def kind(self, object_name: str, types: FieldTypes) -> Kind:
        """Return the kind of the field's values, "unknown" where nothing says so."""
        if self.side == "record":
            return kind_of(types.get(object_name, {}).get(self.path))
        known = EVENT_FIELDS if self.side == "event" else INCIDENT_FIELDS
        return known.get(self.path, "unknown")


def parse_field(name: str, object_name: str) -> FieldRef:
    """Return the field that a condition of a rule on `object_name` names. Raises FieldError."""
    head, _, path = name.partition(".")
    if head == "event":
        return _listed("event", path, EVENT_FIELDS)
    if head == "incident":
        return incident_field(path)
    if head == object_name and path:
        return _record_field(path, object_name)
    raise _unknown_head(name, head, object_name)


def incident_field(path: str) -> FieldRef:
    """Return the incident field of that path (without `incident.`). Raises FieldError."""
    if path.startswith(CUSTOM_FIELDS):
        if _CUSTOM_FIELD.fullmatch(path.removeprefix(CUSTOM_FIELDS)):
            return FieldRef("incident", path)
        raise FieldError(f"'incident.{path}' is not a custom field's name.", "Use its API name.")
    return _listed("incident", path, INCIDENT_FIELDS)


def _listed(side: Side, path: str, known: Mapping[str, Kind]) -> FieldRef:
    """Return a field of a closed list."""
    if path in known:
        return FieldRef(side, path)
    near = did_you_mean(f"{side}.{path}", [f"{side}.{each}" for each in known])
    listed = ", ".join(f"{side}.{each}" for each in known)
    raise FieldError(f"There is no field '{side}.{path}'.", near or f"Use one of: {listed}.")


def _record_field(path: str, object_name: str) -> FieldRef:
    """Return a field of the record, relationships by dots."""
    steps = path.split(".")
    if not all(FIELD_NAME.fullmatch(step) for step in steps):
        hint = f"Write {object_name}.FieldName, or {object_name}.Relationship.FieldName."
        raise FieldError(f"'{object_name}.{path}' is not the API name of a field.", hint)
    if len(steps) > _MAX_RELATIONSHIPS + 1:
        problem = f"'{object_name}.{path}' follows more than {_MAX_RELATIONSHIPS} relationships."
        raise FieldError(problem, "Salesforce reads no further in one query.")
    return FieldRef("record", path)


def _unknown_head(name: str, head: str, object_name: str) -> FieldError:
    """Return the error for a name that starts with neither the object nor `incident` nor `event`."""
    if head == "record" and "." in name:
        hint = f"In a condition write '{object_name}.{name.partition('.')[2]}'."
        return FieldError(f"'{name}' is how a template names a field.", hint)
    if head == object_name or "." not in name:
        near = did_you_mean(name, [f"event.{each}" for each in EVENT_FIELDS])
        hint = near or f"Write '{object_name}.{name}' for a field of the record."
        return FieldError(f"'{name}' does not say whose field it is.", hint)
    near = did_you_mean(head, [object_name, "incident", "event"])
    hint = f"Start it with '{object_name}.', 'incident.' or 'event.'; reach others by relationship."
    return FieldError(f"'{name}' is not a field of this rule's {object_name}.", near or hint)


def event_value(event: Event, path: str) -> Any:
    """Return an `event.*` field; the instant as ISO 8601 text in UTC."""
    if path == "occurred_at":
        return event.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return getattr(event, path)


def event_values(event: Event) -> dict[str, Any]:
    """Return all `event.*` fields of an event."""
    return {path: event_value(event, path) for path in EVENT_FIELDS}
