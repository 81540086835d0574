"""PagerDuty log entries become events: each once, by its own id; the reflections of our own writes are set aside."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.ledger import events, expectations, snapshots
from pd_sf_rules.model import PAGERDUTY, Event, LogEntry, Values, Window
from pd_sf_rules.pipeline.expected import awaited
from pd_sf_rules.pipeline.looks import Look, look_at
from pd_sf_rules.pipeline.newborns import link_newborns, too_early
from pd_sf_rules.pipeline.pulled import Pulled
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.echo import Expected, is_birth_echo, match_entry
from pd_sf_rules.planning.windows import reading
from pd_sf_rules.systems.pagerduty.changes import pull_log_entries
from pd_sf_rules.systems.pagerduty.newest import newest_log_entries

STREAM = "pagerduty:log_entries"
INCIDENT = "incident"
PAGE = 500


@dataclass(slots=True)
class _Page:
    """What the ledger knows about the incidents of one page of entries."""

    snapshots: dict[str, snapshots.Snapshot]
    expected: dict[str, list[Expected]] = field(default_factory=dict)


def pull_pagerduty(run: Run, *, given: Window | None = None) -> list[Pulled]:
    """Record an event for each log entry that is new; `given` leaves the cursor alone.

    Raises the errors of systems.pagerduty; what was recorded before an error stays recorded.
    """
    at = look(run, STREAM, given)
    now = run.pagerduty.server_now()
    entries = pull_log_entries(run.pagerduty, reading(at.window))
    our_user_id = run.pagerduty.user_id() if entries else ""
    new = 0
    held: list[datetime] = []
    for start in range(0, len(entries), PAGE):
        with run.ledger.begin() as c:
            fresh = _unknown(c, run, entries[start : start + PAGE], at.started_at)
            link_newborns(c, run, fresh, server_now=now)
            early = too_early(c, run, fresh, at, entries)
            page = _known(c, run, fresh)
            for entry in fresh:
                if entry.id in early:
                    held.append(entry.created_at)
                    continue
                old = at.is_old(entry.created_at)
                new += _record(c, run, page, entry, our_user_id, baseline_only=old)
    return [Pulled(STREAM, at.window, new, min(held, default=None), newest_of(entries))]


def take_in(run: Run, entries: Sequence[LogEntry]) -> int:
    """Record an event for each of these log entries that is not known yet; return how many."""
    our_user_id, now = run.pagerduty.user_id(), run.pagerduty.server_now()
    new = 0
    with run.ledger.begin() as c:
        known = events.known_ids(c, [event_id(run, entry) for entry in entries])
        fresh = [entry for entry in entries if event_id(run, entry) not in known]
        link_newborns(c, run, fresh, server_now=now)
        page = _known(c, run, fresh)
        for entry in fresh:
            new += _record(c, run, page, entry, our_user_id, baseline_only=False)
    return new


def take_in_change(run: Run, incident_id: str, values: Values, *, at: datetime) -> int:
    """Record one event, of type `other`, for a change of an incident that no log entry tells of; return how many."""
    with run.ledger.begin() as c:
        seen = snapshots.get_snapshots(c, run.name, PAGERDUTY, INCIDENT, [incident_id])
        snapshot = seen.get(incident_id)
        version = snapshot.version + 1 if snapshot else 1
        event = Event(
            id=f"{PAGERDUTY}:{run.name}:{incident_id}:{version}",
            integration=run.name,
            source=PAGERDUTY,
            type="other",
            occurred_at=at,
            agent="",
            incident_id=incident_id,
            incident=plain(values),
            old_incident=snapshot.values if snapshot else {},
            detail={"found_by": "reconcile"},
        )
        now = utc_now()
        snapshots.merge_snapshot(
            c, run.name, PAGERDUTY, INCIDENT, incident_id, plain(values), now=now
        )
        return int(events.add_event(c, event, state="pending", run_id=run.id))


def preview_pagerduty(run: Run, *, given: Window | None = None) -> tuple[list[Pulled], list[Event]]:
    """Return what `pull_pagerduty` would record now, and record nothing."""
    at = look(run, STREAM, given, start=False)
    entries = pull_log_entries(run.pagerduty, reading(at.window))
    our_user_id = run.pagerduty.user_id() if entries else ""
    found: list[Event] = []
    with run.ledger.read() as c:
        fresh = _unknown(c, run, entries, at.started_at)
        fresh = [entry for entry in fresh if not at.is_old(entry.created_at)]
        page = _known(c, run, fresh)
        for entry in fresh:
            ours, _ = _is_ours(page, entry, our_user_id)
            if not ours:
                found.append(_event(run, entry, page.snapshots.get(entry.incident_id)))
    return [Pulled(STREAM, at.window, len(found))], found


def look(run: Run, stream: str, given: Window | None, *, start: bool = True) -> Look:
    """Return how to look at a stream of log entries now; `start` begins its cursor where there is none."""
    now = run.pagerduty.server_now()

    def newest(since: datetime) -> datetime | None:
        seen = newest_log_entries(run.pagerduty, since)
        return max((one.created_at for one in seen), default=None)

    return look_at(run, stream, given, now=now, newest=newest, start=start)


def newest_of(entries: Iterable[LogEntry]) -> datetime | None:
    """Return the newest stamp of these entries, None of none."""
    return max((entry.created_at for entry in entries), default=None)


def event_id(run: Run, entry: LogEntry) -> str:
    """Name the event of one log entry; the same entry has the same name in every run."""
    return f"{PAGERDUTY}:{run.name}:{entry.id}"


def _unknown(
    c: Connection, run: Run, entries: Sequence[LogEntry], started_at: datetime
) -> list[LogEntry]:
    recent = [entry for entry in entries if entry.created_at >= started_at]
    known = events.known_ids(c, [event_id(run, entry) for entry in recent])
    unique = {entry.id: entry for entry in recent if event_id(run, entry) not in known}
    return list(unique.values())


def _known(c: Connection, run: Run, entries: Sequence[LogEntry]) -> _Page:
    ids = sorted({entry.incident_id for entry in entries})
    page = _Page(snapshots.get_snapshots(c, run.name, PAGERDUTY, INCIDENT, ids))
    for expectation in awaited(c, run.name, PAGERDUTY, ids):
        page.expected.setdefault(expectation.target_id, []).append(expectation)
    return page


def _record(
    c: Connection, run: Run, page: _Page, entry: LogEntry, our_user_id: str, *, baseline_only: bool
) -> int:
    snapshot = page.snapshots.get(entry.incident_id)
    event = _event(run, entry, snapshot)
    if entry.incident:
        page.snapshots[entry.incident_id] = _save(c, run, entry, snapshot)
    if baseline_only:
        events.add_event(c, event, state="baseline", run_id=run.id)
        return 0
    ours, met = _is_ours(page, entry, our_user_id)
    if met is not None:
        expectations.consume(c, met.id, event.id)
    if ours:
        echo_of = met.action_id if met else None
        events.add_event(c, event, state="echo", echo_of=echo_of, run_id=run.id)
        return 0
    return int(events.add_event(c, event, state="pending", run_id=run.id))


def _is_ours(page: _Page, entry: LogEntry, our_user_id: str) -> tuple[bool, Expected | None]:
    """Say whether an entry reflects a write of ours, and which expectation it meets; each is met once."""
    expected = page.expected.get(entry.incident_id, [])
    met = match_entry(entry, expected, our_user_id=our_user_id)
    if met is not None:
        expected.remove(met)
        return True, met
    return is_birth_echo(entry, our_user_id=our_user_id), None


def _event(run: Run, entry: LogEntry, snapshot: snapshots.Snapshot | None) -> Event:
    return Event(
        id=event_id(run, entry),
        integration=run.name,
        source=PAGERDUTY,
        type=entry.type,
        occurred_at=entry.created_at,
        agent=entry.agent,
        incident_id=entry.incident_id,
        incident=plain(entry.incident),
        old_incident=_old(entry, snapshot),
        detail={**entry.detail, "log_entry": entry.id, "raw_type": entry.raw_type},
    )


def _old(entry: LogEntry, snapshot: snapshots.Snapshot | None) -> Values:
    if snapshot is not None:
        return snapshot.values
    return dict.fromkeys(entry.incident) if entry.type == "trigger" else {}


def _save(
    c: Connection, run: Run, entry: LogEntry, snapshot: snapshots.Snapshot | None
) -> snapshots.Snapshot:
    now = utc_now()
    values = plain(entry.incident)
    snapshots.merge_snapshot(c, run.name, PAGERDUTY, INCIDENT, entry.incident_id, values, now=now)
    version = snapshot.version + 1 if snapshot else 1
    return snapshots.Snapshot(entry.incident_id, values, entry.created_at, version, now)


def plain(values: Values) -> dict[str, Any]:
    """Return the values as JSON can hold them: instants as ISO text."""
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in values.items()}
