"""Where the command line finds a connection: the environment first, then Airflow's own store."""

from pd_sf_rules.connections import ConnectionSpec, connection_from_environment
from pd_sf_rules.errors import ConnectionConfigError


def connect(conn_id: str) -> ConnectionSpec:
    """Return a connection; Airflow (seconds to import) is asked only for one that the environment does not hold."""
    spec = connection_from_environment(conn_id)
    if spec is not None:
        return spec
    try:
        from pd_sf_rules.hooks.stored import stored_connection  # noqa: PLC0415
    except ImportError:
        hint = f"Set AIRFLOW_CONN_{conn_id.upper()} (JSON or URI)."
        raise ConnectionConfigError(conn_id, "is not defined.", hint=hint) from None
    return stored_connection(conn_id)
