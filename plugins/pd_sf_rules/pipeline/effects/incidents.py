"""Changes to incidents that exist: many in one bulk call, each after a look at how the incident stands now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pd_sf_rules.errors import RefusedError, SyncError
from pd_sf_rules.ledger import notes, snapshots
from pd_sf_rules.ledger.notes import KnownNote
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Values
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.effects.sending import already_done, going_out, in_doubt, one_by_one
from pd_sf_rules.pipeline.expected import announce
from pd_sf_rules.pipeline.prepare import RESOLVED, Task
from pd_sf_rules.pipeline.pull_pagerduty import INCIDENT
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.echo import effects_of
from pd_sf_rules.planning.values import text_digest
from pd_sf_rules.systems.pagerduty import actions as pagerduty
from pd_sf_rules.systems.pagerduty.actions import IncidentUpdate
from pd_sf_rules.systems.results import WriteResult

IDEMPOTENT_EXTRAS = frozenset({"set_custom_fields"})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The changes one task makes, by incident; `why_none` says why there are none."""

    task: Task
    changes: Mapping[str, Mapping[str, Any]]
    why_none: str = ""


def update_incidents(run: Run, tasks: Sequence[Task]) -> None:
    """Acknowledge, resolve, re-open, re-prioritise and reassign; a change that is there already is not made again."""
    wanted: list[_Wanted] = []
    for task in tasks:
        try:
            wanted.append(_wanted(run, task))
        except SyncError as error:
            with run.ledger.begin() as c:
                outcomes.failed(c, run, task.action, error)
    with run.ledger.begin() as c:
        for one in wanted:
            if not one.changes:
                outcomes.skipped(c, run, one.task.action, one.why_none)
    going = _announce(run, [one for one in wanted if one.changes])
    updates = [IncidentUpdate(i, change) for one in going for i, change in one.changes.items()]
    if not updates:
        return
    results = dict(zip([u.incident_id for u in updates], _send(run, updates), strict=True))
    for one in going:
        _conclude(run, one, {i: results[i] for i in one.changes})


def _send(run: Run, updates: Sequence[IncidentUpdate]) -> list[WriteResult]:
    return pagerduty.update_incidents(run.pagerduty, updates)


def _wanted(run: Run, task: Task) -> _Wanted:
    targets = targets_of(task)
    if not targets:
        return _Wanted(task, {}, "No incident is linked.")
    changes: dict[str, Mapping[str, Any]] = {}
    why = ""
    for incident_id in targets:
        change, reason = _change(run, task, task.incidents[incident_id])
        if change:
            changes[incident_id] = change
        else:
            why = f"Incident {incident_id} {reason}."
    return _Wanted(task, changes, why)


def targets_of(task: Task) -> list[str]:
    """Return the incidents a task acts on: the event's own, or the linked ones that are open."""
    if task.event.source == SALESFORCE and task.action.kind != "reopen_incident":
        return task.open_incidents() or list(task.incidents)[-1:]
    return list(task.incidents)


def _change(run: Run, task: Task, now: Values) -> tuple[dict[str, Any], str]:
    """Return the body of the update, or {} and the reason why the incident needs none."""
    kind, status = task.action.kind, now.get("status")
    if kind == "reopen_incident":
        return ({"status": "triggered"}, "") if status == RESOLVED else ({}, "is open")
    if status == RESOLVED:
        return {}, "is resolved; only reopen_incident changes that"
    if kind == "acknowledge_incident" and status != "triggered":
        return {}, f"is {status}"
    change = _body(run, task)
    if "priority_id" in change and now.get("priority.id") == change["priority_id"]:
        return {}, "has that priority"
    if "urgency" in change and now.get("urgency") == change["urgency"]:
        return {}, "has that urgency"
    return change, ""


def _body(run: Run, task: Task) -> dict[str, Any]:
    p = task.params
    match task.action.kind:
        case "acknowledge_incident":
            return {"status": "acknowledged"}
        case "resolve_incident":
            return {
                "status": RESOLVED,
                **({"resolution": p["resolution"]} if p.get("resolution") else {}),
            }
        case "set_priority":
            return {"priority_id": run.lookups.priority(str(p["priority"]))}
        case "set_urgency":
            return {"urgency": p["urgency"]}
        case _:
            return _assignment(run, p)


def _assignment(run: Run, p: Mapping[str, Any]) -> dict[str, Any]:
    if p.get("escalation_policy"):
        return {"escalation_policy_id": run.lookups.escalation_policy(str(p["escalation_policy"]))}
    return {"assignee_ids": [run.lookups.user(str(user)) for user in p.get("users", ())]}


def _announce(run: Run, wanted: Sequence[_Wanted]) -> list[_Wanted]:
    if not wanted:
        return []
    now = run.pagerduty.server_now()
    going = []
    with run.ledger.begin() as c:
        for one in wanted:
            if not going_out(c, one.task, dict(one.changes)):
                continue
            going.append(one)
            for incident_id, change in one.changes.items():
                announce(
                    c,
                    run.name,
                    PAGERDUTY,
                    incident_id,
                    effects_of(change),
                    action_id=one.task.action.id,
                    now=now,
                )
    return going


def _conclude(run: Run, one: _Wanted, results: Mapping[str, WriteResult]) -> None:
    action = one.task.action
    error = next((r.error for r in results.values() if r.error is not None), None)
    if error is None and action.kind == "acknowledge_incident":
        error = _give_back(run, one)
    with run.ledger.begin() as c:
        for incident_id, result in results.items():
            if result.error is None:
                flat = _flat(one.changes[incident_id])
                snapshots.merge_snapshot(
                    c, run.name, PAGERDUTY, INCIDENT, incident_id, flat, now=utc_now()
                )
                _remember_resolution(c, run, one, incident_id)
        if error is None:
            outcomes.done(c, run, action, target=",".join(results))
        else:
            outcomes.failed(c, run, action, error)


def _give_back(run: Run, one: _Wanted) -> SyncError | None:
    """Restore the assignment: acknowledging as the integration user takes the incident away from the person on call."""
    ours = run.pagerduty.user_id()
    updates = []
    for incident_id in one.changes:
        holders = list(one.task.incidents[incident_id].get("assignee_ids") or ())
        if holders and ours and ours not in holders:
            updates.append(IncidentUpdate(incident_id, {"assignee_ids": holders}))
    if not updates:
        return None
    now = run.pagerduty.server_now()
    with run.ledger.begin() as c:
        for update in updates:
            name = f"{one.task.action.id}:assignment"
            announce(
                c,
                run.name,
                PAGERDUTY,
                update.incident_id,
                {"assign": None},
                action_id=name,
                now=now,
            )
    return next((r.error for r in _send(run, updates) if r.error is not None), None)


def _flat(change: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an update changes in an incident's flat values."""
    flat = {key: change[key] for key in ("status", "urgency") if key in change}
    if "priority_id" in change:
        flat["priority.id"] = change["priority_id"]
    return flat


def _remember_resolution(c: Any, run: Run, one: _Wanted, incident_id: str) -> None:
    """A resolution comes back as a note without an id we know: its text tells that it is ours."""
    resolution = one.changes[incident_id].get("resolution")
    if resolution:
        note = KnownNote(
            integration=run.name,
            system=PAGERDUTY,
            note_id=f"resolution:{one.task.action.id}:{incident_id}",
            record_id=one.task.action.record_id,
            incident_id=incident_id,
            digest=text_digest(str(resolution)),
            action_id=one.task.action.id,
            seen_at=utc_now(),
            origin="ours",
        )
        notes.add_note(c, note)


def extend_incidents(run: Run, tasks: Sequence[Task]) -> None:
    """Start workflows, add responders, publish status updates and set custom fields, one incident at a time."""
    one_by_one(run, tasks, _extend)


def _extend(run: Run, task: Task) -> None:
    targets = targets_of(task)
    if not targets:
        with run.ledger.begin() as c:
            outcomes.skipped(c, run, task.action, "No incident is linked.")
        return
    if task.action.in_doubt and task.action.kind not in IDEMPOTENT_EXTRAS:
        raise in_doubt(task, task.action.kind)
    finished = already_done(task)
    for incident_id in targets:
        if incident_id in finished:
            continue
        with run.ledger.begin() as c:
            if not going_out(c, task, dict(task.params)):
                return
        result = _extend_one(run, task, incident_id)
        if result.error is not None:
            with run.ledger.begin() as c:
                outcomes.failed(
                    c, run, task.action, result.error, answer={"done": sorted(finished)}
                )
            return
        finished.add(incident_id)
    with run.ledger.begin() as c:
        outcomes.done(c, run, task.action, target=",".join(targets))


def _extend_one(run: Run, task: Task, incident_id: str) -> WriteResult:
    p, client = task.params, run.pagerduty
    match task.action.kind:
        case "run_incident_workflow":
            workflow = run.lookups.workflow(str(p["workflow"]))
            return pagerduty.run_workflow(client, incident_id, workflow)
        case "run_response_play":
            workflow = run.lookups.workflow(_workflow_for(run, str(p["response_play"])))
            return pagerduty.run_workflow(client, incident_id, workflow)
        case "publish_status_update":
            return pagerduty.publish_status_update(client, incident_id, str(p["message"]))
        case "set_custom_fields":
            return pagerduty.set_custom_fields(client, incident_id, p["fields"])
        case _:
            users = [run.lookups.user(str(user)) for user in p.get("users") or ()]
            policies = [
                run.lookups.escalation_policy(str(name))
                for name in p.get("escalation_policies") or ()
            ]
            return pagerduty.add_responders(
                client,
                incident_id,
                user_ids=users,
                escalation_policy_ids=policies,
                message=str(p.get("message") or ""),
            )


def _workflow_for(run: Run, play: str) -> str:
    workflow = run.integration.response_plays.get(play)
    if workflow is None:
        raise RefusedError(
            f"PagerDuty removed response plays, and '{play}' is not mapped to a workflow.",
            hint=f"Add it under response_plays in the file of integration '{run.name}'.",
        )
    return workflow
