"""What the tasks of the DAG `held_storms` do; their operators are in storms.py."""

from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from pd_sf_rules.hooks.runs import run_of_task
from pd_sf_rules.ledger import storms
from pd_sf_rules.operators.storms import AskAboutStormOperator, DecideStormOperator
from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.pipeline.record import record_lineage
from pd_sf_rules.pipeline.replay import direction_of
from pd_sf_rules.pipeline.run import Direction, Run
from pd_sf_rules.pipeline.storms import Storm, decide, held_storms
from pd_sf_rules.planning.decisions import DISCARD, RELEASE

STORM = "storm"
LISTED = 10
PATIENCE_SECONDS = 20.0
DIRECTED = 1000
"""How many held actions tell which directions a storm is of: a rule has one, and a loop is of one pair."""

RELEASE_SECONDS = 1500.0
"""How long a release goes on, page after page as fast as PagerDuty takes them; the sync goes on with what is left."""


def put_the_question(task: AskAboutStormOperator, context: Context) -> None:
    """Word the question as the storm is now; raises AirflowSkipException when nothing is held any more."""
    name = str(context["params"].get(STORM) or "")
    with run_of_task(task.integration, context) as run:
        storm = next((one for one in held_storms(run) if one.name == name), None)
        if storm is None:
            raise AirflowSkipException(f"Nothing is held of storm '{name}' any more.")
        task.subject = f"{storm.held} action(s) are held back: {storm.name}"
        task.body = _body(run, storm)
    if not storm.incidents:
        task.options = [RELEASE, DISCARD]


def carry_out_decision(task: DecideStormOperator, context: Context) -> dict[str, Any]:
    """Decide; raises the errors of PagerDuty, after which the storm is still held."""
    answer = context["ti"].xcom_pull(task_ids=task.ask_task)
    name = str(context["params"].get(STORM) or "")
    who = _name_of(answer.get("responded_by_user"))
    with run_of_task(task.integration, context) as run:
        touched = _directions(run, name)
        said = decide(run, name, answer["chosen_options"][0], who=who)
        task.log.info("%s", said)
        told = [_carried_out(run, direction) for direction in touched]
    return {"storm": name, "decided_by": who, "said": said, "runs": told}


def _body(run: Run, storm: Storm) -> str:
    shown = storm.first(LISTED)
    records = [
        f"- [{one.record_id}]({run.record_url(one.object or '', one.record_id)})"
        if one.record_id
        else f"- {one.incident_id}"
        for one in shown
    ]
    more = storm.held - len(shown)
    tail = [f"- … and {more} more"] if more else []
    return "\n".join([storm.why, "", *records, *tail])


def _directions(run: Run, name: str) -> list[Direction]:
    """Return the directions of what a storm holds, before the decision changes it."""
    with run.ledger.read() as c:
        return sorted(
            {direction_of(one) for one in storms.held_actions(c, run.name, name, limit=DIRECTED)}
        )


def _carried_out(run: Run, direction: Direction) -> dict[str, Any]:
    apply(run, direction, patience=PATIENCE_SECONDS, release_seconds=RELEASE_SECONDS)
    return record_lineage(run, direction, [], {})


def _name_of(user: Any) -> str:
    named = user.get("name") if isinstance(user, dict) else getattr(user, "name", None)
    return str(named or "somebody")
