"""What every task of this product has in common: an integration, a run, and errors that are one sentence."""

from collections.abc import Callable, Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context

from pd_sf_rules.errors import SyncError
from pd_sf_rules.hooks.runs import run_of_task
from pd_sf_rules.operators.reporting import collect, facets, is_listened_to
from pd_sf_rules.pipeline.datasets import Touched
from pd_sf_rules.pipeline.run import Run


class Step(BaseOperator):
    """A task of one integration. What it raises of ours is told in the log by one sentence."""

    template_fields: Sequence[str] = ()

    def __init__(self, *, integration: str = "default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.integration = integration
        self._touched: Touched | None = None

    def execute(self, context: Context) -> Any:
        """Do the step; raises SyncError, without the frames it passed through."""
        try:
            return self.step(context)
        except SyncError as error:
            self.log.error("%s", error)  # noqa: TRY400 - the sentence says what to do
            raise error.with_traceback(None) from None

    def step(self, context: Context) -> Any:
        """Do it, and return what the next task or the UI is to know, as JSON can hold it."""
        raise NotImplementedError

    def open_run(self, context: Context) -> Run:
        """Return the run that this task is part of; close it, or use it as a context manager."""
        dag_run = context["dag_run"]
        return run_of_task(self.integration, dag_run.dag_id, dag_run.run_id)

    def report(self, touched: Callable[[], Touched]) -> None:
        """Tell Airflow's lineage what was read and written, where somebody listens.

        The work is done by then: whatever goes wrong here, be it in a reader's plugin, is logged and fails nothing.
        """
        try:
            if is_listened_to():
                self._touched = touched()
                collect(self._touched)
        except SyncError as error:
            self.log.warning("The lineage of this task is not told: %s", error)
        except Exception:  # what was done must be told to the next task
            self.log.exception("The lineage of this task is not told")

    def get_openlineage_facets_on_complete(self, _ti: Any) -> Any:
        """Return what OpenLineage's provider asks an operator for; None where nothing was reported."""
        return None if self._touched is None else facets(self._touched)
