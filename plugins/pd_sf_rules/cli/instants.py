"""Instants as people write them: ISO 8601, or how long ago."""

import argparse
import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(\d{1,9})\s*(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COMPACT_OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")
HELP = "ISO 8601 (2026-11-23T10:00Z; no offset means UTC), or how long ago: 30m, 12h, 7d"


def instant(text: str) -> datetime:
    """Return the UTC instant that `text` names; raises ArgumentTypeError saying how to write one."""
    words = text.strip()
    now = datetime.now(UTC)
    if words == "now":
        return now
    try:
        if ago := _AGO.fullmatch(words):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        stamp = datetime.fromisoformat(_COMPACT_OFFSET.sub(r"\1:\2", words))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"'{text}' is no instant; write {HELP}.") from None
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)


def days(text: str) -> timedelta:
    """Return so many days as a duration; raises ArgumentTypeError for anything but a number above zero."""
    try:
        number = float(text.removesuffix("d"))
    except ValueError:
        number = 0.0
    if not 0 < number < 100_000:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of days.")
    return timedelta(days=number)
