"""Alerts about the sync itself, through the PagerDuty provider's notifier, to the sync's own service.

A DAG has one alert: the first task that fails for good, or a run that does not end, raises it, further failures add
to it, and the next run that ends well resolves it. The ledger remembers that it is open, so that a run that ends well
says nothing otherwise.

A DAG file names these callbacks, and calls none of them: what they need is imported when it is their turn.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from airflow.sdk import Context

from pd_sf_rules.settings import Integration


def alert_on_failure(integration: Integration) -> Callable[[Context], None]:
    """Return the callback of a task that failed for good."""

    def alert(context: Context) -> None:
        from pd_sf_rules.hooks.notifier import SyncNotifier  # noqa: PLC0415 - the provider takes long to import

        SyncNotifier(
            integration.name,
            integration.pagerduty_conn_id,
            summary="",
            severity="error",
            action="trigger",
            group="pd-sf-rules",
        ).notify(context)

    return alert


def resolve_on_success(integration: Integration) -> Callable[[Context], None]:
    """Return the callback of a task that ended well: after the last task of a run it resolves an open alert."""

    def resolve(context: Context) -> None:
        if context["task"].downstream_task_ids or context["params"].get("dry_run"):
            return
        from pd_sf_rules.hooks.alerts import resolve_open  # noqa: PLC0415 - not for a DAG file

        dag_id = str(context["dag"].dag_id)
        resolve_open(integration.name, integration.pagerduty_conn_id, dag_id)

    return resolve


async def alert_about_stuck_run(
    *, integration: str, pagerduty_conn_id: str, minutes: float, context: Mapping[str, Any]
) -> str:
    """Raise the alert of a DAG whose run has not ended in time; what Airflow's triggerer calls then.

    `context` is what Airflow knows of a missed deadline: the run as its REST API shows it. Returns what was done; it
    says nothing new while the alert is open already, of a run that has ended, or of a backfill's that waits its turn.
    """
    run = context["dag_run"]
    state, dag_id = str(run["state"]), str(run["dag_id"])
    if state not in {"queued", "running"} or (state, run["run_type"]) == ("queued", "backfill"):
        return f"nothing to tell: the run is {state}"
    how = "has not been started" if state == "queued" else "has not ended"
    told = f"{dag_id}: run {run['dag_run_id']} {how} after {minutes:g} minutes: see the log of its task in Airflow."
    return await asyncio.to_thread(_raise_alert, integration, pagerduty_conn_id, dag_id, told)


def _raise_alert(integration: str, pagerduty_conn_id: str, dag_id: str, told: str) -> str:
    from pd_sf_rules.hooks.alerts import alert_once  # noqa: PLC0415 - in the thread, where the triggerer need not wait

    return alert_once(integration, pagerduty_conn_id, dag_id, told)
