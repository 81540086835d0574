"""What a request body names, checked against the account: each returns ids or raises Refusal."""

from collections.abc import Mapping
from typing import Any

from sandbox.pagerduty.shapes import Doc, Refusal, invalid
from sandbox.pagerduty.state import PagerDutyState

URGENCIES = ("high", "low")


def priority_id(state: PagerDutyState, value: Any) -> str | None:
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


def assignee_ids(state: PagerDutyState, value: Any) -> tuple[str, ...]:
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


def policy_id(state: PagerDutyState, value: Any) -> str:
    """The id of an escalation policy reference; raises Refusal 1014 where there is none."""
    identifier = str(value.get("id")) if isinstance(value, Mapping) else ""
    if state.store.get("escalation_policy", identifier) is None:
        raise Refusal(400, 1014, "Escalation Policy Not Found")
    return identifier


def incident_type(state: PagerDutyState, value: Any) -> str:
    """The name of an enabled incident type given as `{"name": ...}` or `{"id": ...}`."""
    wanted = value if isinstance(value, Mapping) else {}
    for known in state.store.all("incident_type"):
        if known["enabled"] and (
            wanted.get("name") == known["name"] or wanted.get("id") == known["id"]
        ):
            return str(known["name"])
    raise invalid("Incident type is invalid")


def conference_bridge(value: Any) -> Doc | None:
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


def urgency(value: Any) -> str:
    """high or low."""
    if value not in URGENCIES:
        raise invalid("Urgency is invalid")
    return str(value)


def service(state: PagerDutyState, value: Any) -> Doc:
    """The service of a reference; raises Refusal 5002 where there is none."""
    identifier = str(value.get("id")) if isinstance(value, Mapping) else ""
    doc = state.store.get("service", identifier)
    if doc is None:
        raise Refusal(404, 5002, "Service Not Found")
    return doc
