"""Is this change news, or the reflection of our own write? Decided by value, never by author alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pd_sf_rules.model import Change, LogEntry, Values
from pd_sf_rules.planning.values import instant, same_value, text_digest
from pd_sf_rules.planning.windows import CLOCK_DOUBT

MATCH_WITHIN = timedelta(seconds=120)
"""How far apart the clocks of a write and of its log entry may be where an entry does not name our user."""

INCIDENT_KEY_PREFIX = "pdsf-"

RowKind = Literal["baseline", "created", "updated", "unchanged", "echo"]


@dataclass(frozen=True, slots=True)
class Expected:
    """One effect of a write of ours that has not been seen coming back. `value` None matches any value."""

    id: int
    target_id: str
    effect: str
    value: Any
    action_id: str
    expected_at: datetime


@dataclass(frozen=True, slots=True)
class RowVerdict:
    """What a Salesforce row is to us. `old` are the known old values, `met` the expectations it fulfils."""

    kind: RowKind
    old: Values
    met: Sequence[Expected] = ()


def judge_row(
    change: Change, snapshot: Values | None, expected: Sequence[Expected], *, started_at: datetime
) -> RowVerdict:
    """Compare a row with the values last seen, and with what our own writes should look like.

    A row that was never seen is `created` if it was made after the sync started, `updated` (with no known old
    values) if a person touched it since, and otherwise `baseline`: it pages nobody.
    """
    if snapshot is None:
        return _judge_unseen(change, started_at)
    moved = [
        path
        for path, value in change.values.items()
        if path in snapshot and not same_value(value, snapshot[path])
    ]
    if not moved:
        return RowVerdict("unchanged", {})
    met = [e for path in moved if (e := _explains(expected, path, change.values[path])) is not None]
    explained = {e.effect for e in met}
    if len(explained) == len(moved):
        return RowVerdict("echo", {}, met)
    old = {
        path: change.values[path] if path in explained else snapshot[path]
        for path in change.values
        if path in snapshot
    }
    return RowVerdict("updated", old, met)


def match_entry(
    entry: LogEntry, expected: Iterable[Expected], *, our_user_id: str
) -> Expected | None:
    """Return the write of ours whose reflection this log entry is, or None if somebody else did it."""
    if _somebody_else(entry, our_user_id):
        return None
    by_us = bool(our_user_id) and entry.agent_id == our_user_id
    within = CLOCK_DOUBT if by_us else MATCH_WITHIN
    for expectation in expected:
        near = abs(entry.created_at - expectation.expected_at) <= within
        if near and expectation.effect == entry.type and _entry_has(entry, expectation.value):
            return expectation
    return None


def is_birth_echo(entry: LogEntry, *, our_user_id: str) -> bool:
    """Say whether this entry belongs to the creation of an incident that we made ourselves.

    Our incidents are known by their deterministic key, so this holds even when the ledger was lost.
    """
    key = str(entry.incident.get("incident_key") or "")
    if not key.startswith(INCIDENT_KEY_PREFIX):
        return False
    created = instant(str(entry.incident.get("created_at") or ""))
    if created is None or abs(entry.created_at - created) > timedelta(seconds=2):
        return False
    if entry.type == "trigger":
        return True
    ours = bool(our_user_id) and entry.agent_id == our_user_id
    return ours and entry.type in {"assign", "priority_change", "urgency_change"}


def entry_value(entry: LogEntry) -> Any:
    """Return what an entry changed, in the form our own writes announce it; None where the type says it all."""
    if entry.type == "annotate":
        return text_digest(str(entry.detail.get("note") or ""))
    if entry.type == "priority_change":
        return entry.detail.get("priority_id")
    return None


def _judge_unseen(change: Change, started_at: datetime) -> RowVerdict:
    if change.created_at >= started_at:
        return RowVerdict("created", dict.fromkeys(change.values))
    if change.modified_at >= started_at:
        return RowVerdict("updated", {})
    return RowVerdict("baseline", {})


def _explains(expected: Sequence[Expected], path: str, value: Any) -> Expected | None:
    return next((e for e in expected if e.effect == path and same_value(e.value, value)), None)


def _somebody_else(entry: LogEntry, our_user_id: str) -> bool:
    by_user = str(entry.detail.get("agent_type") or "").startswith("user")
    return by_user and bool(our_user_id) and entry.agent_id != our_user_id


def _entry_has(entry: LogEntry, value: Any) -> bool:
    if value is None:
        return True
    actual = entry_value(entry)
    return actual is None or same_value(actual, value)


def effects_of(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the log entries that an incident update of ours will cause: entry type -> value, None for any."""
    effects: dict[str, Any] = {}
    status = changes.get("status")
    if status == "acknowledged":
        effects |= {"acknowledge": None, "assign": None}
    elif status == "resolved":
        effects["resolve"] = None
        if changes.get("resolution"):
            effects["annotate"] = None
    elif status == "triggered":
        effects |= {"reopen": None, "trigger": None, "unacknowledge": None, "assign": None}
    if "priority_id" in changes:
        effects["priority_change"] = changes["priority_id"]
    if "urgency" in changes:
        effects["urgency_change"] = None
    if "assignee_ids" in changes:
        effects["assign"] = None
    if "escalation_policy_id" in changes:
        effects |= {"escalate": None, "delegate": None, "assign": None}
    return effects
