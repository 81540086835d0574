"""Everything a run needs, found in the environment: the integration, its connections and the ledger."""

import os
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL

from pd_sf_rules.connections import ConnectionSpec, connection_from_environment
from pd_sf_rules.errors import ConnectionConfigError
from pd_sf_rules.ledger import Ledger, ledger_url, open_ledger
from pd_sf_rules.pipeline.run import Connect, Run
from pd_sf_rules.settings import Integration

LEDGER_CONN_ID = "pdsf_ledger"


def connect_from_environment(conn_id: str) -> ConnectionSpec:
    """Return the connection in `AIRFLOW_CONN_<ID>`; raises ConnectionConfigError where there is none."""
    spec = connection_from_environment(conn_id)
    if spec is None:
        hint = (
            f"Set AIRFLOW_CONN_{conn_id.upper()} (JSON or URI), or add the connection in Airflow."
        )
        raise ConnectionConfigError(conn_id, "is not defined.", hint=hint)
    return spec


def open_the_ledger(
    environ: Mapping[str, str] | None = None, *, connection_url: str | None = None
) -> Ledger:
    """Open the ledger: PDSF_LEDGER_URL, else the connection `pdsf_ledger`, else a file in AIRFLOW_HOME.

    AIRFLOW_HOME is ~/airflow where it is not set, as for Airflow itself. Raises ConfigError or RetryableError.
    """
    variables = dict(os.environ if environ is None else environ)
    home = Path(variables.setdefault("AIRFLOW_HOME", "~/airflow")).expanduser()
    if connection_url is None and not variables.get("PDSF_LEDGER_URL"):
        spec = connection_from_environment(LEDGER_CONN_ID, variables)
        connection_url = ledger_url_of(spec) if spec else None
        if connection_url is None:
            home.mkdir(parents=True, exist_ok=True)
    return open_ledger(ledger_url(variables, connection_url=connection_url) or "")


def ledger_url_of(spec: ConnectionSpec) -> str:
    """Return the database URL that a connection tells: its extra `url`, else its host, login and schema.

    A connection of type `sqlite` names its file in the host field.
    """
    stated = spec.text("url")
    if stated:
        return stated
    if spec.conn_type == "sqlite":
        path = spec.host or f"/{spec.schema}"
        return URL.create("sqlite", database=path).render_as_string(hide_password=False)
    url = URL.create(
        spec.conn_type.replace("-", "_") or "unknown",
        username=spec.login or None,
        password=spec.password or None,
        host=spec.host or None,
        port=spec.port,
        database=spec.schema or None,
    )
    return url.render_as_string(hide_password=False)


def open_run(
    integration: Integration,
    ledger: Ledger,
    *,
    run_id: str | None = None,
    connect: Connect = connect_from_environment,
) -> Run:
    """Return a run of one integration; without `run_id` it gets one of its own, sortable by time."""
    made = f"pdsf/{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    return Run(run_id or made, integration, ledger, connect)
