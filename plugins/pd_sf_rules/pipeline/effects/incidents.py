"""Changes to incidents that exist: many in one bulk call, each after a look at how the incident stands now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import notes, snapshots
from pd_sf_rules.ledger.notes import KnownNote
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Values
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.effects.people import learn_people
from pd_sf_rules.pipeline.effects.sending import going_out
from pd_sf_rules.pipeline.effects.shown import shown_in_log
from pd_sf_rules.pipeline.expected import announce
from pd_sf_rules.pipeline.prepare import RESOLVED, Task
from pd_sf_rules.pipeline.pull_pagerduty import INCIDENT
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.echo import effects_of
from pd_sf_rules.planning.values import text_digest
from pd_sf_rules.systems.pagerduty import actions as pagerduty
from pd_sf_rules.systems.pagerduty.actions import IncidentUpdate
from pd_sf_rules.systems.results import WriteResult


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The changes one task makes, by incident; `why_none` says why there are none.

    `there` are changes that an earlier attempt made, whose answer was lost.
    """

    task: Task
    changes: Mapping[str, Mapping[str, Any]]
    there: Mapping[str, Mapping[str, Any]]
    why_none: str = ""


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of one task's changes, by incident."""

    wanted: _Wanted
    results: Mapping[str, WriteResult]

    @property
    def kind(self) -> str:
        """The action's kind."""
        return self.wanted.task.action.kind

    @property
    def made(self) -> dict[str, Mapping[str, Any]]:
        """The changes that were made, now or by an earlier attempt."""
        good = {i for i, result in self.results.items() if result.error is None}
        return {i: self.wanted.changes[i] for i in good} | dict(self.wanted.there)

    @property
    def error(self) -> SyncError | None:
        """The first error, if any."""
        return next((r.error for r in self.results.values() if r.error is not None), None)


def update_incidents(run: Run, tasks: Sequence[Task]) -> None:
    """Acknowledge, resolve, re-open, re-prioritise and reassign; a change that is there already is not made again."""
    learn_people(run, tasks)
    wanted: list[_Wanted] = []
    for task in tasks:
        try:
            wanted.append(_wanted(run, task))
        except SyncError as error:
            with run.ledger.begin() as c:
                outcomes.failed(c, run, task.action, error)
    with run.ledger.begin() as c:
        for one in wanted:
            if not one.changes and not one.there:
                outcomes.skipped(c, run, one.task.action, one.why_none)
    going = _announce(run, [one for one in wanted if one.changes])
    updates = [IncidentUpdate(i, change) for one in going for i, change in one.changes.items()]
    results = iter(pagerduty.update_incidents(run.pagerduty, updates) if updates else ())
    done = [_Done(one, {i: next(results) for i in one.changes}) for one in going]
    done += [_Done(one, {}) for one in wanted if one.there and not one.changes]
    unreturned = _give_back(run, [one for one in done if one.kind == "acknowledge_incident"])
    for concluded in done:
        _conclude(run, concluded, unreturned.get(concluded.wanted.task.action.id))


def _wanted(run: Run, task: Task) -> _Wanted:
    targets = targets_of(task)
    if not targets:
        return _Wanted(task, {}, {}, "No incident is linked.")
    asked = _asked_before(task)
    changes: dict[str, Mapping[str, Any]] = {}
    there: dict[str, Mapping[str, Any]] = {}
    why = ""
    for incident_id in targets:
        change, reason = _change(run, task, task.incidents[incident_id])
        if change and incident_id in asked and _was_made(run, task, incident_id):
            there[incident_id] = asked[incident_id]["change"]
        elif change:
            changes[incident_id] = change
        elif incident_id in asked:
            there[incident_id] = asked[incident_id]["change"]
        else:
            why = f"Incident {incident_id} {reason}."
    return _Wanted(task, changes, there, why)


def _was_made(run: Run, task: Task, incident_id: str) -> bool:
    """Say whether the log shows the change: a person may have made another one since, which is not to be undone."""
    return task.action.kind in {"set_priority", "set_urgency"} and shown_in_log(
        run, task, incident_id
    )


def _asked_before(task: Task) -> Mapping[str, Any]:
    """Return what an earlier attempt asked for and got no answer to: by incident, its change and its `holders`."""
    request = task.action.request
    return request if task.action.in_doubt and isinstance(request, Mapping) else {}


def _request(one: _Wanted) -> dict[str, Any]:
    """Return what goes out, with the people who hold each incident: acknowledging takes it away from them."""
    before = _asked_before(one.task)
    holders = {
        i: (before.get(i) or {}).get("holders") or one.task.incidents[i].get("assignee_ids") or []
        for i in {**one.there, **one.changes}
    }
    changes = {**one.there, **one.changes}
    return {i: {"change": dict(change), "holders": holders[i]} for i, change in changes.items()}


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
    needless = _needless(change, now, in_doubt=task.action.in_doubt)
    return ({}, needless) if needless else (change, "")


def _needless(change: Mapping[str, Any], now: Values, *, in_doubt: bool) -> str:
    """Return why the incident does not need this change, "" if it does.

    Handing over to the policy that it follows already pages again, and that is meant, unless it was just done.
    """
    if "priority_id" in change and now.get("priority.id") == change["priority_id"]:
        return "has that priority"
    if "urgency" in change and now.get("urgency") == change["urgency"]:
        return "has that urgency"
    if "assignee_ids" in change and set(change["assignee_ids"]) == set(
        now.get("assignee_ids") or ()
    ):
        return "is assigned to them"
    policy = change.get("escalation_policy_id")
    return (
        "follows that policy"
        if policy and in_doubt and now.get("escalation_policy.id") == policy
        else ""
    )


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
            if not going_out(c, one.task, _request(one)):
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


def _conclude(run: Run, one: _Done, unreturned: SyncError | None) -> None:
    task, made = one.wanted.task, one.made
    with run.ledger.begin() as c:
        for incident_id, change in made.items():
            snapshots.merge_snapshot(
                c, run.name, PAGERDUTY, INCIDENT, incident_id, _flat(change), now=utc_now()
            )
            _remember_resolution(c, task, incident_id, change)
        error = one.error or unreturned
        if error is not None:
            outcomes.failed(c, run, task.action, error, in_doubt=bool(made))
            return
        message = "found after a lost answer" if one.wanted.there else ""
        outcomes.done(c, run, task.action, target=",".join(made), message=message)


def _give_back(run: Run, acknowledged: Sequence[_Done]) -> dict[str, SyncError]:
    """Restore assignments: acknowledging as the integration user takes an incident away from the person on call.

    Returns the errors by action.
    """
    updates = {
        incident_id: (one.wanted.task.action.id, holders)
        for one in acknowledged
        for incident_id, holders in _taken(run, one).items()
    }
    if not updates:
        return {}
    now = run.pagerduty.server_now()
    with run.ledger.begin() as c:
        for incident_id, (action_id, _) in updates.items():
            name = f"{action_id}:assignment"
            effects = {"assign": None}
            announce(c, run.name, PAGERDUTY, incident_id, effects, action_id=name, now=now)
    results = pagerduty.update_incidents(
        run.pagerduty,
        [IncidentUpdate(i, {"assignee_ids": holders}) for i, (_, holders) in updates.items()],
    )
    told = zip(updates.values(), results, strict=True)
    return {action_id: r.error for (action_id, _), r in told if r.error is not None}


def _taken(run: Run, one: _Done) -> dict[str, list[str]]:
    """Return who held the incidents that are now our user's, by incident."""
    ours = run.pagerduty.user_id()
    request = _request(one.wanted)
    taken: dict[str, list[str]] = {}
    for incident_id in one.made:
        holders = list(request[incident_id]["holders"])
        now = one.wanted.task.incidents[incident_id].get("assignee_ids")
        is_ours = incident_id in one.wanted.changes or now == [ours]
        if is_ours and holders and ours and ours not in holders:
            taken[incident_id] = holders
    return taken


def _flat(change: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an update changes in an incident's flat values."""
    flat = {key: change[key] for key in ("status", "urgency") if key in change}
    if "priority_id" in change:
        flat["priority.id"] = change["priority_id"]
    return flat


def _remember_resolution(
    c: Connection, task: Task, incident_id: str, change: Mapping[str, Any]
) -> None:
    """A resolution comes back as a note without an id we know: its text tells that it is ours."""
    resolution = change.get("resolution")
    if resolution:
        note = KnownNote(
            integration=task.action.integration,
            system=PAGERDUTY,
            note_id=f"resolution:{task.action.id}:{incident_id}",
            record_id=task.action.record_id,
            incident_id=incident_id,
            digest=text_digest(str(resolution)),
            action_id=task.action.id,
            seen_at=utc_now(),
            origin="ours",
        )
        notes.add_note(c, note)
