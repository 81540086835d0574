"""Incidents that are gone, or that changed without the sync having seen it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pd_sf_rules.errors import RefusedError, SkippableError
from pd_sf_rules.ledger import cursors, events, snapshots
from pd_sf_rules.ledger.snapshots import Snapshot
from pd_sf_rules.model import PAGERDUTY, LogEntry, Values
from pd_sf_rules.pipeline.drift.findings import Finding, Look, Pairs
from pd_sf_rules.pipeline.expected import awaited
from pd_sf_rules.pipeline.prepare import RESOLVED
from pd_sf_rules.pipeline.pull_pagerduty import INCIDENT, STREAM, event_id, take_in, take_in_change
from pd_sf_rules.planning.drift import COMPARED, Differences, differences
from pd_sf_rules.planning.windows import OVERLAP
from pd_sf_rules.systems.pagerduty.changes import log_entries_of
from pd_sf_rules.systems.pagerduty.client import PAGING_CAP
from pd_sf_rules.systems.pagerduty.incidents import fetch_incidents, open_incidents


@dataclass(frozen=True, slots=True)
class _Memory:
    """Which log entries the inbox should have: since `began`, later than what was pruned.

    From `read_again_from` on the next pull reads them anyway.
    """

    began: datetime
    pruned_until: datetime | None
    read_again_from: datetime

    def should_know(self, entry: LogEntry) -> bool:
        """Say whether the inbox should have this entry."""
        pruned = self.pruned_until is not None and entry.created_at <= self.pruned_until
        return entry.created_at >= self.began and not pruned


def compare_incidents(look: Look, pairs: Pairs) -> None:
    """Compare every linked incident with its snapshot; a missed change is fed to the inbox if told to.

    The open ones are read in pages of 100. Of the others only those are asked for that were open when last seen:
    an incident that was resolved, and is not among the open ones, has not changed.
    """
    ids = list(pairs.by_incident)
    with look.run.ledger.read() as c:
        seen = snapshots.get_snapshots(c, look.run.name, PAGERDUTY, INCIDENT, ids)
        busy = {one.target_id for one in awaited(c, look.run.name, PAGERDUTY, ids)}
    _read_open(look, pairs)
    memory = _memory(look)
    for incident_id in ids:
        now = _now(look, pairs, incident_id, seen.get(incident_id))
        if now is None:
            if not look.complete:
                return
            continue
        look.incidents[incident_id] = now
        snapshot = seen.get(incident_id)
        moved = differences(snapshot.values, now, COMPARED) if snapshot else {}
        if moved and incident_id not in busy and look.may_go_on():
            _compare(look, pairs, incident_id, moved, memory)


def _read_open(look: Look, pairs: Pairs) -> None:
    """Read the open incidents of the account, and keep the linked ones."""
    wanted = {i for i in pairs.by_incident if i}
    if not wanted or not look.may_go_on():
        return
    try:
        for page in open_incidents(look.run.pagerduty):
            look.incidents |= {str(one["id"]): one for one in page if one["id"] in wanted}
            if not look.may_go_on():
                return
    except RefusedError as refusal:
        if refusal.code != PAGING_CAP:
            raise  # otherwise the rest is asked for one by one, as far as the quota goes


def _now(look: Look, pairs: Pairs, incident_id: str, snapshot: Snapshot | None) -> Values | None:
    """Return an incident as it is now; None where it is gone, or where the quota ended."""
    if incident_id in look.incidents:
        return look.incidents[incident_id]
    if snapshot is not None and snapshot.values.get("status") == RESOLVED:
        return snapshot.values
    if not look.may_go_on():
        return None
    found = fetch_incidents(look.run.pagerduty, [incident_id]).get(incident_id)
    if found is None:
        look.findings.append(Finding("incident_missing", *pairs.of_incident(incident_id)))
    return found


def _memory(look: Look) -> _Memory:
    now = look.run.pagerduty.server_now()
    with look.run.ledger.read() as c:
        cursor = cursors.get_cursor(c, look.run.name, STREAM)
        horizon = events.forgotten_until(c, look.run.name, PAGERDUTY)
    if cursor is None:
        return _Memory(now, horizon, now)
    return _Memory(cursor.started_at, horizon, cursor.position - OVERLAP)


def _compare(
    look: Look, pairs: Pairs, incident_id: str, moved: Differences, memory: _Memory
) -> None:
    """Tell drift from what the next pull will see: by the incident's own log entries."""
    try:
        entries = log_entries_of(look.run.pagerduty, incident_id)
    except SkippableError:
        entries = []
    missed, coming = _unknown(look, entries, memory)
    if coming and not missed:
        return
    for name, (last, now) in moved.items():
        told = pairs.of_incident(incident_id)
        look.findings.append(
            Finding(
                "incident_changed", *told, field=name, ours=last, theirs=now, repaired=look.repair
            )
        )
    if not look.repair:
        return
    if missed:
        take_in(look.run, missed)
    else:
        at = look.run.pagerduty.server_now()
        take_in_change(look.run, incident_id, look.incidents[incident_id], at=at)


def _unknown(
    look: Look, entries: Sequence[LogEntry], memory: _Memory
) -> tuple[list[LogEntry], list[LogEntry]]:
    """Return the log entries that the inbox lacks: those that no pull reads any more, and those still to be read."""
    names: Mapping[str, LogEntry] = {event_id(look.run, one): one for one in entries}
    with look.run.ledger.read() as c:
        known = events.known_ids(c, names)
    unknown = [one for name, one in names.items() if name not in known and memory.should_know(one)]
    missed = [one for one in unknown if one.created_at < memory.read_again_from]
    return missed, [one for one in unknown if one.created_at >= memory.read_again_from]
