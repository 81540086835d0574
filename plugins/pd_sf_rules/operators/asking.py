"""A run of the DAG `held_storms` for each storm, started from within a task: no other run waits for its answer."""

import logging
from collections.abc import Iterable
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun

from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.pipeline.storms import Storm
from pd_sf_rules.policies import dag_id

_log = logging.getLogger(__name__)


def ask_about(run: Run, storms: Iterable[Storm]) -> None:
    """Ask a person about these storms, each once: a storm keeps its run's id until somebody has decided.

    Where it cannot be asked (no such DAG, say) that is logged: the storm's alert, `health` and `pdsf errors` tell
    of it all the same.
    """
    dag = dag_id("held_storms", run.integration)
    for storm in storms:
        run_id = f"storm__{storm.key}"
        try:
            answer = _trigger(dag, run_id, {"storm": storm.name})
        except AirflowRuntimeError as error:
            answer = error.error
        if not isinstance(answer, ErrorResponse):
            _log.warning(
                "Storm '%s' waits for your decision: DAG %s, run %s.", storm.name, dag, run_id
            )
        elif answer.error != ErrorType.DAGRUN_ALREADY_EXISTS:
            _log.error("Nobody could be asked about storm '%s': %s", storm.name, answer.detail)


def _trigger(dag: str, run_id: str, conf: dict[str, Any]) -> Any:
    """Start a run as TriggerDagRunOperator does, which can start only one and ends its task by it."""
    comms = task_runner.SUPERVISOR_COMMS
    return comms.send(TriggerDagRun(dag_id=dag, run_id=run_id, conf=conf))
