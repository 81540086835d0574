"""The newest log entries in one cheap call: what a doorbell looks at."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

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
    return [
        SeenEntry(
            str(row["id"]), parse_instant(str(row.get("created_at"))), str(row.get("type") or "")
        )
        for row in rows or []
        if isinstance(row, Mapping) and row.get("id") and row.get("created_at")
    ]
