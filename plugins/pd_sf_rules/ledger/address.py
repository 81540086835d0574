"""Where the ledger lives: the URL, made plain, and a name for it that may be shown."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from pd_sf_rules.errors import ConfigError

FILE_NAME = "pdsf_ledger.db"
HINT = (
    "Set PDSF_LEDGER_URL (or the connection 'pdsf_ledger') to sqlite:////absolute/path.db"
    " or postgresql://user:password@host:5432/database."
)


def ledger_url(environ: Mapping[str, str], *, connection_url: str | None = None) -> str | None:
    """PDSF_LEDGER_URL, else `connection_url` (of the connection `pdsf_ledger`), else a file in AIRFLOW_HOME.

    None when none of the three is known.
    """
    stated = environ.get("PDSF_LEDGER_URL", "").strip()
    if stated or connection_url:
        return stated or connection_url
    home = environ.get("AIRFLOW_HOME", "").strip()
    if not home:
        return None
    path = Path(home).expanduser().absolute() / FILE_NAME
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def parse_url(url: str) -> URL:
    """The URL with its driver spelled out and, for SQLite, an absolute path.

    Raises ConfigError, without the URL's text (it may hold a password), for anything else
    than a SQLite file or a PostgreSQL database.
    """
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):
        raise ConfigError("The ledger's URL cannot be read.", hint=HINT) from None
    match parsed.drivername:
        case "postgres" | "postgresql" | "postgresql+psycopg2":
            return _postgresql(parsed)
        case "sqlite" | "sqlite+pysqlite":
            return _sqlite(parsed)
    raise ConfigError(f"The ledger cannot live in a '{parsed.drivername}' database.", hint=HINT)


def shown(url: URL) -> str:
    """The URL without its driver and with its password masked, for error texts and logs."""
    plain = url.set(drivername=url.get_backend_name())
    return plain.difference_update_query(("password", "passfile")).render_as_string(
        hide_password=True
    )


def _postgresql(url: URL) -> URL:
    if not url.database:
        raise ConfigError(f"The ledger's URL {shown(url)} names no database.", hint=HINT)
    return url.set(drivername="postgresql+psycopg2")


def _sqlite(url: URL) -> URL:
    database = url.database or ""
    if database in {"", ":memory:"} or database.startswith("file:"):
        raise ConfigError(
            "The ledger must be a file: every process of a sync shares it.", hint=HINT
        )
    path = Path(database).expanduser().absolute()
    return url.set(drivername="sqlite+pysqlite", database=str(path))
