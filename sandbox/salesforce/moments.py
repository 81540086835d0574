"""Dates and instants as Salesforce writes and reads them."""

import re
from datetime import UTC, date, datetime, time

INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)?"  # 2026-11-01T00:00:00Z
)


def print_instant(moment: datetime) -> str:
    """Return the REST form, always UTC and without a colon: ``2026-11-01T12:34:56.000+0000``."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def read_instant(text: str) -> datetime | None:
    """Read an ISO 8601 instant (no offset: UTC) to whole seconds; None if it is none."""
    if not INSTANT.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).replace(microsecond=0)


def read_date(text: str) -> date | None:
    """Read ``2026-11-01``; None if it is none."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def midnight(day: date) -> datetime:
    """Return the first instant of a day in UTC."""
    return datetime.combine(day, time(), UTC)
