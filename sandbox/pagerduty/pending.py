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
    if doc["status"] != "resolved" and service.get("auto_resolve_timeout"):
        # It runs since the incident opened, whatever happens in between.
        dues += resolution or [action("resolve", now + service["auto_resolve_timeout"])]
    doc["pending_actions"] = sorted(dues, key=lambda item: float(item["_due"]))
