"""A storm that a breaker holds back: a person is asked in the UI, and what they decide is carried out."""

from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from pd_sf_rules.errors import SyncError
from pd_sf_rules.hooks.runs import run_of_task
from pd_sf_rules.ledger import storms
from pd_sf_rules.operators.step import Step
from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.pipeline.record import record_lineage
from pd_sf_rules.pipeline.replay import direction_of
from pd_sf_rules.pipeline.run import Direction, Run
from pd_sf_rules.pipeline.storms import DISCARD, RELEASE, SUMMARY, Storm, decide, held_storms

STORM = "storm"
LISTED = 10
PATIENCE_SECONDS = 20.0
DIRECTED = 1000
"""How many held actions tell which directions a storm is of: a rule has one, and a loop is of one pair."""

RELEASE_SECONDS = 1500.0
"""How long a release goes on, page after page as fast as PagerDuty takes them; the sync goes on with what is left."""


class AskAboutStormOperator(HITLOperator):
    """Ask what to do with a storm; the task waits without a worker until somebody answers under Required Actions.

    The storm is named by the run's form. A storm about which somebody has decided already is not asked about.
    """

    def __init__(self, *, integration: str = "default", **kwargs: Any) -> None:
        # Without a limit of its own: a person may take as long as they need.
        kwargs.setdefault("execution_timeout", None)
        super().__init__(
            subject="Held storm", options=[RELEASE, DISCARD, SUMMARY], body="", **kwargs
        )
        self.integration = integration

    def execute(self, context: Context) -> Any:
        """Ask; raises AirflowSkipException when nothing is held any more."""
        name = str(context["params"].get(STORM) or "")
        try:
            with _opened(self.integration, context) as run:
                storm = next((one for one in held_storms(run) if one.name == name), None)
                if storm is None:
                    raise AirflowSkipException(f"Nothing is held of storm '{name}' any more.")
                self.subject = f"{storm.held} action(s) are held back: {storm.name}"
                self.body = _body(run, storm)
        except SyncError as error:
            self.log.error("%s", error)  # noqa: TRY400 - the sentence says what to do
            raise error.with_traceback(None) from None
        if not storm.incidents:
            self.options = [RELEASE, DISCARD]
        return super().execute(context)


class DecideStormOperator(Step):
    """Carry out what a person chose, and then what goes out of it. Returns the sentence about it and the lineages."""

    ui_color = "#fce8e6"

    def __init__(self, *, ask_task: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ask_task = ask_task

    def step(self, context: Context) -> dict[str, Any]:
        """Decide; raises the errors of PagerDuty, after which the storm is still held."""
        answer = context["ti"].xcom_pull(task_ids=self.ask_task)
        name = str(context["params"].get(STORM) or "")
        who = _name_of(answer.get("responded_by_user"))
        with self.open_run(context) as run:
            touched = _directions(run, name)
            said = decide(run, name, answer["chosen_options"][0], who=who)
            self.log.info("%s", said)
            told = [_carried_out(run, direction) for direction in touched]
        return {"storm": name, "decided_by": who, "said": said, "runs": told}


def _opened(integration: str, context: Context) -> Run:
    dag_run = context["dag_run"]
    return run_of_task(integration, dag_run.dag_id, dag_run.run_id)


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
