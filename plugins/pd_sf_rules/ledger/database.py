"""One ledger database: how it is opened, and its two kinds of transaction."""

import os
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import Pool

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import migrating
from pd_sf_rules.ledger.address import HINT, parse_url, shown
from pd_sf_rules.ledger.columns import to_json
from pd_sf_rules.ledger.failures import translated

BUSY_SECONDS = 30
CONNECT_SECONDS = 10
WRITES = "ledger_writes"

_open_ledgers: "weakref.WeakSet[Ledger]" = weakref.WeakSet()
_abandoned: list[Pool] = []


class Ledger:
    """An open ledger. Threads and forked children may share it; every transaction has a connection of its own."""

    def __init__(self, url: URL) -> None:
        self.name = shown(url)
        self._engine = _engine(url)
        self._reader = self._engine.execution_options(**_reading(url))
        self._writer = self._engine.execution_options(**{WRITES: True})
        _open_ledgers.add(self)

    def __repr__(self) -> str:
        return f"Ledger({self.name})"

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One write transaction: committed at the end of the block, undone when it raises.

        SQLite lets one writer in at a time: the others wait here, up to 30 s. Keep it short, call no
        server inside, and open no second one inside. Raises RetryableError (locked, gone) or ConfigError.
        """
        with translated(self.name), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One reading transaction that sees the ledger as it was at its first statement."""
        with translated(self.name), self._reader.begin() as connection:
            yield connection

    def upgrade(self, revision: str = "head") -> str:
        """Bring the tables to `revision`; returns the revision they have now. Safe beside other processes."""
        with translated(self.name), self._writer.begin() as connection:
            return migrating.upgrade(connection, self.name, revision)

    def revision(self) -> str | None:
        """The revision the tables have, None in an empty database."""
        with self.read() as connection:
            return migrating.revision(connection)

    def close(self) -> None:
        """Give every pooled connection back to the system."""
        self._engine.dispose()

    def abandon(self) -> None:
        """In a forked child: leave the parent's connections alone, for good, and start without any.

        They are kept referenced because closing a SQLite handle that came through a fork is unsafe.
        """
        _abandoned.append(self._engine.pool)
        self._engine.dispose(close=False)


def open_ledger(url: str) -> Ledger:
    """The ledger at `url`, created or migrated where needed.

    `sqlite:///file` or `postgresql://...` (also `postgres://`). Raises ConfigError naming the database
    (password masked) for a wrong URL, a missing folder, missing rights, a corrupt file, a foreign or a newer
    database; RetryableError when it is locked or out of reach.
    """
    parsed = parse_url(url)
    if parsed.drivername.startswith("sqlite"):
        _check_place(parsed)
    ledger = Ledger(parsed)
    try:
        if not _is_current(ledger):
            ledger.upgrade()
    except BaseException:
        ledger.close()
        raise
    return ledger


def _is_current(ledger: Ledger) -> bool:
    revision = ledger.revision()
    if revision == migrating.HEAD:
        return True
    if revision is not None:
        migrating.check_known(revision, ledger.name)
    return False


def _reading(url: URL) -> dict[str, Any]:
    if url.drivername.startswith("sqlite"):
        return {WRITES: False}
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def _engine(url: URL) -> Engine:
    if url.drivername.startswith("sqlite"):
        return _sqlite_engine(url)
    return create_engine(
        url,
        json_serializer=to_json,
        hide_parameters=True,
        pool_size=2,
        max_overflow=8,
        pool_pre_ping=True,
        pool_use_lifo=True,
        pool_recycle=1800,
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "pdsf ledger"},
    )


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        json_serializer=to_json,
        hide_parameters=True,
        pool_size=2,
        max_overflow=-1,
        pool_use_lifo=True,
        connect_args={"timeout": BUSY_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def _set_up(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None  # transactions are begun below, never by the driver
        raw.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut, not only a kill
        if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            raw.execute("PRAGMA journal_mode = WAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, True)
        connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _check_place(url: URL) -> None:
    path = Path(url.database or "")
    if not path.parent.is_dir():
        raise ConfigError(
            f"Ledger {shown(url)}: its folder {path.parent} does not exist.",
            hint="Make the folder, or set PDSF_LEDGER_URL to another place.",
        )
    if path.is_dir():
        raise ConfigError(f"Ledger {shown(url)}: this is a folder, not a file.", hint=HINT)
    wrong = next((place for place in (path.parent, path) if not _may_write(place)), None)
    if wrong is not None:
        raise ConfigError(
            f"Ledger {shown(url)}: no right to write {wrong}.",
            hint="Give this user write access to the file and to its folder.",
        )


def _may_write(place: Path) -> bool:
    wanted = os.R_OK | os.W_OK | (os.X_OK if place.is_dir() else 0)
    return not place.exists() or os.access(place, wanted)


def _after_fork() -> None:
    for ledger in list(_open_ledgers):
        ledger.abandon()


os.register_at_fork(after_in_child=_after_fork)
