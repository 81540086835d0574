"""What can be added to an incident beside its own fields: workflows, responders, status updates, custom fields."""

from collections.abc import Sequence

from pd_sf_rules.errors import RefusedError
from pd_sf_rules.model import PAGERDUTY
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.effects.incidents import targets_of
from pd_sf_rules.pipeline.effects.sending import already_done, going_out, in_doubt, one_by_one
from pd_sf_rules.pipeline.expected import announce
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.systems.pagerduty import actions as pagerduty
from pd_sf_rules.systems.results import WriteResult

IDEMPOTENT_EXTRAS = frozenset({"set_custom_fields"})


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
        if not _announced(run, task, incident_id):
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


def _announced(run: Run, task: Task, incident_id: str) -> bool:
    """Say that the request goes out, and which log entries it will cause; False when it must not."""
    now = run.pagerduty.server_now()
    with run.ledger.begin() as c:
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
