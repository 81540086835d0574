"""When two field values are the same, whichever side spelled them, and how they are named in ids."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_DATETIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_SALESFORCE_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Z0-5]{3})?")
_COMPACT_OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")


def same_value(left: Any, right: Any) -> bool:
    """Compare a written with a read value, or two readings of one field.

    Blank text is null, Salesforce trims text and normalises line ends, numbers and instants have many spellings.
    """
    left, right = _plain(left), _plain(right)
    if left is None or right is None:
        return left is right
    if isinstance(left, bool) or isinstance(right, bool):
        return bool(_as_flag(left) == _as_flag(right))
    if isinstance(left, int | float) or isinstance(right, int | float):
        return bool(_as_number(left) == _as_number(right))
    if left == right:
        return True
    if isinstance(left, str) and isinstance(right, str):
        return _same_instant(left, right) or _same_id(left, right)
    return False


def instant(text: str) -> datetime | None:
    """Read an ISO 8601 date-time with any offset (`Z`, `+0000`, `+02:00`; none means UTC); None if it is not one."""
    if not _DATETIME.match(text):
        return None
    try:
        stamp = datetime.fromisoformat(_COMPACT_OFFSET.sub(r"\1:\2", text.strip()))
    except ValueError:
        return None
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)


def digest(*parts: Any) -> str:
    """Return 32 hex characters that name these JSON-able parts, the same in every process."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def text_digest(text: str) -> str:
    """Name a comment's or note's text, whatever trimming and line ends the other side applies."""
    return digest(" ".join(text.split()))


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn `{"Account.Type": 1}` into `{"Account": {"Type": 1}}`."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            below = node.get(parent)
            if not isinstance(below, dict):
                below = node[parent] = {}
            node = below
        node[leaf] = value
    return tree


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        value = value.replace("\r\n", "\n").replace("\r", "\n").strip()
        return value or None
    return value


def _as_flag(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower(), value)
    return value


def _as_number(value: Any) -> Any:
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _same_instant(left: str, right: str) -> bool:
    first, second = instant(left), instant(right)
    return first is not None and first == second


def _same_id(left: str, right: str) -> bool:
    if {len(left), len(right)} != {15, 18}:
        return False
    return left[:15] == right[:15] and bool(
        _SALESFORCE_ID.fullmatch(left) and _SALESFORCE_ID.fullmatch(right)
    )
