"""What the database's own errors mean: try again, a person must act, or a defect."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pd_sf_rules.errors import ConfigError, RetryableError, SyncError

# https://www.sqlite.org/rescode.html, primary codes
SQLITE_AGAIN = {
    sqlite3.SQLITE_BUSY: "Another process holds it; this passes by itself.",
    sqlite3.SQLITE_LOCKED: "Another process holds it; this passes by itself.",
    sqlite3.SQLITE_FULL: "Free some disk space.",
    sqlite3.SQLITE_IOERR: "Check the disk.",
    sqlite3.SQLITE_NOMEM: "Free some memory.",
}
SQLITE_CONFIG = {
    sqlite3.SQLITE_CORRUPT: "Restore it from a backup, or move it away: a new one is made and"
    " `pdsf links` rebuilds the links.",
    sqlite3.SQLITE_NOTADB: "Point PDSF_LEDGER_URL at another file: this one is not a ledger.",
    sqlite3.SQLITE_CANTOPEN: "Check that its folder exists and may be written.",
    sqlite3.SQLITE_READONLY: "Give this user write access to the file and to its folder.",
    sqlite3.SQLITE_PERM: "Give this user write access to the file and to its folder.",
    sqlite3.SQLITE_AUTH: "Give this user write access to the file and to its folder.",
}

# https://www.postgresql.org/docs/current/errcodes-appendix.html, codes or their two-letter classes
POSTGRES_AGAIN = ("08", "40", "53", "55P03", "57", "58")
POSTGRES_CONFIG = {
    "42501": "Grant this user the right to use the ledger's tables and to create them.",
    "25006": "Write inside Ledger.begin(), and point PDSF_LEDGER_URL at the primary server.",
    "42P01": "Its tables are missing: run `pdsf ledger upgrade`.",
    "42703": "Its tables are too old: run `pdsf ledger upgrade`.",
    "42P07": "It holds other tables of the same name: give the ledger a database of its own.",
    "28": "Check the user and the password.",
    "3D": "Create the database, or correct its name.",
    "3F": "Create the schema, or correct the search path.",
    "XX": "The database is damaged: restore it from a backup.",
}
# A refused connection carries no code, only the server's words.
POSTGRES_REFUSALS = {
    "password authentication failed": "Check the user and the password.",
    "no password supplied": "Give the URL a password.",
    "no pg_hba.conf entry": "Let the server accept this user from this host.",
    "authentication failed": "Check the user and how the server authenticates it.",
    "permission denied for database": "Grant this user CONNECT on the database.",
    "role": "Create the role, or correct the user in the URL.",
    "database": "Create the database, or correct its name in the URL.",
    "invalid connection option": "Remove the option from the URL.",
    "invalid dsn": "Correct the URL.",
    "invalid port": "Correct the port in the URL.",
    "sslmode": "Correct the sslmode in the URL.",
}


@contextmanager
def translated(database: str) -> Iterator[None]:
    """Let database errors out of the block as errors of this package, naming `database` (masked)."""
    try:
        yield
    except PoolTimeoutError:
        raise RetryableError(
            f"Ledger {database}: no connection came free in time.",
            hint="Run fewer tasks at once in one process.",
        ) from None
    except DBAPIError as error:
        raise meaning(database, error) from error
    except SQLAlchemyError as error:
        raise SyncError(f"Ledger {database}: {_first_line(error)}") from error


def meaning(database: str, error: DBAPIError) -> SyncError:
    """The error of this package that says what to do about `error`."""
    cause = error.orig
    words = f"Ledger {database}: {_first_line(cause or error)}"
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(words, cause)
    if hasattr(cause, "pgcode"):  # psycopg2, which a ledger on SQLite need not have imported
        return _of_postgresql(words, error)
    return SyncError(words)


def _of_sqlite(words: str, cause: sqlite3.Error) -> SyncError:
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in SQLITE_AGAIN:
        return RetryableError(words, hint=SQLITE_AGAIN[code])
    if code in SQLITE_CONFIG:
        return ConfigError(words, hint=SQLITE_CONFIG[code])
    if "no such table" in words or "no such column" in words:
        return ConfigError(words, hint="Run `pdsf ledger upgrade`.")
    if "already exists" in words:
        return ConfigError(words, hint=POSTGRES_CONFIG["42P07"])
    return SyncError(words)


def _of_postgresql(words: str, error: DBAPIError) -> SyncError:
    code = getattr(error.orig, "pgcode", None) or ""
    for start, hint in POSTGRES_CONFIG.items():
        if code.startswith(start):
            return ConfigError(words, hint=hint)
    if code.startswith(POSTGRES_AGAIN) or error.connection_invalidated:
        return RetryableError(words, hint="The database server was not there for a moment.")
    if not code and isinstance(error, OperationalError | ProgrammingError):
        return _of_refused_connection(words)
    return SyncError(words)


def _of_refused_connection(words: str) -> SyncError:
    lowered = words.lower()
    fatal = lowered.partition("fatal:")[2].strip() or lowered
    for start, hint in POSTGRES_REFUSALS.items():
        if start in {"role", "database"}:
            if fatal.startswith(f'{start} "') and "does not exist" in fatal:
                return ConfigError(words, hint=hint)
        elif start in fatal:
            return ConfigError(words, hint=hint)
    return RetryableError(words, hint="Check that the database server runs and is reachable.")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
