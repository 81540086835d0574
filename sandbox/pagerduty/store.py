"""The simulated account's SQLite database: documents by kind, and tables for what is listed by time."""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.pagerduty.shapes import Doc

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS resources (
    position INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL,
    doc TEXT NOT NULL, UNIQUE (kind, id));
CREATE TABLE IF NOT EXISTS incidents (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, service_id TEXT NOT NULL,
    status TEXT NOT NULL, urgency TEXT NOT NULL, priority_id TEXT, incident_key TEXT,
    created_at TEXT NOT NULL, resolved_at TEXT, due_at REAL, doc TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS incidents_by_key ON incidents (service_id, incident_key);
CREATE INDEX IF NOT EXISTS incidents_by_creation ON incidents (created_at);
CREATE INDEX IF NOT EXISTS incidents_by_due ON incidents (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS log_entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, incident_id TEXT NOT NULL,
    created_at TEXT NOT NULL, visible_from REAL NOT NULL, copies INTEGER NOT NULL,
    overview INTEGER NOT NULL, doc TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS entries_by_time ON log_entries (created_at DESC, seq DESC);
CREATE INDEX IF NOT EXISTS entries_by_incident ON log_entries (incident_id, created_at DESC, seq DESC);
CREATE INDEX IF NOT EXISTS entries_copied ON log_entries (seq) WHERE copies > 1;
CREATE TABLE IF NOT EXISTS notes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, incident_id TEXT NOT NULL,
    doc TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS notes_by_incident ON notes (incident_id, seq);
CREATE TABLE IF NOT EXISTS alerts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, incident_id TEXT NOT NULL,
    routing_key TEXT NOT NULL, alert_key TEXT NOT NULL, status TEXT NOT NULL, doc TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS alerts_by_key ON alerts (routing_key, alert_key, status);
CREATE INDEX IF NOT EXISTS alerts_by_incident ON alerts (incident_id);
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, subscription_id TEXT NOT NULL, resource_id TEXT NOT NULL,
    webhook_id TEXT NOT NULL, body TEXT NOT NULL, due_at REAL NOT NULL, created_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'waiting', answer TEXT);
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (state, seq);
"""

TABLES = ("resources", "incidents", "log_entries", "notes", "alerts", "deliveries", "meta")


class Store:
    """One SQLite connection behind a lock; `path` None keeps everything in memory."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._depth = 0
        self._names: dict[tuple[str, str], str | None] = {}
        self._connection = sqlite3.connect(
            ":memory:" if path is None else path, check_same_thread=False, isolation_level=None
        )
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and nobody else in between; nests by joining the outer one."""
        with self._lock:
            outermost = self._depth == 0
            if outermost:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._names.clear()
                if outermost:
                    self._connection.execute("ROLLBACK")
                raise
            else:
                if outermost:
                    self._connection.execute("COMMIT")
            finally:
                self._depth -= 1

    def execute(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one statement; the number of rows it touched."""
        with self._lock:
            return self._connection.execute(sql, values).rowcount

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def docs(self, sql: str, values: Sequence[Any] = ()) -> list[Doc]:
        """The `doc` column of a query, decoded."""
        return [json.loads(row["doc"]) for row in self.rows(sql, values)]

    def scalar(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """First column of the first row, None where there is none."""
        rows = self.rows(sql, values)
        return rows[0][0] if rows else None

    def get(self, kind: str, identifier: str) -> Doc | None:
        """One resource document of a kind (user, service, priority...)."""
        docs = self.docs("SELECT doc FROM resources WHERE kind = ? AND id = ?", (kind, identifier))
        return docs[0] if docs else None

    def name(self, kind: str, identifier: str) -> str | None:
        """The name of a resource, None for an unknown one; remembered, since references need it."""
        key = (kind, identifier)
        with self._lock:
            if key not in self._names:
                doc = self.get(kind, identifier)
                self._names[key] = None if doc is None else str(doc.get("name") or identifier)
            return self._names[key]

    def all(self, kind: str) -> list[Doc]:
        """All resource documents of a kind in the order they were added."""
        return self.docs("SELECT doc FROM resources WHERE kind = ? ORDER BY position", (kind,))

    def put(self, kind: str, doc: Doc) -> None:
        """Add a resource document or replace the one with its id, keeping its place."""
        self._names.pop((kind, doc["id"]), None)
        self.execute(
            "INSERT INTO resources (kind, id, doc) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, id) DO UPDATE SET doc = excluded.doc",
            (kind, doc["id"], json.dumps(doc)),
        )

    def delete(self, kind: str, identifier: str) -> bool:
        """Remove a resource document; whether there was one."""
        self._names.pop((kind, identifier), None)
        sql = "DELETE FROM resources WHERE kind = ? AND id = ?"
        return self.execute(sql, (kind, identifier)) > 0

    def meta(self, name: str) -> str | None:
        """A named value of the account."""
        value = self.scalar("SELECT value FROM meta WHERE name = ?", (name,))
        return None if value is None else str(value)

    def set_meta(self, name: str, value: str) -> None:
        """Store a named value of the account."""
        self.execute(
            "INSERT INTO meta (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def clear(self) -> None:
        """Forget everything."""
        with self.transaction():
            self._names.clear()
            for table in TABLES:
                self.execute(f"DELETE FROM {table}")

    def close(self) -> None:
        """Close the file; a later start finds all committed data there."""
        with self._lock:
            self._connection.close()
