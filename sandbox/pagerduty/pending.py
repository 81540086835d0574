"""`pending_actions`: what will happen to an incident by itself, as its service is configured."""

from datetime import UTC, datetime

from sandbox.pagerduty.shapes import Doc, to_seconds
from sandbox.pagerduty.state import PagerDutyState


def action(kind: str, due: float) -> Doc:
    """One member of `pending_actions`, due at this epoch second."""
    return {"type": kind, "at": to_seconds(datetime.fromtimestamp(due, UTC)), "_due": due}


def plan(state: PagerDutyState, doc: Doc) -> None:
    """Set what is pending after the incident opened or its status moved."""
    service = state.store.get("service", doc["service"]["id"]) or {}
    now = state.now().timestamp()
    resolution = [item for item in doc["pending_actions"] if item["type"] == "resolve"]
    dues: list[Doc] = []
    if doc["status"] == "acknowledged" and service.get("acknowledgement_timeout"):
        dues.append(action("unacknowledge", now + service["acknowledgement_timeout"]))
    delay = _escalation_delay(state, doc)
    if delay is not None:
        dues.append(action("escalate", now + delay))
    if doc["status"] != "resolved" and service.get("auto_resolve_timeout"):
        # It runs since the incident opened, whatever happens in between.
        dues += resolution or [action("resolve", now + service["auto_resolve_timeout"])]
    doc["pending_actions"] = sorted(dues, key=lambda item: float(item["_due"]))


def _escalation_delay(state: PagerDutyState, doc: Doc) -> float | None:
    """Seconds until the next level is paged; None where nothing will escalate."""
    followed = doc["status"] == "triggered" and doc["assigned_via"] == "escalation_policy"
    if not followed or doc["urgency"] == "low":
        return None
    policy = state.store.get("escalation_policy", doc["escalation_policy"]["id"]) or {}
    rules = policy.get("escalation_rules", [])
    level = doc["_escalation_level"]
    if level >= len(rules):
        return None
    return float(rules[level - 1]["escalation_delay_in_minutes"]) * 60
