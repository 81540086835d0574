"""New incidents, each linked to its record in the transaction that records it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.ledger import actions, snapshots
from pd_sf_rules.model import PAGERDUTY, Values
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.effects.linking import link_pair
from pd_sf_rules.pipeline.effects.people import learn_people
from pd_sf_rules.pipeline.effects.sending import (
    AnsweredError,
    already_done,
    doubtful_since,
    going_out,
    parts_done,
)
from pd_sf_rules.pipeline.effects.side_by_side import Called, Noted, Steps, side_by_side
from pd_sf_rules.pipeline.expected import announce
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.pull_pagerduty import INCIDENT, plain
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.planner import incident_key
from pd_sf_rules.planning.values import instant
from pd_sf_rules.systems.pagerduty.actions import NewIncident, create_incident, set_custom_fields
from pd_sf_rules.systems.pagerduty.incidents import incidents_by_key
from pd_sf_rules.systems.results import WriteResult

TITLE_LENGTH = 1024
"""PagerDuty cuts longer titles."""


def create_incidents(run: Run, tasks: Sequence[Task]) -> None:
    """Create one incident for each task whose record has no open one, and link the two."""
    learn_people(run, tasks)
    side_by_side(run, tasks, _create_incident)


def _create_incident(run: Run, task: Task) -> Steps:
    open_now = task.open_incidents()
    if not task.records:
        why = f"No {task.action.object} is linked."
        yield Noted(lambda c: outcomes.skipped(c, run, task.action, why))
        return
    for incident_id in already_done(task):
        yield from _finish_incident(run, task, incident_id, "")
        return
    if task.action.in_doubt:
        made: Values | None = yield Called(lambda: _made_before(run, task))
        if made is not None:
            yield from _conclude(run, task, str(made["id"]), made, "found after a lost answer")
            return
    if open_now and task.params.get("when_linked") != "any_open":
        why = f"Incident {open_now[-1]} is linked and open."
        yield Noted(lambda c: outcomes.skipped(c, run, task.action, why))
        return
    new = _new_incident(run, task)
    going: bool = yield Noted(lambda c: going_out(c, task, asdict(new)))
    if not going:
        return
    result: WriteResult = yield Called(lambda: create_incident(run.pagerduty, new))
    if result.error is not None:
        raise AnsweredError(result.error)
    message = "adopted the open incident" if result.adopted else ""
    yield from _conclude(run, task, result.id or "", result.values, message)


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


def _conclude(run: Run, task: Task, incident_id: str, values: Values, message: str) -> Steps:
    """Link the two, and end there unless the incident is to get custom fields."""

    def link(c: Connection) -> None:
        link_pair(c, run, task, *task.records[0], incident_id)
        if values:
            snapshots.merge_snapshot(
                c, run.name, PAGERDUTY, INCIDENT, incident_id, plain(values), now=utc_now()
            )
        if task.params.get("custom_fields"):
            actions.note_progress(c, task.action.id, answer={"done": [incident_id]})
        else:
            outcomes.done(c, run, task.action, target=incident_id, message=message)

    yield Noted(link)
    if task.params.get("custom_fields"):
        yield from _finish_incident(run, task, incident_id, message)


def _finish_incident(run: Run, task: Task, incident_id: str, message: str) -> Steps:
    """Set the custom fields, which PagerDuty takes only once the incident is there; a failed try repeats only this."""
    fields = task.params.get("custom_fields")
    if fields:
        now = run.pagerduty.server_now()
        name, effects = f"{task.action.id}:fields", {"custom": None}
        yield Noted(
            lambda c: announce(
                c, run.name, PAGERDUTY, incident_id, effects, action_id=name, now=now
            )
        )
        result: WriteResult = yield Called(
            lambda: set_custom_fields(run.pagerduty, incident_id, fields)
        )
        if result.error is not None:
            error = (
                result.error
            )  # noted here: it says nothing of the pages that wait behind this one
            yield Noted(lambda c: outcomes.failed(c, run, task.action, error))
            return
    yield Noted(lambda c: outcomes.done(c, run, task.action, target=incident_id, message=message))


def _as_list(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
