"""How far Salesforce's change events were heard, and since when they are not: one row for each object.

The rows live among the cursors, under names of their own, and no run reads from them: a signal is a hint.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.ledger.cursors import Cursor, all_cursors, get_cursor, move_cursor, start_cursor

PREFIX = "signal:"


@dataclass(frozen=True, slots=True)
class Signal:
    """One object's change events. `replay_id` is Salesforce's word for the place up to which they were heard.

    `heard_at` is when the bus last said anything, or since when it is listened to again; `changed_at` when it last
    told a change; `broken_since` and `why` tell a subscription that is not up. Instants are UTC.
    """

    object_name: str
    replay_id: bytes | None = None
    heard_at: datetime | None = None
    changed_at: datetime | None = None
    broken_since: datetime | None = None
    why: str = ""


def signal_of(c: Connection, integration: str, object_name: str) -> Signal:
    """Return what is known of an object's change events."""
    cursor = get_cursor(c, integration, PREFIX + object_name)
    return Signal(object_name) if cursor is None else _signal(cursor)


def signals_of(c: Connection, integration: str) -> dict[str, Signal]:
    """Return what is known of every object's change events, by object."""
    found = [one for one in all_cursors(c, integration) if one.stream.startswith(PREFIX)]
    return {one.object_name: one for one in map(_signal, found)}


def keep_signal(c: Connection, integration: str, signal: Signal) -> None:
    """Keep what is known now."""
    now = datetime.now(UTC)
    extra = {
        "replay_id": signal.replay_id.hex() if signal.replay_id else "",
        "heard_at": _text(signal.heard_at),
        "changed_at": _text(signal.changed_at),
        "broken_since": _text(signal.broken_since),
        "why": signal.why,
    }
    stream = PREFIX + signal.object_name
    # A clock that was set back leaves the row at its own instant.
    at = max(now, start_cursor(c, integration, stream, now).position)
    move_cursor(c, integration, stream, at, extra=extra)


def _signal(cursor: Cursor) -> Signal:
    extra: dict[str, Any] = dict(cursor.extra)
    return Signal(
        object_name=cursor.stream.removeprefix(PREFIX),
        replay_id=bytes.fromhex(extra.get("replay_id") or "") or None,
        heard_at=_instant(extra.get("heard_at")),
        changed_at=_instant(extra.get("changed_at")),
        broken_since=_instant(extra.get("broken_since")),
        why=str(extra.get("why") or ""),
    )


def _text(stamp: datetime | None) -> str | None:
    return stamp.isoformat() if stamp else None


def _instant(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
