"""The log: one entry for every change of an incident, and its newest-first listing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.pagerduty.shapes import Actor, Doc
from sandbox.pagerduty.state import PagerDutyState

OVERVIEW_TYPES = {
    "trigger", "acknowledge", "unacknowledge", "resolve", "assign", "escalate", "delegate",
    "annotate", "snooze", "reopen",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Window:
    """Which log entries are asked for: stamps as stored (`since` inclusive, `until` exclusive)."""

    since: str | None = None
    until: str | None = None
    incident_id: str | None = None
    team_ids: tuple[str, ...] = ()
    overview: bool = False


def record(
    state: PagerDutyState,
    incident: Mapping[str, Any],
    kind: str,
    actor: Actor | None,
    summary: str,
    *,
    channel: Mapping[str, Any] | None = None,
    **members: Any,
) -> Doc:
    """Write one `<kind>_log_entry`; `actor` None leaves the agent out, as notify entries do.

    `channel` adds to, or with its own `type` replaces, the actor's channel.
    """
    faults = state.log_entry_faults
    late = bool(faults.late) and faults.rng.random() < faults.late
    copies = 2 if faults.duplicate and faults.rng.random() < faults.duplicate else 1
    doc: Doc = {
        "id": state.new_id("R", 26),
        "type": f"{kind}_log_entry",
        "summary": summary,
        "created_at": state.stamp(),
        "channel": {"type": actor.channel if actor else "auto", **(channel or {})},
        "contexts": [],
        **members,
    }
    if actor is not None:
        doc["agent"] = actor.pointer
    visible_from = state.now().timestamp() + (faults.late_seconds if late else 0)
    state.store.execute(
        "INSERT INTO log_entries (id, incident_id, created_at, visible_from, copies, overview, doc)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            doc["id"],
            incident["id"],
            doc["created_at"],
            visible_from if late else 0.0,
            copies,
            kind in OVERVIEW_TYPES,
            json.dumps(doc),
        ),
    )
    return doc


def _condition(state: PagerDutyState, window: Window) -> tuple[str, list[Any]]:
    terms = ["(e.visible_from = 0 OR e.visible_from <= ?)"]
    values: list[Any] = [state.now().timestamp()]
    for column, operator, value in (
        ("e.created_at", ">=", window.since),
        ("e.created_at", "<", window.until),
        ("e.incident_id", "=", window.incident_id),
    ):
        if value is not None:
            terms.append(f"{column} {operator} ?")
            values.append(value)
    if window.overview:
        terms.append("e.overview = 1")
    if window.team_ids:
        teams = ", ".join("?" * len(window.team_ids))
        terms.append(
            "EXISTS (SELECT 1 FROM json_each(i.doc, '$.teams') AS team"
            f" WHERE team.value ->> 'id' IN ({teams}))"
        )
        values.extend(window.team_ids)
    return " AND ".join(terms), values


# CROSS keeps the log outermost, so that its index gives the order.
TABLES = "log_entries AS e CROSS JOIN incidents AS i ON i.id = e.incident_id"
# An entry with copies = 2 is listed twice in a row: one of the planned oddities.
COPIES = " JOIN (SELECT 1 AS nth UNION ALL SELECT 2) AS copy ON copy.nth <= e.copies"


def _tables(state: PagerDutyState) -> str:
    # Without copies the plain join walks the index, which keeps a poll of the newest entry cheap.
    copied = state.store.scalar("SELECT 1 FROM log_entries WHERE copies > 1 LIMIT 1")
    return TABLES + COPIES if copied else TABLES


def listing(
    state: PagerDutyState, window: Window, offset: int, limit: int
) -> tuple[list[tuple[Doc, Doc]], bool]:
    """One page of (entry, its incident as it is now), newest first, and whether more follow."""
    condition, values = _condition(state, window)
    rows = state.store.rows(
        f"SELECT e.doc AS entry, i.doc AS incident FROM {_tables(state)} WHERE {condition}"
        " ORDER BY e.created_at DESC, e.seq DESC LIMIT ? OFFSET ?",
        [*values, limit + 1, offset],
    )
    page = [(json.loads(row["entry"]), json.loads(row["incident"])) for row in rows[:limit]]
    faults = state.log_entry_faults
    if faults.shuffle and faults.rng.random() < faults.shuffle:
        faults.rng.shuffle(page)
    return page, len(rows) > limit


def count(state: PagerDutyState, window: Window) -> int:
    """How many entries the window lists."""
    condition, values = _condition(state, window)
    sql = f"SELECT COUNT(*) FROM {_tables(state)} WHERE {condition}"
    return int(state.store.scalar(sql, values))


def by_id(state: PagerDutyState, entry_id: str) -> tuple[Doc, Doc] | None:
    """One entry and its incident, None where unknown."""
    rows = state.store.rows(
        "SELECT e.doc AS entry, i.doc AS incident FROM log_entries AS e"
        " JOIN incidents AS i ON i.id = e.incident_id WHERE e.id = ?",
        (entry_id,),
    )
    return (json.loads(rows[0]["entry"]), json.loads(rows[0]["incident"])) if rows else None


def replace(state: PagerDutyState, doc: Mapping[str, Any]) -> None:
    """Store an entry anew: its channel may be rewritten."""
    state.store.execute("UPDATE log_entries SET doc = ? WHERE id = ?", (json.dumps(doc), doc["id"]))


def assignees(users: Sequence[Mapping[str, Any]]) -> list[Doc]:
    """The `assignees` member from an incident's assignments."""
    return [dict(assignment["assignee"]) for assignment in users]
