"""A run of the pipeline inside a task: settings from files, connections from Airflow, one ledger a process."""

import os
from functools import lru_cache

from airflow.sdk import Context

from pd_sf_rules.connections import connection_from_environment
from pd_sf_rules.errors import ConnectionConfigError
from pd_sf_rules.hooks.stored import stored_connection
from pd_sf_rules.ledger import Ledger
from pd_sf_rules.pipeline.opening import LEDGER_CONN_ID, ledger_url_of, open_run, open_the_ledger
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.settings import load_integration


def run_of_task(integration: str, context: Context) -> Run:
    """Return the run that a task is part of; its tasks share the id, so that lineage finds all they did.

    Close it, or use it as a context manager.
    """
    dag_run = context["dag_run"]
    return open_run(
        load_integration(integration),
        ledger_of_process(),
        run_id=f"{dag_run.dag_id}/{dag_run.run_id}",
        connect=stored_connection,
    )


@lru_cache(maxsize=1)
def ledger_of_process() -> Ledger:
    """Open the ledger once: PDSF_LEDGER_URL, else the connection `pdsf_ledger`, else a file in AIRFLOW_HOME."""
    return open_the_ledger(connection_url=ledger_connection_url())


def ledger_connection_url() -> str | None:
    """Return the database URL that the connection `pdsf_ledger` tells, None without one."""
    if os.environ.get("PDSF_LEDGER_URL"):
        return None
    stated = connection_from_environment(LEDGER_CONN_ID)
    if stated is not None:  # as the command line reads it, so that both open the same ledger
        return ledger_url_of(stated)
    try:
        return ledger_url_of(stored_connection(LEDGER_CONN_ID))
    except ConnectionConfigError:
        return None
