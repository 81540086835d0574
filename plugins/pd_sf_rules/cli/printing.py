"""What people and scripts read on stdout."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

WIDEST = 60


def print_json(value: Any) -> None:
    """Print one JSON object: instants as ISO 8601, dataclasses as objects."""
    print(json.dumps(value, default=_likeness, ensure_ascii=False, indent=2))


def show(text: str) -> None:
    """Print text that may hold what strangers wrote: control characters never reach the terminal."""
    print("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text))


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], *, widest: int = WIDEST) -> str:
    """Return a table with columns as wide as needed, each cell on one line."""
    cells = [[_cell(one, widest) for one in row] for row in rows]
    widths = [
        max(len(name), *(len(row[at]) for row in cells)) if cells else len(name)
        for at, name in enumerate(headings)
    ]
    lines = [headings, *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def indent(text: str, by: int) -> str:
    """Return the text with every line moved to the right."""
    return "\n".join(" " * by + line if line else line for line in text.splitlines())


def clock(stamp: datetime | None) -> str:
    """Return an instant as people read it, in UTC and to the second; - for none."""
    return "-" if stamp is None else f"{stamp.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def seconds(amount: float) -> str:
    """Return a duration in its two largest units."""
    whole = round(amount)
    for size, unit, below, small in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if abs(whole) >= size:
            return f"{whole // size}{unit} {whole % size // below}{small}"
    return f"{whole}s"


def shown(value: Any) -> str:
    """Return a field's value in quotes, "blank" for none."""
    if value is None or value == "":
        return "blank"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(str(one) for one in value) + "]"
    text = str(value)
    return f"'{text[:117]}...'" if len(text) > 120 else f"'{text}'"


def _cell(value: Any, widest: int) -> str:
    if isinstance(value, datetime):
        return clock(value)
    text = "-" if value is None or value == "" else " ".join(str(value).split())
    return text if len(text) <= widest else text[: widest - 1] + "…"


def _likeness(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: getattr(value, part.name) for part in fields(value)}
    raise TypeError(f"{type(value).__name__} is no JSON")
