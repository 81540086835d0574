"""Salesforce rows that changed become events: read with an overlap, compared with what was last seen."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from pd_sf_rules.ledger import actions, cursors, events, expectations, snapshots
from pd_sf_rules.model import SALESFORCE, Change, Event, Values, Window
from pd_sf_rules.pipeline.expected import awaited
from pd_sf_rules.pipeline.pulled import Pulled
from pd_sf_rules.pipeline.rulebook import Rulebook
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.echo import RowVerdict, judge_row
from pd_sf_rules.planning.kinds import CREATE_RECORD
from pd_sf_rules.planning.windows import live_window
from pd_sf_rules.systems.salesforce.changes import pull_changes


def stream(object_name: str) -> str:
    """Name the cursor of one object."""
    return f"salesforce:{object_name}"


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one object: what it reads, and since when rows count."""

    object: str
    fields: Collection[str]
    window: Window
    started_at: datetime
    baseline_only: bool
    asked_at: datetime
    """This machine's clock before the query: a snapshot touched later is newer than the row."""


def pull_salesforce(
    run: Run, rulebook: Rulebook, *, given: Window | None = None, objects: Collection[str] = ()
) -> list[Pulled]:
    """Record an event for each record of a watched object that changed; one Pulled per object.

    `given` reads exactly that window and leaves the cursor alone; `objects` narrows what is read.
    Raises the errors of systems.salesforce; what was recorded before an error stays recorded.
    """
    watched = sorted(rulebook.compiled.objects())
    if objects:
        wanted = {name.casefold() for name in objects}
        watched = [name for name in watched if name.casefold() in wanted]
    return [_pull_object(run, rulebook, name, given) for name in watched]


def _pull_object(run: Run, rulebook: Rulebook, name: str, given: Window | None) -> Pulled:
    look = _look(run, rulebook, name, given)
    new = 0
    held: list[datetime] = []
    pages = pull_changes(
        run.salesforce, name, look.fields, look.window, with_agent=rulebook.names_agent
    )
    for page in pages:
        with run.ledger.begin() as c:
            added, left = _record_page(c, run, look, page)
        new += added
        held += left
    return Pulled(stream(name), look.window, new, min(held, default=None))


def _look(run: Run, rulebook: Rulebook, name: str, given: Window | None) -> _Look:
    fields = rulebook.compiled.record_fields(name)
    now = run.salesforce.server_now()
    if given is not None:
        window = Window(given.start, min(given.end, now), moves_cursor=False)
        return _Look(name, fields, window, given.start, False, utc_now())
    with run.ledger.begin() as c:
        cursor = cursors.get_cursor(c, run.name, stream(name))
        first = cursor is None
        if cursor is None:
            cursor = cursors.start_cursor(c, run.name, stream(name), run.integration.start_at(now))
    return _Look(
        name,
        fields,
        live_window(cursor.position, now),
        cursor.started_at,
        first and run.integration.start_from == "now",
        utc_now(),
    )


def _record_page(
    c: Connection, run: Run, look: _Look, page: Sequence[Change]
) -> tuple[int, list[datetime]]:
    """Write one page's events and snapshots; return how many events are new, and the stamps left for later."""
    ids = [change.record_id for change in page]
    seen = snapshots.get_snapshots(c, run.name, SALESFORCE, look.object, ids)
    expected = awaited(c, run.name, SALESFORCE, ids)
    creating = _creating(c, run, look.object)
    new = 0
    held: list[datetime] = []
    for change in page:
        snapshot = seen.get(change.record_id)
        if _is_stale(look, snapshot) or (snapshot is None and creating):
            held.append(change.stamp)
            continue
        ours = [e for e in expected if e.target_id == change.record_id]
        verdict = judge_row(
            change, snapshot.values if snapshot else None, ours, started_at=look.started_at
        )
        if look.baseline_only and snapshot is None:
            verdict = RowVerdict("baseline", {})
        stored = _record_row(c, run, look, change, snapshot, verdict)
        if stored is None:
            held.append(change.stamp)
        else:
            new += stored
    return new, held


def _is_stale(look: _Look, snapshot: snapshots.Snapshot | None) -> bool:
    """A snapshot that moved while the query ran may know more than the row: the next look decides."""
    return snapshot is not None and snapshot.touched_at >= look.asked_at


def _creating(c: Connection, run: Run, object_name: str) -> bool:
    """Say whether a record of this object is being created by us: an unknown row may then be our own."""
    return actions.in_flight(c, run.name, kind=CREATE_RECORD, object=object_name)


def _record_row(
    c: Connection,
    run: Run,
    look: _Look,
    change: Change,
    snapshot: snapshots.Snapshot | None,
    verdict: RowVerdict,
) -> int | None:
    """Write one row; return 1 for a new event, 0 for none, None when somebody else moved the snapshot."""
    values: Values = {**(snapshot.values if snapshot else {}), **change.values}
    version = snapshot.version if snapshot else None
    if verdict.kind == "unchanged" and snapshot is not None and snapshot.values == values:
        return 0
    moved = snapshots.Snapshot(
        change.record_id, values, change.stamp, (version or 0) + 1, utc_now()
    )
    saved = snapshots.save_snapshot(
        c, run.name, SALESFORCE, look.object, moved, expected_version=version, now=utc_now()
    )
    if not saved:
        return None
    event = _event(run, change, verdict, moved.version)
    for expectation in verdict.met:
        expectations.consume(c, expectation.id, event.id)
    if verdict.kind == "echo":
        events.add_event(c, event, state="echo", echo_of=verdict.met[0].action_id, run_id=run.id)
    if verdict.kind not in {"created", "updated"}:
        return 0
    return int(events.add_event(c, event, state="pending", run_id=run.id))


def _event(run: Run, change: Change, verdict: RowVerdict, version: int) -> Event:
    return Event(
        id=f"{SALESFORCE}:{run.name}:{change.record_id}:{version}",
        integration=run.name,
        source=SALESFORCE,
        type="created" if verdict.kind == "created" else "updated",
        occurred_at=change.stamp,
        agent=change.agent,
        object=change.object,
        record_id=change.record_id,
        record=change.values,
        old=verdict.old,
    )
