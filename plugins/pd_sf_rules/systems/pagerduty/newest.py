"""The newest log entries in one cheap call: what a doorbell looks at."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pd_sf_rules.systems.clock import parse_instant, second_text
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient

LOOKED_AT = 25


@dataclass(frozen=True, slots=True)
class SeenEntry:
    """A log entry at a glance. `raw_type` is PagerDuty's own word, such as `annotate_log_entry`."""

    id: str
    created_at: datetime
    raw_type: str


def newest_log_entries(client: PagerDutyClient, since: datetime) -> list[SeenEntry]:
    """Return at most 25 of the newest log entries at or after `since`, in no certain order."""
    params = {"since": second_text(since), "limit": LOOKED_AT}
    body = client.get("log_entries", params, doing="the newest log entries")
    rows = body.get("log_entries") if isinstance(body, Mapping) else None
    return [seen for row in rows or [] if (seen := _seen(row)) is not None]


def _seen(row: Any) -> SeenEntry | None:
    """Return an entry at a glance, None of what is none: its own pull tells the error."""
    if not isinstance(row, Mapping) or not row.get("id"):
        return None
    try:
        created_at = parse_instant(str(row.get("created_at")))
    except ValueError:
        return None
    return SeenEntry(str(row["id"]), created_at, str(row.get("type") or ""))
