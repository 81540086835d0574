"""What happens by itself: acknowledgement time-outs, the end of a snooze, automatic resolution."""

from sandbox.pagerduty import changes, incidents
from sandbox.pagerduty.shapes import Actor, Doc
from sandbox.pagerduty.state import PagerDutyState


def run_due(state: PagerDutyState) -> int:
    """Carry out every pending action whose time has come; how many incidents changed."""
    now = state.now().timestamp()
    sql = "SELECT doc FROM incidents WHERE due_at IS NOT NULL AND due_at <= ?"
    if not state.store.rows(sql, (now,)):
        return 0
    with state.transaction():
        due = state.store.docs(sql, (now,))
        for doc in due:
            for action in [item for item in doc["pending_actions"] if item["_due"] <= now]:
                _carry_out(state, doc, action["type"])
            doc["updated_at"] = state.stamp()
            incidents.save(state, doc)
    return len(due)


def _carry_out(state: PagerDutyState, doc: Doc, kind: str) -> None:
    doc["pending_actions"] = [item for item in doc["pending_actions"] if item["type"] != kind]
    service = doc["service"]["id"]
    if kind == "resolve" and doc["status"] != "resolved":
        changes.resolve(state, Actor("service", service, "auto"), doc)
    elif kind == "escalate" and doc["status"] == "triggered":
        level = doc["_escalation_level"] + 1
        changes.escalate(state, Actor("service", service, "timeout"), doc, level)
    elif kind == "unacknowledge" and doc["status"] == "acknowledged":
        changes.unacknowledge(state, Actor("service", service, "timeout"), doc)
