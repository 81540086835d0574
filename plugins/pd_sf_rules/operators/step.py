"""What every task of this product has in common: an integration, a run, and errors that are one sentence."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context

from pd_sf_rules.errors import SyncError

if TYPE_CHECKING:
    from pd_sf_rules.pipeline.datasets import Touched


class Step(BaseOperator):
    """A task of one integration. What it raises of ours is told in the log by one sentence.

    `touched` is what it read and wrote, once it has reported that (reporting.py).
    """

    template_fields: Sequence[str] = ()
    touched: "Touched | None" = None

    def __init__(self, *, integration: str = "default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.integration = integration

    def execute(self, context: Context) -> Any:
        """Do the step; raises SyncError, without the frames it passed through."""
        return do(self, context)

    def get_openlineage_facets_on_complete(self, _ti: Any) -> Any:
        """Return what OpenLineage's provider asks an operator for; None where nothing was reported."""
        if self.touched is None:
            return None
        from pd_sf_rules.operators.reporting import facets  # noqa: PLC0415 - see do()

        return facets(self.touched)


def do(task: BaseOperator, context: Context) -> Any:
    """Do what an operator is for, and return what the next task or the UI is to know, as JSON can hold it.

    A DAG file is parsed often, and does nothing: the pipeline, its ledger and its clients are imported here.
    """
    from pd_sf_rules.operators.work import WORK  # noqa: PLC0415 - the one import that waits for a task

    try:
        kind = next(one for one in type(task).__mro__ if one in WORK)
        return WORK[kind](task, context)
    except SyncError as error:
        task.log.error("%s", error)  # noqa: TRY400 - the sentence says what to do
        raise error.with_traceback(None) from None
