"""Alerts about the sync itself, through the PagerDuty provider's notifier, to the sync's own service.

A DAG has one alert: the first task that fails for good, or a run that does not end, raises it, further failures add
to it, and the next run that ends well resolves it. The ledger remembers that it is open, so that a run that ends well
says nothing otherwise.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from pd_sf_rules.errors import SyncError
from pd_sf_rules.hooks.runs import ledger_of_process
from pd_sf_rules.hooks.stored import stored_connection
from pd_sf_rules.ledger import cursors
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.settings import Integration
from pd_sf_rules.systems.pagerduty.alerts import send_alert

_log = logging.getLogger(__name__)
_one_at_a_time = threading.Lock()  # the deadlines of runs that wait for one another pass together


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


def alert_key(dag_id: str) -> str:
    """Return what PagerDuty knows the alert of a DAG by."""
    return f"pdsf/{dag_id}"


def resolve_on_success(integration: Integration) -> Callable[[Context], None]:
    """Return the callback of a task that ended well: after the last task of a run it resolves an open alert."""

    def resolve(context: Context) -> None:
        dag_id = str(context["dag"].dag_id)
        if context["task"].downstream_task_ids or context["params"].get("dry_run"):
            return
        try:
            if not _is_open(integration.name, dag_id):
                return
            spec = stored_connection(integration.pagerduty_conn_id)
            send_alert(spec, "resolve", dedup_key=alert_key(dag_id))
            remember(integration.name, dag_id, is_open=False)
        except SyncError as error:
            _log.error("The alert of %s: %s", dag_id, error)

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
    return await asyncio.to_thread(_alert_once, integration, pagerduty_conn_id, dag_id, told)


def _alert_once(integration: str, pagerduty_conn_id: str, dag_id: str, told: str) -> str:
    """Raise the alert of a DAG unless it is open. Raises SyncError when it cannot be sent: Airflow keeps that."""
    with _one_at_a_time:
        try:
            if _is_open(integration, dag_id):
                return "the alert is open already"
        except SyncError as error:
            _log.warning("Whether the alert of %s is open is not known: %s", dag_id, error)
        spec = stored_connection(pagerduty_conn_id)
        if not send_alert(spec, "trigger", dedup_key=alert_key(dag_id), summary=told):
            return f"no routing_key in '{pagerduty_conn_id}': no alert is sent"
        remember(integration, dag_id, is_open=True)
        return "alert sent"


def cause_of(context: Context) -> str:
    """Return our own errors' sentence; of any other error only the kind, since its text may hold anything."""
    error = context.get("exception")
    if isinstance(error, (SyncError, AirflowFailException)):
        return str(error)
    kind = type(error).__name__ if isinstance(error, BaseException) else "no error was told"
    return f"{context['ti'].task_id} failed ({kind}): its log tells more."


def _stream(dag_id: str) -> str:
    return f"alert:{dag_id}"


def _is_open(integration: str, dag_id: str) -> bool:
    with ledger_of_process().read() as c:
        kept = cursors.get_cursor(c, integration, _stream(dag_id))
    return kept is not None and bool(kept.extra.get("open"))


def remember(integration: str, dag_id: str, *, is_open: bool) -> None:
    """Keep whether the alert of a DAG is open. Raises SyncError where the ledger cannot be reached."""
    with ledger_of_process().begin() as c:
        kept = cursors.start_cursor(c, integration, _stream(dag_id), utc_now())
        at = max(utc_now(), kept.position)
        cursors.move_cursor(c, integration, _stream(dag_id), at, extra={"open": is_open})
