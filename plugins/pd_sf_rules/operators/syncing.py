"""What the tasks of the sync DAGs do; their operators are in sync.py."""

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from pd_sf_rules.hooks.runs import run_of_task
from pd_sf_rules.ledger import actions, snapshots, waiting
from pd_sf_rules.ledger.storms import HELD
from pd_sf_rules.model import PAGERDUTY
from pd_sf_rules.operators.asking import ask_about
from pd_sf_rules.operators.links import INCIDENT_URL, RECORD_URL
from pd_sf_rules.operators.metrics import emit
from pd_sf_rules.operators.reporting import report
from pd_sf_rules.operators.sync import (
    ApplyActionsOperator,
    EvaluateRulesetsOperator,
    PullChangesOperator,
    RecordLineageOperator,
)
from pd_sf_rules.operators.windows import forgotten, given_window_of, is_dry_run, objects_of
from pd_sf_rules.pipeline import datasets
from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.pipeline.commit import commit
from pd_sf_rules.pipeline.preview import preview
from pd_sf_rules.pipeline.pulled import Pulled
from pd_sf_rules.pipeline.record import record_lineage
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.pipeline.storms import held_storms
from pd_sf_rules.pipeline.sync import judge_pending, pull
from pd_sf_rules.planning.kinds import WRITES_TO


def pull_changes(task: PullChangesOperator, context: Context) -> list[dict[str, Any]]:
    """Pull; raises the errors of the system that was read."""
    if is_dry_run(context):
        return []
    with run_of_task(task.integration, context) as run:
        given, objects = given_window_of(context), objects_of(context)
        pulled = pull(run, task.direction, given=given, objects=objects)
        for said in forgotten(run, pulled):
            task.log.warning("%s", said)
        report(task, lambda: datasets.of_pull(run, task.direction, pulled))
    return [one.to_json() for one in pulled]


def evaluate_rulesets(task: EvaluateRulesetsOperator, context: Context) -> dict[str, Any]:
    """Evaluate; raises the errors of the linked side where a rule needs it."""
    with run_of_task(task.integration, context) as run:
        if is_dry_run(context):
            given, objects = given_window_of(context), objects_of(context)
            return preview(run, task.direction, given=given, objects=objects)
        counts = judge_pending(run, task.direction)
        report(task, lambda: datasets.of_evaluation(run, task.direction, counts))
    return dict(counts)


def apply_actions(task: ApplyActionsOperator, context: Context) -> dict[str, int]:
    """Apply; an action's own failure is recorded in the ledger and told by the last task."""
    if is_dry_run(context):
        return {}
    with run_of_task(task.integration, context) as run:
        counts = apply(run, task.direction, patience=task.patience_seconds)
        for key, url in _link_urls(run).items():
            context["ti"].xcom_push(key=key, value=url)
        ask_about(run, held_storms(run))
        report(task, lambda: datasets.of_application(run, task.direction, counts))
    return counts


def record_and_commit(task: RecordLineageOperator, context: Context) -> dict[str, Any]:
    """Record and commit; raises AirflowFailException naming what is to be looked at."""
    ti = context["ti"]
    pulled = ti.xcom_pull(task_ids=task.pull_task)
    counts = ti.xcom_pull(task_ids=task.evaluate_task) if task.evaluate_task else {}
    if is_dry_run(context):
        if counts is None:
            raise AirflowFailException(INCOMPLETE)
        return dict(counts)
    read = [Pulled.from_json(one) for one in pulled or ()]
    with run_of_task(task.integration, context) as run:
        told = record_lineage(run, task.direction, read, _numbers(counts))
        if pulled is not None and counts is not None:
            commit(run, read)
        failed = _failed_for_good(run)
        report(task, lambda: datasets.of_report(run, told))
    emit(told)
    ti.xcom_push(key="return_value", value=told)
    if failed:
        raise AirflowFailException(failed)
    if pulled is None or counts is None or ti.xcom_pull(task_ids=task.apply_task) is None:
        raise AirflowFailException(INCOMPLETE)
    return told


INCOMPLETE = (
    "Not everything could be read, judged or applied: see the failed task before this one. "
    "Nothing is lost: the next run goes on from where this one stopped."
)


def _numbers(counts: Mapping[str, Any] | None) -> dict[str, int]:
    return {key: int(value) for key, value in (counts or {}).items()}


def _failed_for_good(run: Run) -> str:
    """Return a sentence about this run's actions that failed for good, "" when there are none.

    What a breaker holds is not among them: it has its own alert, and a person is asked.
    """
    with run.ledger.read() as c:
        number, first_id = waiting.failed_for_good(c, run.name, run.id, held=HELD)
        first = actions.get_action(c, first_id) if first_id else None
    if first is None:
        return ""
    many = f"{number} actions" if number > 1 else "1 action"
    return (
        f"{many} failed for good, {'the first being ' if number > 1 else ''}{first.kind} of rule "
        f"'{first.rule}' for {first.record_id or first.incident_id}: {first.message} "
        "`pdsf errors` lists them; mend the cause and replay."
    )


def _link_urls(run: Run) -> dict[str, str]:
    """Return the URLs of the incident and the record that this run wrote to last; "" for one that is unknown."""
    with run.ledger.read() as c:
        done = actions.find_actions(c, integration=run.name, run_id=run.id, limit=50)
        written = [one for one in done if one.state == "applied" and one.target]
        urls = {INCIDENT_URL: "", RECORD_URL: ""}
        for one in written:
            target = str(one.target).split(",")[0]
            if WRITES_TO[one.kind] == PAGERDUTY and not urls[INCIDENT_URL]:
                seen = snapshots.get_snapshots(c, run.name, PAGERDUTY, "incident", [target])
                url = seen[target].values.get("html_url") if target in seen else None
                if url:
                    urls[INCIDENT_URL] = str(url)
            elif WRITES_TO[one.kind] != PAGERDUTY and not urls[RECORD_URL]:
                urls[RECORD_URL] = run.salesforce.record_url(one.object or "", target)
    return urls
