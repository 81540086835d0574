"""What the pages of one process share: the ledger, and the connections as this Airflow stores them."""

import threading

from airflow.models.connection import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from pd_sf_rules.connections import ConnectionSpec, connection_from_environment
from pd_sf_rules.hooks.shell import shell_connection
from pd_sf_rules.hooks.stored import spec_of
from pd_sf_rules.ledger import Ledger
from pd_sf_rules.pipeline import opening
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.settings import Integration

_opening = threading.Lock()
_opened: list[Ledger] = []


def ledger() -> Ledger:
    """Return the ledger of this process: PDSF_LEDGER_URL, connection `pdsf_ledger`, or SQLite in AIRFLOW_HOME.

    Opened once, and shared by all threads. Raises ConfigError or RetryableError; the next call tries again.
    """
    with _opening:
        if not _opened:
            _opened.append(opening.open_the_ledger(connection_url=_stored_url()))
        return _opened[0]


def connect(conn_id: str) -> ConnectionSpec:
    """Return a connection from the environment, Airflow's secrets backends or its database.

    Raises ConnectionConfigError where there is none.
    """
    return connection_from_environment(conn_id) or shell_connection(conn_id)


def open_run(integration: Integration, run_id: str = "") -> Run:
    """Return a run (to be closed: use `with`) for what asks or writes the two services by a person's hand."""
    return opening.open_run(integration, ledger(), run_id=run_id or None, connect=connect)


def _stored_url() -> str | None:
    if connection_from_environment(opening.LEDGER_CONN_ID) is not None:
        return None
    try:
        return opening.ledger_url_of(
            spec_of(Connection.get_connection_from_secrets(opening.LEDGER_CONN_ID))
        )
    except AirflowNotFoundException:
        return None
