"""New incidents, each linked to its record in the transaction that records it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pd_sf_rules.ledger import actions, snapshots
from pd_sf_rules.model import PAGERDUTY, Values
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.effects.linking import link_pair
from pd_sf_rules.pipeline.effects.sending import (
    AnsweredError,
    already_done,
    doubtful_since,
    going_out,
    one_by_one,
    parts_done,
)
from pd_sf_rules.pipeline.expected import announce
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.pull_pagerduty import INCIDENT, plain
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.planner import incident_key
from pd_sf_rules.planning.values import instant
from pd_sf_rules.systems.pagerduty.actions import NewIncident, create_incident, set_custom_fields
from pd_sf_rules.systems.pagerduty.incidents import incidents_by_key

TITLE_LENGTH = 1024
"""PagerDuty cuts longer titles."""


def create_incidents(run: Run, tasks: Sequence[Task]) -> None:
    """Create one incident for each task whose record has no open one, and link the two."""
    one_by_one(run, tasks, _create_incident)


def _create_incident(run: Run, task: Task) -> None:
    open_now = task.open_incidents()
    if not task.records:
        with run.ledger.begin() as c:
            outcomes.skipped(c, run, task.action, f"No {task.action.object} is linked.")
        return
    for incident_id in already_done(task):
        _finish_incident(run, task, incident_id, "")
        return
    if task.action.in_doubt and (made := _made_before(run, task)) is not None:
        _conclude_incident(run, task, str(made["id"]), made, "found after a lost answer")
        return
    if open_now and task.params.get("when_linked") != "any_open":
        with run.ledger.begin() as c:
            outcomes.skipped(c, run, task.action, f"Incident {open_now[-1]} is linked and open.")
        return
    new = _new_incident(run, task)
    with run.ledger.begin() as c:
        if not going_out(c, task, asdict(new)):
            return
    result = create_incident(run.pagerduty, new)
    if result.error is not None:
        raise AnsweredError(result.error)
    message = "adopted the open incident" if result.adopted else ""
    _conclude_incident(run, task, result.id or "", result.values, message)


def _made_before(run: Run, task: Task) -> Values | None:
    """Look for the incident that a lost answer may have left behind: our key, made since, linked by nobody yet."""
    since = doubtful_since(task, run.pagerduty.server_now())
    found = incidents_by_key(run.pagerduty, _key(task), open_only=False)
    linked = {link.incident_id for link in task.links} - _seen_meanwhile(run, task)
    for one in found:
        made_at = instant(str(one.get("created_at") or ""))
        recent = since is None or made_at is None or made_at >= since
        if recent and one["id"] not in linked:
            return one
    return None


def _seen_meanwhile(run: Run, task: Task) -> set[str]:
    """Return what the log showed another process of this very creation, after this one took it."""
    with run.ledger.read() as c:
        stands = actions.get_action(c, task.action.id)
    return parts_done(stands.answer if stands else None)


def _key(task: Task) -> str:
    return incident_key(task.action, task.records[0][1])


def _new_incident(run: Run, task: Task) -> NewIncident:
    p = task.params
    default = run.record_url(*task.records[0])
    policy, assignees = p.get("escalation_policy"), _as_list(p.get("assign_to"))
    return NewIncident(
        title=str(p["title"])[:TITLE_LENGTH],
        service_id=run.lookups.service(str(p["service"])),
        incident_key=_key(task),
        urgency=p.get("urgency"),
        priority_id=run.lookups.priority(str(p["priority"])) if p.get("priority") else None,
        details=str(p.get("details") or default) or None,
        escalation_policy_id=run.lookups.escalation_policy(str(policy)) if policy else None,
        assignee_ids=tuple(run.lookups.user(str(one)) for one in assignees),
        incident_type=p.get("incident_type"),
        conference_bridge=p.get("conference_bridge"),
    )


def _conclude_incident(
    run: Run, task: Task, incident_id: str, values: Values, message: str
) -> None:
    action = task.action
    with run.ledger.begin() as c:
        link_pair(c, run, task, *task.records[0], incident_id)
        actions.note_progress(c, action.id, answer={"done": [incident_id]})
        if values:
            snapshots.merge_snapshot(
                c, run.name, PAGERDUTY, INCIDENT, incident_id, plain(values), now=utc_now()
            )
    _finish_incident(run, task, incident_id, message)


def _finish_incident(run: Run, task: Task, incident_id: str, message: str) -> None:
    """Set the custom fields, which PagerDuty takes only once the incident is there; a failed try repeats only this."""
    fields = task.params.get("custom_fields")
    if fields:
        now = run.pagerduty.server_now()
        with run.ledger.begin() as c:
            name = f"{task.action.id}:fields"
            effects = {"custom": None}
            announce(c, run.name, PAGERDUTY, incident_id, effects, action_id=name, now=now)
        result = set_custom_fields(run.pagerduty, incident_id, fields)
        if result.error is not None:
            raise AnsweredError(result.error)
    with run.ledger.begin() as c:
        outcomes.done(c, run, task.action, target=incident_id, message=message)


def _as_list(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
