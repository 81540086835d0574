"""What happened: log entries, ascending, none lost at the 10,000 that PagerDuty's paging reaches."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from pd_sf_rules.errors import RefusedError
from pd_sf_rules.model import LogEntry, Values, Window
from pd_sf_rules.systems.clock import parse_instant, second_text
from pd_sf_rules.systems.pagerduty.client import CLASSIC_CAP, PAGING_CAP, PagerDutyClient
from pd_sf_rules.systems.pagerduty.crowded import crowded_rows
from pd_sf_rules.systems.pagerduty.incidents import (
    fetch_incidents,
    incident_path,
    incident_values,
    name_of,
)

_SECOND = timedelta(seconds=1)
_ROOM = timedelta(seconds=4)
_TYPES = {
    "trigger": "trigger",
    "acknowledge": "acknowledge",
    "unacknowledge": "unacknowledge",
    "resolve": "resolve",
    "assign": "assign",
    "escalate": "escalate",
    "delegate": "delegate",
    "annotate": "annotate",
    "priority_change": "priority_change",
    "urgency_change": "urgency_change",
    "custom_field_value_change": "custom",
    "field_value_change": "custom",
    "snooze": "snooze",
    "reopen": "reopen",
}
_REOPENING = frozenset({"trigger", "acknowledge", "unacknowledge"})
_REOPENED = re.compile(r"re-?opened\b", re.IGNORECASE)


def pull_log_entries(client: PagerDutyClient, window: Window) -> list[LogEntry]:
    """Return the log entries created in `window`, ascending, each id once.

    Bounds are inclusive whole seconds, widened outwards. Entries of one second come in the order in
    which they happened as far as PagerDuty's own order tells (it lists the newest first).
    A window with more than 10,000 entries is read in halves, and of a second that holds more than that by itself what
    can be reached (see crowded.py).
    """
    first = window.start.replace(microsecond=0)
    last = window.end.replace(microsecond=0) + _SECOND
    # Whether the bounds are inclusive is not documented: one second more on both sides costs little.
    rows = _rows_between(client, first - _SECOND, last + _SECOND)
    unique: dict[str, dict[str, Any]] = {}
    for row in rows:
        unique.setdefault(str(row.get("id") or ""), row)
    ordered = _ascending(list(unique.values()))
    inside = [row for row in ordered if first <= _created_at(row) <= last]
    return _with_incidents(client, _entries(inside))


def log_entries_of(client: PagerDutyClient, incident_id: str) -> list[LogEntry]:
    """Return all log entries of one incident, ascending; what PagerDuty keeps no longer is absent.

    Raises SkippableError when PagerDuty does not know the incident.
    """
    params = {"include": ["incidents", "channels"], "is_overview": "false"}
    path = incident_path(incident_id, "log_entries")
    pages = client.pages(path, "log_entries", params, doing=f"the log entries of {incident_id}")
    rows = {str(row.get("id") or ""): row for page in pages for row in page}
    entries = _entries(_ascending(list(rows.values())))
    named = [one if one.incident_id else replace(one, incident_id=incident_id) for one in entries]
    return _with_incidents(client, named)


def _rows_between(client: PagerDutyClient, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the raw entries of a window in the server's order, the newer half first."""
    params = {
        "since": second_text(start),
        "until": second_text(end),
        "include": ["incidents", "channels"],
        "is_overview": "false",
    }
    try:
        pages = client.pages("log_entries", "log_entries", params, doing="the log entries")
        rows = [row for page in pages for row in page]
        if len(rows) < CLASSIC_CAP:  # a list that ends exactly there may have been cut there
            return rows
    except RefusedError as refusal:
        if refusal.code != PAGING_CAP:
            raise
    if end - start <= _SECOND:
        return crowded_rows(client, params, start, end)
    # The second in the middle is read with both halves, and its neighbours where there is room: it is not documented
    # whether the bounds are inclusive.
    middle = max((start + (end - start) / 2).replace(microsecond=0), start + _SECOND)
    beside = _SECOND if end - start > _ROOM else timedelta()
    return _rows_between(client, middle - beside, end) + _rows_between(
        client, start, middle + beside
    )


def _ascending(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort by second; inside a second keep the order of events that the server's order shows.

    PagerDuty lists the newest first and documents no order. From a list in no order at all only the
    stages of an incident tell: it is triggered first and resolved last.
    """
    stamps = [_created_at(row) for row in rows]
    steps = list(pairwise(stamps))
    if all(one >= other for one, other in steps):
        return list(reversed(rows))
    if all(one <= other for one, other in steps):
        return list(rows)
    return sorted(rows, key=lambda row: (_created_at(row), _stage(row)))


def _stage(row: Mapping[str, Any]) -> int:
    kind = str(row.get("type") or "")
    return 0 if kind.startswith("trigger") else 2 if kind.startswith("resolve") else 1


def _created_at(row: Mapping[str, Any]) -> datetime:
    text = row.get("created_at")
    try:
        return parse_instant(str(text))
    except ValueError:
        message = f"Log entry {row.get('id')}: created_at '{text}' is not an instant."
        raise RefusedError(message, status=200) from None


def _entries(rows: Sequence[Mapping[str, Any]]) -> list[LogEntry]:
    resolved: set[str] = set()
    entries = []
    for row in rows:
        entry = _entry(row, resolved)
        entries.append(entry)
        if entry.type == "resolve":
            resolved.add(entry.incident_id)
        elif entry.type in {"reopen", *_REOPENING}:
            resolved.discard(entry.incident_id)
    return entries


def _entry(row: Mapping[str, Any], resolved: set[str]) -> LogEntry:
    raw_type = str(row.get("type") or "")
    incident = _object(row.get("incident"))
    incident_id = str(incident.get("id") or "")
    word = _TYPES.get(raw_type.removesuffix("_reference").removesuffix("_log_entry"), "other")
    again = incident_id in resolved or bool(_REOPENED.match(str(row.get("summary") or "")))
    if word in _REOPENING and again:
        word = "reopen"
    agent = _object(row.get("agent"))
    return LogEntry(
        id=str(row.get("id") or ""),
        type=word,
        raw_type=raw_type,
        created_at=_created_at(row),
        agent=name_of(agent) if agent else "",
        agent_id=str(agent.get("id") or ""),
        incident_id=incident_id,
        incident=incident_values(incident) if incident.get("status") else {},
        detail=_detail(row),
    )


def _detail(row: Mapping[str, Any]) -> Values:
    """Return what the entry itself says, by the names of model.LogEntry; only what it has."""
    channel = _object(row.get("channel"))
    annotated = str(row.get("type") or "").startswith("annotate")
    new, old = _object(channel.get("new_priority")), _object(channel.get("old_priority"))
    people = [one for one in row.get("assignees") or [] if isinstance(one, Mapping)]
    told = {
        "summary": row.get("summary"),
        "agent_type": _object(row.get("agent")).get("type"),
        "channel": channel.get("type"),
        "note": row.get("note") or (_note(channel) if annotated else None),
        "assignees": ", ".join(name_of(one) for one in people) or None,
        "assignee_ids": [str(one.get("id") or "") for one in people] or None,
        "priority": name_of(new) if new else None,
        "priority_id": new.get("id") if new else None,
        "old_priority": name_of(old) if old else None,
        "changeset": row.get("changeset") or channel.get("changeset"),
    }
    return {name: value for name, value in told.items() if value is not None}


def _note(channel: Mapping[str, Any]) -> str | None:
    for name in ("summary", "content", "body"):
        if channel.get(name):
            return str(channel[name])
    return None


def _with_incidents(client: PagerDutyClient, entries: list[LogEntry]) -> list[LogEntry]:
    """Fetch the incidents of a server that did not include them."""
    missing = {one.incident_id for one in entries if one.incident_id and not one.incident}
    if not missing:
        return entries
    found = fetch_incidents(client, sorted(missing))
    return [
        one if one.incident else replace(one, incident=found.get(one.incident_id, {}))
        for one in entries
    ]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
