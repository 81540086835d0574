"""What can be added to an incident beside its own fields: workflows, responders, status updates, custom fields."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from pd_sf_rules.errors import RefusedError
from pd_sf_rules.ledger import actions
from pd_sf_rules.model import PAGERDUTY
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.effects.incidents import targets_of
from pd_sf_rules.pipeline.effects.sending import (
    AnsweredError,
    already_done,
    going_out,
    in_doubt,
)
from pd_sf_rules.pipeline.effects.side_by_side import Called, Noted, Steps, side_by_side
from pd_sf_rules.pipeline.expected import announce
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.systems.pagerduty import actions as pagerduty
from pd_sf_rules.systems.results import WriteResult

IDEMPOTENT_EXTRAS = frozenset({"set_custom_fields"})


def extend_incidents(run: Run, tasks: Sequence[Task]) -> None:
    """Start workflows, add responders, publish status updates and set custom fields, a call for each incident."""
    side_by_side(run, tasks, _extend)


def _extend(run: Run, task: Task) -> Steps:
    targets = targets_of(task)
    if not targets:
        yield Noted(lambda c: outcomes.skipped(c, run, task.action, "No incident is linked."))
        return
    if task.action.in_doubt and task.action.kind not in IDEMPOTENT_EXTRAS:
        raise in_doubt(task, task.action.kind)
    finished = already_done(task)
    for incident_id in targets:
        if incident_id in finished:
            continue
        request = _request(run, task, incident_id)
        now = run.pagerduty.server_now()
        going: bool = yield Noted(partial(_announced, run, task, incident_id, now))
        if not going:
            return
        result: WriteResult = yield Called(request)
        if result.error is not None:
            if finished:
                done = {"done": sorted(finished)}
                yield Noted(partial(actions.note_progress, action_id=task.action.id, answer=done))
            raise AnsweredError(result.error)
        finished.add(incident_id)
    yield Noted(partial(outcomes.done, run=run, action=task.action, target=",".join(targets)))


def _announced(run: Run, task: Task, incident_id: str, now: datetime, c: Connection) -> bool:
    """Say that the request goes out, and which log entries it will cause; False when it must not."""
    if not going_out(c, task, dict(task.params)):
        return False
    for number, effect in enumerate(_entries(task)):
        name = f"{task.action.id}:{number}"
        announce(c, run.name, PAGERDUTY, incident_id, {effect: None}, action_id=name, now=now)
    return True


def _entries(task: Task) -> list[str]:
    """Return the types of the log entries to come. A workflow causes none of its own."""
    match task.action.kind:
        case "set_custom_fields":
            return ["custom"]
        case "publish_status_update":
            return ["other"]
        case "add_responders":
            asked = [task.params.get(name) or () for name in ("users", "escalation_policies")]
            return ["other"] * sum(map(len, asked))
        case _:
            return []


def _request(run: Run, task: Task, incident_id: str) -> Callable[[], WriteResult]:
    """Return what sends the request. Raises SyncError for a name that PagerDuty does not have."""
    p, client = task.params, run.pagerduty
    match task.action.kind:
        case "run_incident_workflow":
            workflow = run.lookups.workflow(str(p["workflow"]))
            return partial(pagerduty.run_workflow, client, incident_id, workflow)
        case "run_response_play":
            workflow = run.lookups.workflow(_workflow_for(run, str(p["response_play"])))
            return partial(pagerduty.run_workflow, client, incident_id, workflow)
        case "publish_status_update":
            return partial(pagerduty.publish_status_update, client, incident_id, str(p["message"]))
        case "set_custom_fields":
            return partial(pagerduty.set_custom_fields, client, incident_id, p["fields"])
        case _:
            policies = [str(name) for name in p.get("escalation_policies") or ()]
            return partial(
                pagerduty.add_responders,
                client,
                incident_id,
                user_ids=[run.lookups.user(str(user)) for user in p.get("users") or ()],
                escalation_policy_ids=[run.lookups.escalation_policy(name) for name in policies],
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
