"""A storm that a breaker holds back: a person is asked in the UI, and what they decide is carried out (deciding.py)."""

from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context

from pd_sf_rules.operators.step import Step, do
from pd_sf_rules.planning.decisions import DISCARD, RELEASE, SUMMARY


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
        do(self, context)
        return super().execute(context)


class DecideStormOperator(Step):
    """Carry out what a person chose, and then what goes out of it. Returns the sentence about it and the lineages."""

    ui_color = "#fce8e6"

    def __init__(self, *, ask_task: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ask_task = ask_task
