"""Stored incidents: finding, searching and saving them, and who they are assigned to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.pagerduty import entries
from sandbox.pagerduty.shapes import Doc, not_found, ref
from sandbox.pagerduty.state import PagerDutyState

OPEN = ("triggered", "acknowledged")
SORTS = {
    "incident_number": "number",
    "created_at": "created_at",
    "resolved_at": "resolved_at",
    "urgency": "urgency",
}


def get(state: PagerDutyState, id_or_number: str) -> Doc:
    """The stored incident; raises Refusal 404 for an unknown id or number."""
    docs = state.store.docs("SELECT doc FROM incidents WHERE id = ?", (id_or_number,))
    if not docs and id_or_number.isdigit():
        docs = state.store.docs("SELECT doc FROM incidents WHERE number = ?", (int(id_or_number),))
    if not docs:
        raise not_found("Incident")
    return docs[0]


def save(state: PagerDutyState, doc: Doc) -> None:
    """Write the incident back, its searchable columns beside it."""
    dues = [action["_due"] for action in doc["pending_actions"]]
    priority = doc["priority"]
    values = (
        doc["id"], doc["service"]["id"], doc["status"], doc["urgency"],
        priority and priority["id"], doc["incident_key"], doc["created_at"], doc["resolved_at"],
        min(dues, default=None), json.dumps(doc), doc["incident_number"],
    )  # fmt: skip
    updated = state.store.execute(
        "UPDATE incidents SET id = ?, service_id = ?, status = ?, urgency = ?, priority_id = ?,"
        " incident_key = ?, created_at = ?, resolved_at = ?, due_at = ?, doc = ? WHERE number = ?",
        values,
    )
    if not updated:
        state.store.execute(
            "INSERT INTO incidents (id, service_id, status, urgency, priority_id, incident_key,"
            " created_at, resolved_at, due_at, doc, number)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )


@dataclass(frozen=True, slots=True)
class Search:
    """Filters of GET /incidents; empty tuples and None do not filter."""

    since: str | None = None
    until: str | None = None
    statuses: tuple[str, ...] = ()
    urgencies: tuple[str, ...] = ()
    service_ids: tuple[str, ...] = ()
    priority_ids: tuple[str, ...] = ()
    team_ids: tuple[str, ...] = ()
    user_ids: tuple[str, ...] = ()
    incident_key: str | None = None
    order: tuple[tuple[str, str], ...] = (("number", "ASC"),)


def _condition(search: Search) -> tuple[str, list[Any]]:
    terms, values = ["1 = 1"], list[Any]()

    def add(term: str, *more: Any) -> None:
        terms.append(term)
        values.extend(more)

    if search.since is not None:
        add("i.created_at >= ?", search.since)
    if search.until is not None:
        add("i.created_at < ?", search.until)
    for column, wanted in (
        ("i.status", search.statuses), ("i.urgency", search.urgencies),
        ("i.service_id", search.service_ids), ("i.priority_id", search.priority_ids),
    ):  # fmt: skip
        if wanted:
            add(f"{column} IN ({', '.join('?' * len(wanted))})", *wanted)
    if search.team_ids:
        marks = ", ".join("?" * len(search.team_ids))
        add("EXISTS (SELECT 1 FROM json_each(i.doc, '$.teams') AS t"
            f" WHERE t.value ->> 'id' IN ({marks}))", *search.team_ids)  # fmt: skip
    if search.user_ids:
        marks = ", ".join("?" * len(search.user_ids))
        add("EXISTS (SELECT 1 FROM json_each(i.doc, '$.assignments') AS a"
            f" WHERE a.value ->> '$.assignee.id' IN ({marks}))", *search.user_ids)  # fmt: skip
    if search.incident_key is not None:
        add("(i.incident_key = ? OR EXISTS (SELECT 1 FROM alerts"
            " WHERE alerts.incident_id = i.id AND alerts.alert_key = ?))",
            search.incident_key, search.incident_key)  # fmt: skip
    return " AND ".join(terms), values


def search(state: PagerDutyState, wanted: Search, offset: int, limit: int) -> list[Doc]:
    """One page of stored incidents in the order asked for."""
    condition, values = _condition(wanted)
    order = ", ".join(f"i.{column} {direction}" for column, direction in wanted.order)
    sql = f"SELECT doc FROM incidents AS i WHERE {condition} ORDER BY {order} LIMIT ? OFFSET ?"
    return state.store.docs(sql, [*values, limit, offset])


def count(state: PagerDutyState, wanted: Search) -> int:
    """How many incidents the filters leave."""
    condition, values = _condition(wanted)
    sql = f"SELECT COUNT(*) FROM incidents AS i WHERE {condition}"
    return int(state.store.scalar(sql, values))


def assignments(state: PagerDutyState, user_ids: Sequence[str]) -> list[Doc]:
    """The stored `assignments` member for these users, as of now."""
    return [{"at": state.stamp(), "assignee": ref("user", user)} for user in user_ids]


def notify(state: PagerDutyState, doc: Mapping[str, Any], user_ids: Sequence[str]) -> None:
    """Log that these people were told; such entries carry no agent."""
    if doc["urgency"] != "high":
        return
    for user in user_ids:
        notification = {"type": "push_notification", "status": "success", "address": "phone"}
        entries.record(
            state, doc, "notify", None, "Notified by push",
            channel={"notification": notification}, user=ref("user", user),
        )  # fmt: skip
