"""What the tasks of the DAGs `reconcile`, `health` and `ledger_maintenance` do; their operators are in upkeep.py."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from pd_sf_rules.hooks.runs import ledger_of_process, run_of_task
from pd_sf_rules.hooks.stored import stored_connection
from pd_sf_rules.ledger import maintenance
from pd_sf_rules.operators.silence import dead_components, silent_dags
from pd_sf_rules.operators.upkeep import (
    HealthOperator,
    MaintainLedgerOperator,
    ReconcileOperator,
)
from pd_sf_rules.pipeline.health import health
from pd_sf_rules.pipeline.reconcile import MAX_CALLS, reconcile
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.settings import load_integration


def reconcile_pairs(task: ReconcileOperator, context: Context) -> dict[str, Any]:
    """Reconcile; raises the errors of the systems."""
    params: Any = context["params"]
    with run_of_task(task.integration, context) as run:
        report = reconcile(
            run,
            repair=bool(params.get("repair")),
            max_calls=int(params.get("max_calls") or MAX_CALLS),
        )
    for one in report["findings"]:
        task.log.warning("%s", one)
    return report


def examine(task: HealthOperator, context: Context) -> dict[str, Any]:
    """Examine; raises AirflowFailException when something is broken."""
    integration = load_integration(task.integration)
    found = health(ledger_of_process(), integration, stored_connection)
    findings = [*dead_components(), *silent_dags(context, integration), *found.findings]
    told = {**asdict(found), "findings": findings}
    if not findings:
        return told
    context["ti"].xcom_push(key="return_value", value=told)
    for said in findings:
        task.log.error("%s", said)
    raise AirflowFailException(" ".join(findings))


def maintain(task: MaintainLedgerOperator, _context: Context) -> dict[str, Any]:
    """Maintain; raises AirflowFailException when the database is damaged, before anything is forgotten."""
    ledger = ledger_of_process()
    broken = maintenance.damage(ledger)
    if broken:
        raise AirflowFailException(
            f"The ledger {ledger.name} is damaged: {broken[0]}. Restore a backup, or move it away, sync, and "
            "rebuild the links with `pdsf links`."
        )
    days = load_integration(task.integration).log.retention_days
    before = utc_now() - timedelta(days=days)
    forgotten = maintenance.prune(ledger, before=before, integration=task.integration)
    return {"forgotten": forgotten, **maintenance.stats(ledger)}
