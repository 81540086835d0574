"""Connections as Airflow stores them, as plain data."""

from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from pd_sf_rules.connections import ConnectionSpec, connection_from_environment
from pd_sf_rules.errors import ConnectionConfigError, RetryableError


def stored_connection(conn_id: str) -> ConnectionSpec:
    """Return a connection from Airflow's environment, secrets backends or metadata database.

    Raises ConnectionConfigError where there is none, or where the environment's cannot be read.
    """
    try:
        return spec_of(BaseHook.get_connection(conn_id))
    except AirflowNotFoundException:
        # Airflow passes over a variable that it cannot read; ours says what is wrong with it.
        in_environment = connection_from_environment(conn_id)
    if in_environment is not None:
        return in_environment
    hint = f"Add it in Airflow (Admin > Connections) or set AIRFLOW_CONN_{conn_id.upper()}."
    raise ConnectionConfigError(conn_id, "is not defined.", hint=hint)


def spec_of(connection: Any) -> ConnectionSpec:
    """Turn an Airflow connection into plain data."""
    return ConnectionSpec(
        conn_id=connection.conn_id,
        conn_type=connection.conn_type or "",
        login=connection.login or "",
        password=connection.password or "",
        host=connection.host or "",
        extra=connection.extra_dejson,
        port=connection.port,
        schema=connection.schema or "",
    )


def unreachable(conn_id: str, error: RetryableError, *addresses: str) -> str:
    """Return a sentence about a server that did not answer: the connection, the first address it states, and why."""
    spec = stored_connection(conn_id)
    stated = next(
        (f"{key} {spec.text(key)}" for key in addresses if spec.text(key)), "its usual address"
    )
    return f"Connection '{conn_id}' ({stated}): {error}"
