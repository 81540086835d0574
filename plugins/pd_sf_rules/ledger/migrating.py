"""Bringing the tables of a ledger to this code's revision."""

import threading
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from pd_sf_rules.errors import ConfigError

HEAD = "0010"
VERSION_TABLE = "ledger_version"
MIGRATIONS = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x70647366  # "pdsf": one migration at a time in one PostgreSQL database

_one_at_a_time = threading.Lock()  # Alembic keeps its context in a module global


def revision(connection: Connection) -> str | None:
    """The revision the tables have, None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return found.scalar_one_or_none()


def upgrade(connection: Connection, name: str, target: str = "head") -> str:
    """Run the missing migrations inside the caller's write transaction; the revision reached comes back.

    All or nothing: DDL is transactional on both databases. A second process waits, then finds nothing to do.
    """
    from alembic import command  # noqa: PLC0415  0.2 s that a ledger already at its head need not pay
    from alembic.config import Config  # noqa: PLC0415

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    present = revision(connection)
    if present is not None:
        check_known(present, name)
    with _one_at_a_time:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, target)
    return revision(connection) or ""


def check_known(present: str, name: str) -> None:
    """Raises ConfigError when the database was written by a newer version of this package."""
    if present not in known_revisions():
        raise ConfigError(
            f"Ledger {name}: its tables have revision {present}, this version knows up to {HEAD}.",
            hint="Upgrade this installation, or point PDSF_LEDGER_URL at its own ledger.",
        )


def known_revisions() -> frozenset[str]:
    """Every revision of this package, from the names of its migration files."""
    return frozenset(
        path.name.split("_")[1] for path in (MIGRATIONS / "versions").glob("revision_*.py")
    )
