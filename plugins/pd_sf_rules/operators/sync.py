"""Pull, evaluate, apply, tell: the four tasks of every sync DAG."""

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from pd_sf_rules.ledger import actions, waiting
from pd_sf_rules.ledger.storms import HELD
from pd_sf_rules.operators.asking import ask_about
from pd_sf_rules.operators.links import ExplainLink, IncidentLink, RecordLink, link_urls
from pd_sf_rules.operators.metrics import emit
from pd_sf_rules.operators.step import Step
from pd_sf_rules.operators.windows import forgotten, given_window_of, is_dry_run, objects_of
from pd_sf_rules.pipeline import datasets
from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.pipeline.commit import commit
from pd_sf_rules.pipeline.preview import preview
from pd_sf_rules.pipeline.pulled import Pulled
from pd_sf_rules.pipeline.record import record_lineage
from pd_sf_rules.pipeline.run import Direction, Run
from pd_sf_rules.pipeline.storms import held_storms
from pd_sf_rules.pipeline.sync import judge_pending, pull


class _Step(Step):
    """A task of one direction of one integration."""

    def __init__(self, *, direction: Direction, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.direction: Direction = direction


class PullChangesOperator(_Step):
    """Read what changed since the cursor, or in the window of a backfill or of the form, into the inbox.

    Returns the windows read, one object a stream; a dry run reads nothing yet.
    """

    ui_color = "#e8f0fe"

    def step(self, context: Context) -> list[dict[str, Any]]:
        """Pull; raises the errors of the system that was read."""
        if is_dry_run(context):
            return []
        with self.open_run(context) as run:
            pulled = pull(
                run, self.direction, given=given_window_of(context), objects=objects_of(context)
            )
            for said in forgotten(run, pulled):
                self.log.warning("%s", said)
            self.report(lambda: datasets.of_pull(run, self.direction, pulled))
        return [one.to_json() for one in pulled]


class EvaluateRulesetsOperator(_Step):
    """Judge every pending event by the rulesets in force, and write the plan into the outbox.

    Returns counts. A dry run reads and judges without recording anything, and returns the plan instead.
    """

    ui_color = "#e6f4ea"
    operator_extra_links = (ExplainLink(),)

    def step(self, context: Context) -> dict[str, Any]:
        """Evaluate; raises the errors of the linked side where a rule needs it."""
        with self.open_run(context) as run:
            if is_dry_run(context):
                return preview(
                    run, self.direction, given=given_window_of(context), objects=objects_of(context)
                )
            counts = judge_pending(run, self.direction)
            self.report(lambda: datasets.of_evaluation(run, self.direction, counts))
        return dict(counts)


class ApplyActionsOperator(_Step):
    """Carry out the open actions of this direction; what fails for the moment is tried again while patience lasts.

    Returns counts. A dry run applies nothing. For each storm that a breaker holds there is one run of the DAG
    `held_storms`, which asks a person: where a run that died did not start it, this one does. Then it goes on.
    """

    ui_color = "#fef7e0"
    operator_extra_links = (IncidentLink(), RecordLink(), ExplainLink())

    def __init__(self, *, patience_seconds: float = 20.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patience_seconds = patience_seconds

    def step(self, context: Context) -> dict[str, int]:
        """Apply; an action's own failure is recorded in the ledger and told by the last task."""
        if is_dry_run(context):
            return {}
        with self.open_run(context) as run:
            counts = apply(run, self.direction, patience=self.patience_seconds)
            for key, url in link_urls(run).items():
                context["ti"].xcom_push(key=key, value=url)
            ask_about(run, held_storms(run))
            self.report(lambda: datasets.of_application(run, self.direction, counts))
        return counts


class RecordLineageOperator(_Step):
    """Tell what the run read, decided and did, keep it, and then move the cursor.

    Returns the lineage object. Fails, after all that, when an action failed for good or a step before it failed.
    """

    ui_color = "#f3e8fd"

    def __init__(
        self, *, pull_task: str, apply_task: str, evaluate_task: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.pull_task = pull_task
        self.apply_task = apply_task
        self.evaluate_task = evaluate_task

    def step(self, context: Context) -> dict[str, Any]:
        """Record and commit; raises AirflowFailException naming what is to be looked at."""
        ti = context["ti"]
        pulled = ti.xcom_pull(task_ids=self.pull_task)
        counts = ti.xcom_pull(task_ids=self.evaluate_task) if self.evaluate_task else {}
        if is_dry_run(context):
            if counts is None:
                raise AirflowFailException(INCOMPLETE)
            return dict(counts)
        read = [Pulled.from_json(one) for one in pulled or ()]
        with self.open_run(context) as run:
            told = record_lineage(run, self.direction, read, _numbers(counts))
            if pulled is not None and counts is not None:
                commit(run, read)
            failed = _failed_for_good(run)
            self.report(lambda: datasets.of_report(run, told))
        emit(told)
        ti.xcom_push(key="return_value", value=told)
        if failed:
            raise AirflowFailException(failed)
        if pulled is None or counts is None or ti.xcom_pull(task_ids=self.apply_task) is None:
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
