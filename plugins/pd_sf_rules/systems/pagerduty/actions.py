"""Writes to incidents. Each tells in its result what became of it; none is sent twice."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pd_sf_rules.errors import (
    ConnectionConfigError,
    RateLimitedError,
    RefusedError,
    RetryableError,
    SkippableError,
    SyncError,
    UncertainError,
)
from pd_sf_rules.model import Values
from pd_sf_rules.systems.pagerduty.bodies import (
    NewIncident,
    changes_body,
    creation_body,
    responder,
)
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.pagerduty.incidents import (
    custom_field_values,
    incident_path,
    incident_values,
    incidents_by_key,
)
from pd_sf_rules.systems.pagerduty.refusals import DUPLICATE_KEY
from pd_sf_rules.systems.results import WriteResult, failed

INCIDENTS_PER_CALL = 250
__all__ = [
    "IncidentUpdate",
    "NewIncident",
    "add_note",
    "add_responders",
    "create_incident",
    "publish_status_update",
    "run_workflow",
    "set_custom_fields",
    "update_incidents",
]


@dataclass(frozen=True, slots=True)
class IncidentUpdate:
    """Change one incident. `changes` holds PagerDuty's own names (`status`, `resolution`, `title`,
    `urgency`) and the ids `priority_id`, `escalation_policy_id`, `service_id`, `assignee_ids` (a list).

    "acknowledged" or "triggered" re-opens a resolved incident: the caller reads first.
    """

    incident_id: str
    changes: Mapping[str, Any] = field(default_factory=dict)


def create_incident(client: PagerDutyClient, new: NewIncident) -> WriteResult:
    """Create an incident, or adopt the open one of the same service that has its key already.

    An UncertainError in the result means that it may exist: look with `incidents_by_key`.
    """
    if new.assignee_ids and new.escalation_policy_id:
        message = "An incident cannot have both assignees and an escalation policy."
        return failed(RefusedError(message, hint="Keep one of the two in the rule's action."))
    doing = f"the incident with key {new.incident_key}"
    try:
        body = client.post("incidents", {"incident": creation_body(new)}, doing=doing)
    except (ConnectionConfigError, RateLimitedError, UncertainError) as error:
        return failed(error)
    except SyncError as refusal:
        return _adopt(client, new, refusal)
    values = _incident_of(body)
    if not values.get("id"):
        return failed(UncertainError(f"PagerDuty's answer to {doing} names no incident."))
    return WriteResult(id=str(values["id"]), error=None, created=True, values=values)


def update_incidents(
    client: PagerDutyClient, updates: Sequence[IncidentUpdate]
) -> list[WriteResult]:
    """Update incidents, up to 250 a call; results in the order of `updates`.

    PagerDuty takes all of a call or none: what it refuses is tried in smaller parts, so that one bad
    row does not fail the others. An incident that is gone or resolved already is a SkippableError.
    """
    results: dict[int, WriteResult] = {}
    stop: SyncError | None = None
    for positions in _calls(updates):
        rows = [updates[at] for at in positions]
        answers = [failed(stop)] * len(rows) if stop else _update(client, rows)
        results.update(zip(positions, answers, strict=True))
        stop = next((one.error for one in answers if _stops_all(one.error)), None)
    return [results[at] for at in range(len(updates))]


def add_note(client: PagerDutyClient, incident_id: str, content: str) -> WriteResult:
    """Add a note; `id` is the note's, by which it is known when it comes back.

    An UncertainError in the result means that it may be there: look with `notes.notes_of`.
    """
    path = incident_path(incident_id, "notes")
    doing = f"a note on {incident_id}"

    def send() -> WriteResult:
        body = client.post(path, {"note": {"content": content}}, doing=doing)
        told = _told(body, "note")
        if not told.id:
            return failed(UncertainError(f"PagerDuty's answer to {doing} names no note."))
        return told

    return _alone(send)


def run_workflow(client: PagerDutyClient, incident_id: str, workflow_id: str) -> WriteResult:
    """Start an incident workflow; `id` is the run's. PagerDuty does not tell how a run ends."""
    incident = {"id": incident_id, "type": "incident_reference"}
    path = f"incident_workflows/{quote(workflow_id, safe='')}/instances"

    def send() -> WriteResult:
        request = {"incident_workflow_instance": {"incident": incident}}
        body = client.post(path, request, doing=f"workflow {workflow_id} on {incident_id}")
        return _told(body, "incident_workflow_instance")

    return _alone(send)


def add_responders(
    client: PagerDutyClient,
    incident_id: str,
    *,
    user_ids: Sequence[str] = (),
    escalation_policy_ids: Sequence[str] = (),
    message: str = "",
) -> WriteResult:
    """Ask users and the people on call of escalation policies to help with an incident."""
    targets = [responder("user", one) for one in user_ids]
    targets += [responder("escalation_policy", one) for one in escalation_policy_ids]

    def send() -> WriteResult:
        requester = client.user_id()
        if not requester:
            raise ConnectionConfigError(
                client.conn_id,
                "responders can only be asked by a known user.",
                field="from_email",
                hint="Give the e-mail address of an active PagerDuty user.",
            )
        request = {
            "requester_id": requester,
            "message": message or "Please help with this incident.",
            "responder_request_targets": targets,
        }
        path = incident_path(incident_id, "responder_requests")
        client.post(path, request, doing=f"responders for {incident_id}")
        return WriteResult(id=incident_id, error=None)

    return _alone(send)


def publish_status_update(client: PagerDutyClient, incident_id: str, message: str) -> WriteResult:
    """Send a status update to the subscribers of an incident; `id` is the update's."""
    path = incident_path(incident_id, "status_updates")

    def send() -> WriteResult:
        body = client.post(path, {"message": message}, doing=f"a status update on {incident_id}")
        return _told(body, "status_update")

    return _alone(send)


def set_custom_fields(
    client: PagerDutyClient, incident_id: str, fields: Mapping[str, Any]
) -> WriteResult:
    """Set custom fields by name; `values` are the incident's `custom_fields.<name>` where told."""
    path = incident_path(incident_id, "custom_fields", "values")
    rows = [{"name": name, "value": value} for name, value in fields.items()]

    def send() -> WriteResult:
        body = client.put(path, {"custom_fields": rows}, doing=f"custom fields of {incident_id}")
        told = body.get("custom_fields") if isinstance(body, Mapping) else None
        return WriteResult(id=incident_id, error=None, values=custom_field_values(told))

    return _alone(send)


def _alone(send: Callable[[], WriteResult]) -> WriteResult:
    try:
        return send()
    except SyncError as error:
        return failed(error)


def _told(body: Any, name: str) -> WriteResult:
    """Return the result of something made; the server may have told nothing about it."""
    made = body.get(name) if isinstance(body, Mapping) else None
    told = dict(made) if isinstance(made, Mapping) else {}
    made_id = told.get("id")
    return WriteResult(str(made_id) if made_id else None, None, created=True, values=told)


def _adopt(client: PagerDutyClient, new: NewIncident, refusal: SyncError) -> WriteResult:
    """Return the open incident with our key, whatever words the refusal was made in; else the refusal."""
    duplicate = isinstance(refusal, RefusedError) and refusal.code == DUPLICATE_KEY
    try:
        found = incidents_by_key(client, new.incident_key, service_id=new.service_id)
    except SyncError as error:
        told = RetryableError(f"{refusal.message} It could not be looked up: {error}")
        return failed(told if duplicate else refusal)
    if found:
        return WriteResult(id=str(found[0]["id"]), error=None, adopted=True, values=found[0])
    told = RetryableError(f"{refusal.message} No open incident shows that key now.")
    return failed(told if duplicate else refusal)


def _calls(updates: Sequence[IncidentUpdate]) -> Iterator[list[int]]:
    """Yield positions for one call each: no incident twice, an incident's updates in order."""
    waiting = list(range(len(updates)))
    while waiting:
        call: list[int] = []
        left: list[int] = []
        ids: set[str] = set()
        for at in waiting:
            fits = len(call) < INCIDENTS_PER_CALL and updates[at].incident_id not in ids
            # A bulk call cannot move an incident to another service.
            alone = "service_id" in updates[at].changes
            (call if fits and not (alone and call) else left).append(at)
            ids.add(updates[at].incident_id)
            if alone and call == [at]:
                left.extend(other for other in waiting if other > at)
                break
        yield call
        waiting = left


def _update(client: PagerDutyClient, rows: Sequence[IncidentUpdate]) -> list[WriteResult]:
    """Update by one bulk call; what is refused together is tried in halves, down to single rows."""
    if len(rows) == 1:
        return [_update_one(client, rows[0])]
    request = [{"id": row.incident_id, **changes_body(row.changes)} for row in rows]
    try:
        body = client.put("incidents", {"incidents": request}, doing=f"{len(rows)} updates")
    except (RefusedError, SkippableError) as refusal:
        bulk = not (isinstance(refusal, RefusedError) and refusal.status == 405)
        return _in_parts(client, rows, len(rows) // 2 if bulk else 1)
    except SyncError as error:
        return [failed(error)] * len(rows)
    told = body.get("incidents") if isinstance(body, Mapping) else None
    by_id = {str(one.get("id")): one for one in told or [] if isinstance(one, Mapping)}
    return [
        WriteResult(row.incident_id, None, values=_told_values(by_id.get(row.incident_id)))
        for row in rows
    ]


def _in_parts(
    client: PagerDutyClient, rows: Sequence[IncidentUpdate], size: int
) -> list[WriteResult]:
    results: list[WriteResult] = []
    stop: SyncError | None = None
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        answers = [failed(stop)] * len(part) if stop else _update(client, part)
        results += answers
        stop = next((one.error for one in answers if _stops_all(one.error)), None)
    return results


def _update_one(client: PagerDutyClient, row: IncidentUpdate) -> WriteResult:
    def send() -> WriteResult:
        request = {"incident": changes_body(row.changes)}
        doing = f"an update of incident {row.incident_id}"
        body = client.put(incident_path(row.incident_id), request, doing=doing)
        return WriteResult(row.incident_id, None, values=_incident_of(body))

    return _alone(send)


def _stops_all(error: SyncError | None) -> bool:
    """Say whether every further call would meet the same error."""
    return isinstance(error, ConnectionConfigError | RateLimitedError)


def _incident_of(body: Any) -> Values:
    raw = body.get("incident") if isinstance(body, Mapping) else None
    return _told_values(raw)


def _told_values(raw: Any) -> Values:
    """Return the values of an incident that an answer shows, {} where it shows a mere reference."""
    if not isinstance(raw, Mapping):
        return {}
    return incident_values(raw) if raw.get("status") else {"id": raw.get("id")}
