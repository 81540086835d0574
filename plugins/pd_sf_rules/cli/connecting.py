"""Where the command line finds connections and the ledger: the environment first, then Airflow's own store."""

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pd_sf_rules.connections import ConnectionSpec, connection_from_environment
from pd_sf_rules.errors import ConnectionConfigError

if TYPE_CHECKING:
    from pd_sf_rules.ledger import Ledger

LEDGER_CONN_ID = "pdsf_ledger"


def connect(conn_id: str) -> ConnectionSpec:
    """Return a connection; Airflow (seconds to import) is asked only for one that the environment does not hold."""
    spec = connection_from_environment(conn_id)
    if spec is not None:
        return spec
    if _has_airflow():
        return _asked_of_airflow(conn_id)
    hint = f"Set AIRFLOW_CONN_{conn_id.upper()} (JSON or URI), or AIRFLOW_HOME to an Airflow that has it."
    raise ConnectionConfigError(conn_id, "is not defined.", hint=hint)


def open_ledger_here() -> "Ledger":
    """Open the ledger that this shell's environment, or else the Airflow beside it, names.

    PDSF_LEDGER_URL, else the connection `pdsf_ledger`, else a file in AIRFLOW_HOME: Airflow is asked only where
    there is one and the environment names no ledger. Raises ConfigError or RetryableError.
    """
    from pd_sf_rules.pipeline.opening import open_the_ledger  # noqa: PLC0415 - database imports are slow

    return open_the_ledger(connection_url=_stored_url())


def _stored_url() -> str | None:
    named = os.environ.get("PDSF_LEDGER_URL", "").strip()
    if named or connection_from_environment(LEDGER_CONN_ID) or not _has_airflow():
        return None
    from pd_sf_rules.pipeline.opening import ledger_url_of  # noqa: PLC0415

    try:
        return ledger_url_of(_asked_of_airflow(LEDGER_CONN_ID))
    except ConnectionConfigError:
        return None


def _asked_of_airflow(conn_id: str) -> ConnectionSpec:
    """Ask Airflow, whose log goes to stdout unless told otherwise: ours is for what the command says."""
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
    with contextlib.redirect_stdout(sys.stderr):
        from pd_sf_rules.hooks.shell import shell_connection  # noqa: PLC0415

        return shell_connection(conn_id)


def _has_airflow() -> bool:
    """Say whether there is an Airflow to ask: importing it where there is none would make one."""
    if os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"):
        return True
    home = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()
    return (home / "airflow.cfg").is_file() or (home / "airflow.db").is_file()
