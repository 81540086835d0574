"""Engines for the two databases, set up so that both keep the same promises."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from pd_sf_rules.ledger import forking
from pd_sf_rules.ledger.columns import to_json

LOCK_SECONDS = 30  # how long one process waits for another before it gives up with RetryableError
CONNECT_SECONDS = 10
WRITES = "ledger_writes"

# A server that vanished without a word is noticed within a minute: https://www.postgresql.org/docs/current/libpq-connect.html
KEEPALIVES = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


def reading_and_writing(url: URL) -> tuple[Engine, Engine]:
    """Two engines on one pool: transactions of the first only read and see one moment, of the second write."""
    if url.get_backend_name() == "sqlite":
        engine = _sqlite_engine(url)
        reading: dict[str, Any] = {WRITES: False}
    else:
        engine = _postgresql_engine(url)
        reading = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    forking.watch(engine)
    return engine.execution_options(**reading), engine


def _postgresql_engine(url: URL) -> Engine:
    arguments: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "pdsf ledger",
        "options": f"-c lock_timeout={LOCK_SECONDS * 1000}",
        **KEEPALIVES,
    }
    stated = url.query.keys()
    return create_engine(
        url,
        json_serializer=to_json,
        hide_parameters=True,
        pool_size=2,
        max_overflow=8,
        pool_pre_ping=True,
        pool_use_lifo=True,
        pool_recycle=1800,
        connect_args={name: value for name, value in arguments.items() if name not in stated},
    )


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        json_serializer=to_json,
        hide_parameters=True,
        pool_size=2,
        max_overflow=-1,
        pool_use_lifo=True,
        connect_args={} if "timeout" in url.query else {"timeout": LOCK_SECONDS},
    )
    path = str(url.database)

    @event.listens_for(engine, "connect")
    def _set_up(raw: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        raw.isolation_level = None  # transactions are begun below, never by the driver
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut, not only a kill
        raw.execute("PRAGMA journal_size_limit = 67108864")  # give back the disk of a storm's log
        if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            raw.execute("PRAGMA journal_mode = WAL")
        entry.info["file"] = _identity(path)

    @event.listens_for(engine, "checkout")
    def _same_file(_raw: object, entry: ConnectionPoolEntry, _proxy: object) -> None:
        if entry.info["file"] != _identity(path):
            raise DisconnectionError(f"{path} is not the file it was")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, True)
        connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def in_memory(engine: Engine) -> Iterator[None]:
    """Let a SQLite engine work on an empty database in memory; what it learned of its queries it still knows after."""
    disk = engine.pool
    connect: Any = lambda: sqlite3.connect(":memory:")  # noqa: E731 - its type is not public
    engine.pool = StaticPool(connect, _dispatch=disk.dispatch, dialect=engine.dialect)
    try:
        yield
    finally:
        engine.pool.dispose()
        engine.pool = disk


def _identity(path: str) -> tuple[int, int] | None:
    """What tells a replaced file from the one that was opened: a deleted one would be written in vain."""
    try:
        found = os.stat(path)  # noqa: PTH116  on every transaction, and 3 times as fast as a Path's
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
