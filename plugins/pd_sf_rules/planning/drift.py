"""Where two sides have come apart: what differs from what was last seen, and what today's rules would want."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pd_sf_rules.model import Values
from pd_sf_rules.planning.kinds import UPDATE_RECORD
from pd_sf_rules.planning.values import same_value
from pd_sf_rules.rules.ruleset import ActionSpec
from pd_sf_rules.rules.templates import is_template

COMPARED = ("status", "urgency", "priority.id", "service.id", "escalation_policy.id")
"""What is compared of an incident; its assignees change by themselves with every escalation."""

EVENT_OF_STATUS = {"triggered": "trigger", "acknowledged": "acknowledge", "resolved": "resolve"}
_RESOLVED = "resolved"

Differences = Mapping[str, tuple[Any, Any]]
"""By field: what was last seen, and what is there now."""


def differences(seen: Values, now: Values, names: Collection[str]) -> dict[str, tuple[Any, Any]]:
    """Return the fields of `names` that are not as they were last seen; one that was never seen does not count."""
    return {
        name: (seen[name], now.get(name))
        for name in names
        if name in seen and not same_value(seen[name], now.get(name))
    }


def unmet(spec: ActionSpec, *, record: Values, incident: Values) -> Iterator[tuple[str, Any, Any]]:
    """Yield (field, wanted, there) for what an action wants and the pair does not have.

    Only what can be told without doing it: literal values, and the states of an incident.
    """
    if spec.kind == UPDATE_RECORD:
        yield from _unwritten(spec, record)
    elif incident.get("status") not in {None, _RESOLVED}:
        yield from _unmet_of_incident(spec, incident)


def _unwritten(spec: ActionSpec, record: Values) -> Iterator[tuple[str, Any, Any]]:
    for name, wanted in spec.params["fields"].items():
        path = next((p for p in record if p.casefold() == name.casefold()), None)
        if path and not _rendered(wanted) and not same_value(wanted, record[path]):
            yield path, wanted, record[path]


def _unmet_of_incident(spec: ActionSpec, incident: Values) -> Iterator[tuple[str, Any, Any]]:
    status = incident["status"]
    match spec.kind:
        case "resolve_incident":
            yield "incident.status", _RESOLVED, status
        case "acknowledge_incident" if status == "triggered":
            yield "incident.status", "acknowledged", status
        case "set_urgency" if not _rendered(spec.params["urgency"]):
            if incident.get("urgency") != spec.params["urgency"]:
                yield "incident.urgency", spec.params["urgency"], incident.get("urgency")
        case "set_priority" if not _rendered(spec.params["priority"]):
            wanted = str(spec.params["priority"])
            there = (incident.get("priority"), incident.get("priority.id"))
            if wanted.casefold() not in {str(one).casefold() for one in there}:
                yield "incident.priority", wanted, there[0]


def _rendered(value: Any) -> bool:
    return isinstance(value, str) and is_template(value)
