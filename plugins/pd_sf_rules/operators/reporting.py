"""What a task read and wrote, for whoever listens: Airflow's hook lineage, and OpenLineage through it.

Without a reader of hook lineage in the deployment nothing is collected, and no task asks the ledger for it.
Names are in docs/operating.md.
"""

from collections.abc import Callable
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.plugins_manager import get_hook_lineage_readers_plugins

from pd_sf_rules.errors import SyncError
from pd_sf_rules.operators.step import Step
from pd_sf_rules.pipeline.datasets import Dataset, Touched

KEY = "pdsf"
"""Under which a reader finds the facts of a step among the extras."""


def is_listened_to() -> bool:
    """Say whether a plugin reads hook lineage: making the collector alone takes seconds of a task."""
    return bool(get_hook_lineage_readers_plugins())


def report(task: Step, touched: Callable[[], Touched]) -> None:
    """Tell Airflow's lineage what a task read and wrote, where somebody listens.

    The work is done by then: whatever goes wrong here, be it in a reader's plugin, is logged and fails nothing.
    """
    try:
        if is_listened_to():
            task.touched = touched()
            collect(task.touched)
    except SyncError as error:
        task.log.warning("The lineage of this task is not told: %s", error)
    except Exception:  # what was done must be told to the next task
        task.log.exception("The lineage of this task is not told")


def collect(touched: Touched) -> None:
    """Hand data sets and facts to Airflow's collector, as assets with their counts."""
    from airflow.sdk.lineage import get_hook_lineage_collector  # noqa: PLC0415 - only where it is used

    collector = get_hook_lineage_collector()
    context = BaseHook()
    for one in touched.inputs:
        collector.add_input_asset(context, uri=one.uri, asset_extra=_extra(one))
    for one in touched.outputs:
        collector.add_output_asset(context, uri=one.uri, asset_extra=_extra(one))
    collector.add_extra(context, KEY, dict(touched.facts))


def _extra(one: Dataset) -> dict[str, Any]:
    return {} if one.rows is None else {"rows": one.rows}


def facets(touched: Touched) -> Any:
    """Return the same as OpenLineage's provider takes it from an operator.

    Only that provider calls it, so it is installed then. Its own reading of hook lineage knows the schemes of
    providers alone, and drops ours.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415 - optional

    from pd_sf_rules.operators.openlineage import SyncRunFacet, inputs, outputs  # noqa: PLC0415

    return OperatorLineage(
        inputs=inputs(touched.inputs),
        outputs=outputs(touched.outputs),
        run_facets={f"{KEY}_sync": SyncRunFacet.of(touched.facts)},
    )
