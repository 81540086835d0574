"""Events API v2: alerts by routing key become incidents; change events are only kept."""

import json
from collections.abc import Mapping
from typing import Any

from sandbox.pagerduty import changes, creation, incidents
from sandbox.pagerduty.shapes import Actor, Doc, ref
from sandbox.pagerduty.state import PagerDutyState

ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "error", "warning", "info")
MAX_BYTES = 512 * 1024


class BadEvent(Exception):  # noqa: N818 - it is an answer, not a fault of ours
    """An event that is refused with 400; `errors` name what is wrong."""

    def __init__(self, *errors: str) -> None:
        super().__init__("; ".join(errors))
        self.errors = list(errors)

    @property
    def body(self) -> Doc:
        """The Events API's own error shape."""
        return {
            "status": "invalid event",
            "message": "Event object is invalid",
            "errors": self.errors,
        }


def _service(state: PagerDutyState, routing_key: Any) -> Doc:
    for service in state.store.all("service"):
        if service.get("routing_key") and service["routing_key"] == routing_key:
            return service
    raise BadEvent("'routing_key' is invalid")


def _checked(event: Any) -> Mapping[str, Any]:
    if not isinstance(event, Mapping):
        raise BadEvent("Event is not an object")
    errors = []
    if event.get("event_action") not in ACTIONS:
        errors.append(f"'event_action' must be one of {', '.join(ACTIONS)}")
    key = event.get("dedup_key")
    if key is not None and (not isinstance(key, str) or len(key) > 255):
        errors.append("'dedup_key' must be a string of at most 255 characters")
    if event.get("event_action") == "trigger":
        errors.extend(_payload_errors(event.get("payload")))
    elif not key:
        errors.append("'dedup_key' is missing or blank")
    if errors:
        raise BadEvent(*errors)
    return event


def _payload_errors(payload: Any) -> list[str]:
    if not isinstance(payload, Mapping):
        return ["'payload' is missing or blank"]
    errors = [
        f"'payload.{name}' is missing or blank"
        for name in ("summary", "source", "severity")
        if not payload.get(name)
    ]
    if payload.get("severity") and payload["severity"] not in SEVERITIES:
        errors.append(f"'payload.severity' must be one of {', '.join(SEVERITIES)}")
    if len(str(payload.get("summary", ""))) > 1024:
        errors.append("'payload.summary' is longer than 1024 characters")
    return errors


def enqueue(state: PagerDutyState, event: Any) -> Doc:
    """POST /v2/enqueue: the 202 body; raises BadEvent."""
    checked = _checked(event)
    service = _service(state, checked.get("routing_key"))
    key = checked.get("dedup_key") or state.new_id("", 32).lower()
    with state.transaction():
        alert = _open_alert(state, checked["routing_key"], key)
        if checked["event_action"] == "trigger":
            if alert is None:
                _trigger(state, service, key, checked)
        elif alert is not None:
            _settle(state, service, alert, checked["event_action"])
    return {"status": "success", "message": "Event processed", "dedup_key": key}


def _open_alert(state: PagerDutyState, routing_key: str, key: str) -> Doc | None:
    sql = "SELECT doc FROM alerts WHERE routing_key = ? AND alert_key = ? AND status = 'triggered'"
    docs = state.store.docs(sql, (routing_key, key))
    return docs[0] if docs else None


def _trigger(state: PagerDutyState, service: Doc, key: str, event: Mapping[str, Any]) -> None:
    payload = event["payload"]
    low = payload["severity"] in ("warning", "info")
    urgency = (service.get("incident_urgency_rule") or {}).get("urgency")
    severity_based = urgency == "severity_based"
    new = creation.Draft(
        title=payload["summary"],
        service=service,
        urgency=("low" if low else "high") if severity_based else urgency or "high",
        priority_id=None,
        incident_key=None,
        details=None,
        assignee_ids=(),
        escalation_policy_id=service["escalation_policy"]["id"],
        incident_type="incident_default",
        conference_bridge=None,
    )
    actor = Actor("service", service["id"], "api")
    channel = {"details": payload.get("custom_details"), "summary": payload["summary"],
               "client": event.get("client"), "client_url": event.get("client_url")}  # fmt: skip
    doc = creation.open_incident(state, actor, new, channel=channel)
    alert = {
        "id": state.new_id("Q", 14),
        "type": "alert",
        "summary": payload["summary"],
        "status": "triggered",
        "alert_key": key,
        "severity": payload["severity"],
        "created_at": state.stamp(),
        "suppressed": False,
        "service": ref("service", service["id"]),
        "incident": {"id": doc["id"], "type": "incident_reference"},
        "body": {"type": "alert_body", "details": payload.get("custom_details")},
    }
    state.store.execute(
        "INSERT INTO alerts (id, incident_id, routing_key, alert_key, status, doc)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (alert["id"], doc["id"], event["routing_key"], key, "triggered", json.dumps(alert)),
    )


def _settle(state: PagerDutyState, service: Doc, alert: Doc, action: str) -> None:
    sql = "SELECT incident_id FROM alerts WHERE id = ?"
    doc = incidents.get(state, str(state.store.scalar(sql, (alert["id"],))))
    actor = Actor("service", service["id"], "api")
    if action == "acknowledge" and doc["status"] == "triggered":
        changes.set_status(state, actor, doc, "acknowledged", None)
    elif action == "resolve":
        state.store.execute(
            "UPDATE alerts SET status = 'resolved', doc = json_set(doc, '$.status', 'resolved')"
            " WHERE id = ?",
            (alert["id"],),
        )
        still_open = state.store.scalar(
            "SELECT COUNT(*) FROM alerts WHERE incident_id = ? AND status = 'triggered'",
            (doc["id"],),
        )
        if not still_open and doc["status"] != "resolved":
            changes.set_status(state, actor, doc, "resolved", None)
    doc["updated_at"] = state.stamp()
    incidents.save(state, doc)


def enqueue_change(state: PagerDutyState, event: Any) -> Doc:
    """POST /v2/change/enqueue: kept, nobody is told; raises BadEvent."""
    if not isinstance(event, Mapping) or not isinstance(event.get("payload"), Mapping):
        raise BadEvent("'payload' is missing or blank")
    if not event["payload"].get("summary"):
        raise BadEvent("'payload.summary' is missing or blank")
    service = _service(state, event.get("routing_key"))
    state.store.put(
        "change_event",
        {"id": state.new_id("P", 14), "service": service["id"], "payload": event["payload"],
         "links": event.get("links"), "received_at": state.stamp()},
    )  # fmt: skip
    return {"status": "success", "message": "Change event processed"}
