"""The alert of a DAG: raised and resolved at the sync's own service, and remembered by the ledger while it is open."""

import logging
import threading

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from pd_sf_rules.errors import SyncError
from pd_sf_rules.hooks.runs import ledger_of_process
from pd_sf_rules.hooks.stored import stored_connection
from pd_sf_rules.ledger import cursors
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.systems.pagerduty.alerts import send_alert

_log = logging.getLogger(__name__)
_one_at_a_time = threading.Lock()  # the deadlines of runs that wait for one another pass together


def alert_key(dag_id: str) -> str:
    """Return what PagerDuty knows the alert of a DAG by."""
    return f"pdsf/{dag_id}"


def alert_once(integration: str, pagerduty_conn_id: str, dag_id: str, told: str) -> str:
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


def resolve_open(integration: str, pagerduty_conn_id: str, dag_id: str) -> None:
    """Resolve the alert of a DAG if it is open; what keeps it from that is logged."""
    try:
        if not _is_open(integration, dag_id):
            return
        spec = stored_connection(pagerduty_conn_id)
        send_alert(spec, "resolve", dedup_key=alert_key(dag_id))
        remember(integration, dag_id, is_open=False)
    except SyncError as error:
        _log.error("The alert of %s: %s", dag_id, error)


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
