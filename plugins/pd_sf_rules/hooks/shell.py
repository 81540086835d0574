"""Connections for a process that is no task: a shell beside Airflow's own database and secrets backends."""

from airflow.models.connection import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import ConnectionConfigError
from pd_sf_rules.hooks.stored import spec_of


def shell_connection(conn_id: str) -> ConnectionSpec:
    """Return a connection from Airflow's environment, secrets backends or metadata database.

    The task SDK asks the API server, which a shell may not: this reads as Airflow's own commands do.
    Raises ConnectionConfigError where there is none.
    """
    try:
        return spec_of(Connection.get_connection_from_secrets(conn_id))
    except AirflowNotFoundException:
        hint = f"Add it in Airflow (Admin > Connections) or set AIRFLOW_CONN_{conn_id.upper()}."
        raise ConnectionConfigError(conn_id, "is not defined.", hint=hint) from None
