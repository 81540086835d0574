"""A ledger with a long past, made by the database itself: a million events in seconds, on SQLite and PostgreSQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from pd_sf_rules.ledger import cursors
from pd_sf_rules.ledger.tables import metadata

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

SERIES = """
WITH RECURSIVE series(n) AS (SELECT 0 UNION ALL SELECT n + {step} FROM series WHERE n < {last})
SELECT {values} FROM series
"""
TIME = {
    "sqlite": "datetime('2026-03-01 12:00:00', (n - {before}) || ' seconds') || '.000000'",
    "postgresql": "timestamptz '2026-03-01 12:00:00+00' + (n - {before}) * interval '1 second'",
}


def later(seconds: float) -> datetime:
    """That many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


YOUNG = 20_000
"""The last event happened so many seconds after NOW, however long the past is."""

PAIR = {"record_id": "'500' || (n % 4000)", "incident_id": "'P' || (n % 4000)"}
OURS = {"integration": "'default'", "system": "'salesforce'"}
SOURCE = "CASE n % 2 WHEN 1 THEN 'salesforce' ELSE 'pagerduty' END"
OPEN_EVERY = 500
UNINDEXED_FROM = 100_000
"""How many rows are quicker written without their indexes, which are made afterwards."""

Columns = Mapping[str, str]
"""The columns of a table as SQL of `n`, the number of the row."""


@dataclass(frozen=True, slots=True)
class Past:
    """How much happened: `events`, a second apart. Of everything else there is one for each `share` events.

    One event in `open_every` is pending, one action in so many has failed.
    """

    events: int
    share: int = 1
    open_every: int = OPEN_EVERY


def fill(c: Connection, past: Past) -> None:
    """Write that past into an empty ledger; on PostgreSQL with statistics, which autovacuum takes where it runs."""
    at = TIME[c.dialect.name].format(before=past.events - YOUNG)
    tables = _tables(c.dialect.name, at, past.open_every)
    bare = past.events >= UNINDEXED_FROM
    indexes = [one for name in tables for one in metadata.tables[name].indexes] if bare else []
    for index in indexes:
        index.drop(c)
    for table, columns in tables.items():
        step = 1 if table == "events" else past.share
        rows = SERIES.format(step=step, last=past.events - step, values=", ".join(columns.values()))
        c.execute(text(f"INSERT INTO {table} ({', '.join(columns)}) {rows}"))
    for index in indexes:
        index.create(c)
    cursors.start_cursor(c, "default", "salesforce:Case", NOW)
    if c.dialect.name == "postgresql":
        c.execute(text("ANALYZE"))


def _tables(dialect: str, at: str, open_every: int) -> dict[str, Columns]:
    json = {"sqlite": "'{}'", "postgresql": "json '{}'"}[dialect]
    return {
        "events": _events(at, dialect, open_every),
        "actions": _actions(at, json, open_every),
        "attempts": _attempts(at),
        "expectations": _expectations(at, open_every),
        **_kept(at, json),
    }


def _events(at: str, dialect: str, open_every: int) -> Columns:
    return PAIR | {
        "id": "'event-' || n",
        "integration": "'default'",
        "source": SOURCE,
        "type": "'updated'",
        "object": "'Case'",
        "occurred_at": at,
        "agent": "'Ada'",
        "payload": """'{"linked_by": []}'"""
        if dialect == "sqlite"
        else """json '{"linked_by": []}'""",
        "state": f"CASE WHEN n % {open_every} < 2 THEN 'pending' ELSE 'evaluated' END",
        "received_at": at,
        "evaluated_at": at,
        "matched": "CASE n % 10 WHEN 1 THEN 'x / x' ELSE '' END",
        "run_id": "'run-' || (n / 50)",
    }


def _actions(at: str, json: str, open_every: int) -> Columns:
    return PAIR | {
        "id": "'action-' || n",
        "event_id": "'event-' || n",
        "event_occurred_at": at,
        "event_seq": "n",
        "mode": "CASE n % 10 WHEN 0 THEN 'shadow' ELSE 'live' END",
        "state": f"CASE WHEN n % 10 = 0 THEN 'shadow' WHEN n % {open_every} = 1 THEN 'failed'"
        " ELSE 'applied' END",
        "params": json,
        "kind": "'create_incident'",
        "integration": "'default'",
        "run_id": "'run-' || (n / 50)",
        "created_at": at,
        "updated_at": at,
        **dict.fromkeys(("ordinal", "position", "attempt"), "0"),
        **dict.fromkeys(("ruleset", "ruleset_version", "rule", "scope", "message"), "'x'"),
        "error_kind": "''",
    }


def _attempts(at: str) -> Columns:
    return {
        "action_id": "'action-' || n",
        "attempt": "1",
        "ended_at": at,
        "integration": "'default'",
        "state": "'applied'",
        **dict.fromkeys(("ruleset", "rule", "message", "error_kind"), "'x'"),
    }


def _expectations(at: str, open_every: int) -> Columns:
    return OURS | {
        "target_id": "'500' || n",
        "effect": "'resolve'",
        "value": "''",
        "action_id": "'action-' || n",
        "expected_at": at,
        "consumed_by": f"CASE n % {open_every} WHEN 0 THEN NULL ELSE 'event-' || n END",
    }


def _kept(at: str, json: str) -> dict[str, Columns]:
    """What stays for ever, and the runs."""
    link = {"integration": "'default'", "object": "'Case'", "ruleset": "''", "created_at": at}
    snapshot = {"object": "'Case'", "target_id": "'500' || n", "field_values": json, "version": "1"}
    note = {"note_id": "'note-' || n", "digest": "'d'", "seen_at": at, "origin": "'ours'"}
    run = {"run_id": "'run-' || n", "integration": "'default'", "direction": "'salesforce'"}
    return {
        "links": link | {"record_id": "'500' || n", "incident_id": "'P' || n"},
        "snapshots": OURS | snapshot | {"touched_at": at},
        "notes": OURS | PAIR | note,
        "runs": run | {"lineage": json, "started_at": at},
    }
