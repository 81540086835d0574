"""The SQLite file an org lives in: records, settings and what happened, as JSON."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sandbox.salesforce.moments import print_instant, read_date, read_instant
from sandbox.salesforce.schema import Row, Value

TABLES = """
CREATE TABLE IF NOT EXISTS records (id TEXT PRIMARY KEY, object TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries (n INTEGER PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL);
"""


class Disk:
    """Write-through storage of one org; the rows themselves are served from memory.

    ``path`` None keeps everything in memory. Not locked: the org's own lock guards it.
    """

    def __init__(self, path: Path | None) -> None:
        self._sqlite = sqlite3.connect(path or ":memory:", check_same_thread=False)
        self._sqlite.execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing in WAL mode; only a power cut could.
        self._sqlite.execute("PRAGMA synchronous=NORMAL")
        self._sqlite.executescript(TABLES)

    def records(self) -> Iterator[tuple[str, Row]]:
        """Yield every stored record as (object, row), in the order of their ids."""
        for name, body in self._sqlite.execute("SELECT object, body FROM records ORDER BY rowid"):
            yield name, load_row(json.loads(body))

    def save(self, rows: Iterable[tuple[str, str, Row | None]]) -> None:
        """Store rows of (id, object, row) in the open transaction; a row of None is dropped."""
        for record_id, name, row in rows:
            if row is None:
                self._sqlite.execute("DELETE FROM records WHERE id = ?", (record_id,))
                continue
            self._sqlite.execute(
                "INSERT INTO records VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                (record_id, name, json.dumps(dump_row(row))),
            )

    def setting(self, key: str, default: Any) -> Any:
        """Return a stored setting, or the default."""
        found = self._sqlite.execute("SELECT body FROM settings WHERE key = ?", (key,)).fetchone()
        return json.loads(found[0]) if found else default

    def keep(self, key: str, body: Any) -> None:
        """Store a setting in the open transaction."""
        self._sqlite.execute(
            "INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, json.dumps(body))
        )

    def append(self, kind: str, body: dict[str, Any]) -> None:
        """Add an entry to a log in the open transaction."""
        text = json.dumps(body, default=str)
        self._sqlite.execute("INSERT INTO entries (kind, body) VALUES (?, ?)", (kind, text))

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """Return a log, oldest first."""
        rows = self._sqlite.execute("SELECT body FROM entries WHERE kind = ? ORDER BY n", (kind,))
        return [json.loads(body) for (body,) in rows]

    def forget(self, kind: str) -> None:
        """Empty a log."""
        self._sqlite.execute("DELETE FROM entries WHERE kind = ?", (kind,))

    def commit(self) -> None:
        """Make the open transaction durable."""
        self._sqlite.commit()

    def wipe(self) -> None:
        """Drop everything the org holds."""
        for table in ("records", "settings", "entries"):
            self._sqlite.execute(f"DELETE FROM {table}")
        self._sqlite.commit()

    def close(self) -> None:
        """Close the file."""
        self._sqlite.close()


def dump_row(row: Row) -> dict[str, Any]:
    """Return a row as JSON; dates carry a mark, so that texts that look like one stay texts."""
    return {key: _dump(value) for key, value in row.items() if value is not None}


def load_row(body: dict[str, Any]) -> Row:
    """Return the row that ``dump_row`` wrote."""
    return {key: _load(value) for key, value in body.items()}


def _dump(value: Value) -> Any:
    if isinstance(value, datetime):
        return {"instant": print_instant(value)}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    return value


def _load(value: Any) -> Value:
    if isinstance(value, dict):
        return read_instant(value["instant"]) if "instant" in value else read_date(value["date"])
    loaded: Value = value
    return loaded
