"""A second that holds more log entries than PagerDuty's paging reaches: the rest is found by its incidents."""

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pd_sf_rules.errors import RefusedError, SkippableError
from pd_sf_rules.systems.clock import parse_instant, second_text
from pd_sf_rules.systems.pagerduty.client import CLASSIC_CAP, PAGING_CAP, PagerDutyClient
from pd_sf_rules.systems.pagerduty.incidents import incident_path

_log = logging.getLogger(__name__)
_ORDERS = ("created_at:desc", "created_at:asc")


def crowded_rows(
    client: PagerDutyClient, params: Mapping[str, Any], start: datetime, end: datetime
) -> list[dict[str, Any]]:
    """Return the raw entries that paging reaches, and those of the incidents created then that are not among them.

    Blocking the cursor for ever would lose everything that comes after. What happened in that second to an older
    incident and is out of reach is left to `reconcile`; a warning tells of it.
    """
    _log.warning(
        "PagerDuty has more than %s log entries at %s, and its paging reaches no further: the rest is read by the "
        "incidents created then. 'pdsf reconcile' finds what else happened.",
        CLASSIC_CAP,
        second_text(start),
    )
    rows = list(_reachable(client, "log_entries", "log_entries", params))
    seen = {_incident_of(row) for row in rows}
    for incident_id in _created(client, start, end):
        if incident_id not in seen:
            seen.add(incident_id)
            rows += _entries_of(client, incident_id, params, start, end)
    return rows


def _created(client: PagerDutyClient, start: datetime, end: datetime) -> Iterator[str]:
    """Yield the ids of the incidents that were created in the window: from both ends, as far as paging reaches."""
    window = {"since": second_text(start), "until": second_text(end)}
    for order in _ORDERS:
        for row in _reachable(client, "incidents", "incidents", window | {"sort_by": order}):
            yield str(row.get("id") or "")


def _entries_of(
    client: PagerDutyClient,
    incident_id: str,
    params: Mapping[str, Any],
    start: datetime,
    end: datetime,
) -> list[dict[str, Any]]:
    try:
        rows = list(
            _reachable(client, incident_path(incident_id, "log_entries"), "log_entries", params)
        )
    except SkippableError:
        return []
    return [row for row in rows if start <= parse_instant(str(row.get("created_at"))) <= end]


def _reachable(
    client: PagerDutyClient, path: str, name: str, params: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a list down to where paging ends."""
    try:
        for page in client.pages(path, name, params, doing=f"the {name}"):
            yield from page
    except RefusedError as refusal:
        if refusal.code != PAGING_CAP:
            raise


def _incident_of(row: Mapping[str, Any]) -> str:
    incident = row.get("incident")
    return str(incident.get("id") or "") if isinstance(incident, Mapping) else ""
