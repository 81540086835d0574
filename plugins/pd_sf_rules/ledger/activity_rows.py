"""Rows of the ledger as entries of the log."""

from typing import Any

from sqlalchemy import RowMapping

from pd_sf_rules.ledger.activity import Entry, Level
from pd_sf_rules.ledger.storms import HELD
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Source


def event(row: RowMapping) -> Entry:
    """An event as it came in."""
    level: Level = "info" if row["state"] in {"pending", "evaluated"} else "debug"
    return Entry(kind="event", at=row["received_at"], id=row["seq"], level=level, outcome=row["state"],
                 source=row["source"], event_id=row["id"], run_id=row["run_id"], facts=dict(row),
                 **_pair(row))  # fmt: skip


def decision(row: RowMapping) -> Entry:
    """What the rules said of an event."""
    outcome = "matched" if row["matched"] else "unmatched"
    level: Level = "info" if row["matched"] else "debug"
    return Entry(kind="decision", at=row["evaluated_at"], id=row["seq"], level=level, outcome=outcome,
                 source=row["source"], event_id=row["id"], run_id=row["run_id"], facts=dict(row),
                 **_pair(row))  # fmt: skip


def action(row: RowMapping) -> Entry:
    """An action as it was planned, and where it stands now."""
    state = row["state"]
    outcome = HELD if state == "failed" and row["error_kind"] == HELD else state
    return Entry(kind="action", at=row["created_at"], id=row["id"], event_id=row["event_id"],
                 level="error" if state == "failed" else "info", outcome=outcome, source=_source(row),
                 ruleset=row["ruleset"], rule=row["rule"], run_id=row["run_id"], facts=dict(row),
                 **_pair(row))  # fmt: skip


def answer(row: RowMapping) -> Entry:
    """How an attempt at an action ended."""
    state = row["state"]
    return Entry(kind="answer", at=row["ended_at"], id=row["seq"], event_id=row["event_id"],
                 level="error" if state == "failed" else "info", source=_source(row),
                 outcome="retry" if state == "pending" else state, ruleset=row["ruleset"],
                 rule=row["rule"], run_id=row["run_id"], facts=dict(row), **_pair(row))  # fmt: skip


def _pair(row: RowMapping) -> dict[str, Any]:
    return {name: row[name] for name in ("integration", "object", "record_id", "incident_id")}


def _source(row: RowMapping) -> Source:
    return SALESFORCE if row["record_id"] else PAGERDUTY
