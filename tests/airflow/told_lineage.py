"""Runs the four tasks of the DAG `salesforce_to_pagerduty` one after the other, with OpenLineage's provider listening.

A process of its own, because Airflow decides once whether somebody listens. Prints what Airflow's collector
holds at the end; the provider writes its events to the file that its configuration names.
"""

import importlib
import json
import sys
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow.providers.openlineage.extractors.manager import ExtractorManager
from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter
from airflow.sdk import DAG
from airflow.sdk.lineage import get_hook_lineage_collector
from airflow.utils.state import TaskInstanceState

from embedded.tuning import PRELOADED
from pd_sf_rules.operators.sync import (
    ApplyActionsOperator,
    EvaluateRulesetsOperator,
    PullChangesOperator,
    RecordLineageOperator,
)


class TaskInstance:
    """As much of one as a task asks: its own and other tasks' results."""

    def __init__(self) -> None:
        self.results: dict[str, Any] = {}

    def xcom_pull(self, *, task_ids: str) -> Any:
        """Return what a task returned."""
        return self.results.get(task_ids)

    def xcom_push(self, *, key: str, value: Any) -> None:
        """Take what a task tells beside its result."""


def main() -> None:
    """Run, let the provider make its events, and print the assets, and which modules were imported on the way."""
    for name in PRELOADED:
        importlib.import_module(name.partition(":")[0])
    ready = set(sys.modules)
    with DAG("salesforce_to_pagerduty", schedule=None):
        tasks = [
            PullChangesOperator(task_id="pull", direction="salesforce"),
            EvaluateRulesetsOperator(task_id="evaluate", direction="salesforce"),
            ApplyActionsOperator(task_id="apply", direction="salesforce"),
            RecordLineageOperator(
                task_id="tell",
                direction="salesforce",
                pull_task="pull",
                evaluate_task="evaluate",
                apply_task="apply",
            ),
        ]
    run = SimpleNamespace(dag_id="salesforce_to_pagerduty", run_id="r1", run_type="manual")
    ti = TaskInstance()
    context: Any = {"dag_run": run, "params": {}, "ti": ti}
    extractors: Any = ExtractorManager()  # type: ignore[no-untyped-call]
    adapter = OpenLineageAdapter()
    for task in tasks:
        ti.results[task.task_id] = task.execute(context)
        told = extractors.extract_metadata(run, task, TaskInstanceState.SUCCESS, ti)
        adapter.complete_task(
            run_id=str(uuid.uuid4()),
            job_name=f"{run.dag_id}.{task.task_id}",
            end_time=datetime.now(UTC).isoformat(),
            task=told,
            nominal_start_time=None,
            nominal_end_time=None,
            owners=None,
            tags=None,
            job_description=None,
        )
    collected = get_hook_lineage_collector().collected_assets
    held = {
        "inputs": [(one.asset.uri, one.asset.extra) for one in collected.inputs],
        "outputs": [(one.asset.uri, one.asset.extra) for one in collected.outputs],
        "imported": sorted(
            one for one in set(sys.modules) - ready if one.startswith("pd_sf_rules")
        ),
        "extra": [one.value for one in collected.extra],
    }
    print(json.dumps(held))  # noqa: T201 - the answer to the test


if __name__ == "__main__":
    main()
