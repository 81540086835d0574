"""Salesforce rows that changed become events: read with an overlap, compared with what was last seen."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from pd_sf_rules.ledger import actions, events, expectations, snapshots
from pd_sf_rules.model import SALESFORCE, Change, Event, Values, Window
from pd_sf_rules.pipeline.expected import awaited
from pd_sf_rules.pipeline.looks import Look, look_at
from pd_sf_rules.pipeline.pulled import Pulled
from pd_sf_rules.pipeline.rulebook import Rulebook
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.echo import RowVerdict, judge_row
from pd_sf_rules.planning.kinds import CREATE_RECORD
from pd_sf_rules.planning.windows import reading
from pd_sf_rules.systems.salesforce.changes import pull_changes
from pd_sf_rules.systems.salesforce.newest import newest_stamp

NEWS = frozenset({"created", "updated"})


def stream(object_name: str) -> str:
    """Name the cursor of one object."""
    return f"salesforce:{object_name}"


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one object: what it reads, and since when rows count."""

    object: str
    fields: Collection[str]
    at: Look
    asked_at: datetime
    """This machine's clock before the query: a snapshot touched later is newer than the row."""

    @property
    def window(self) -> Window:
        """The stretch of time to read."""
        return self.at.window


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the answer, what was last seen of its record, and what the two say together."""

    change: Change
    snapshot: snapshots.Snapshot | None
    verdict: RowVerdict

    @property
    def version(self) -> int:
        """How often this record was seen in another state, this time included."""
        return self.snapshot.version + 1 if self.snapshot else 1


def pull_salesforce(
    run: Run, rulebook: Rulebook, *, given: Window | None = None, objects: Collection[str] = ()
) -> list[Pulled]:
    """Record an event for each record of a watched object that changed; one Pulled per object.

    `given` reads exactly that window and leaves the cursor alone; `objects` narrows what is read.
    Raises the errors of systems.salesforce; what was recorded before an error stays recorded.
    """
    return [_pull_object(run, rulebook, name, given) for name in _watched(rulebook, objects)]


def take_in(
    run: Run, rulebook: Rulebook, name: str, page: Sequence[Change], *, asked_at: datetime
) -> int:
    """Record an event for each of these rows of one object that differs from what was last seen; return how many.

    `asked_at` is this machine's clock before the rows were read.
    """
    window = Window(asked_at, asked_at, moves_cursor=False)
    look = _Look(name, rulebook.record_fields(name), Look(window, asked_at), asked_at)
    with run.ledger.begin() as c:
        rows, _ = _judge_page(c, run, look, page)
        return sum(_record_row(c, run, look, row) or 0 for row in rows)


def preview_salesforce(
    run: Run, rulebook: Rulebook, *, given: Window | None = None, objects: Collection[str] = ()
) -> tuple[list[Pulled], list[Event]]:
    """Return what `pull_salesforce` would record now, and record nothing."""
    pulled: list[Pulled] = []
    found: list[Event] = []
    for name in _watched(rulebook, objects):
        look = _look(run, rulebook, name, given, start=False)
        new: list[Event] = []
        for page in _pages(run, rulebook, look):
            with run.ledger.read() as c:
                rows, _ = _judge_page(c, run, look, page)
            new += [_event(run, row) for row in rows if row.verdict.kind in NEWS]
        pulled.append(Pulled(stream(name), look.window, len(new)))
        found += new
    return pulled, found


def _watched(rulebook: Rulebook, objects: Collection[str]) -> list[str]:
    watched = sorted(rulebook.compiled.objects())
    wanted = {name.casefold() for name in objects}
    return [name for name in watched if not wanted or name.casefold() in wanted]


def _pages(run: Run, rulebook: Rulebook, look: _Look) -> Iterator[list[Change]]:
    window = reading(look.window)
    return pull_changes(
        run.salesforce, look.object, look.fields, window, with_agent=rulebook.names_agent
    )


def _pull_object(run: Run, rulebook: Rulebook, name: str, given: Window | None) -> Pulled:
    look = _look(run, rulebook, name, given, start=True)
    new = 0
    held: list[datetime] = []
    newest: datetime | None = None
    for page in _pages(run, rulebook, look):
        newest = max((change.stamp for change in page), default=newest)
        stored, left = _record_page(run, look, page)
        new += stored
        held += left
        del page  # the next one is read now: memory holds one at a time
    return Pulled(stream(name), look.window, new, min(held, default=None), newest)


def _record_page(run: Run, look: _Look, page: Sequence[Change]) -> tuple[int, list[datetime]]:
    """Record what is new on a page; return how many events, and the stamps of the rows left for the next look."""
    new = 0
    with run.ledger.begin() as c:
        rows, left = _judge_page(c, run, look, page)
        for row in rows:
            stored = _record_row(c, run, look, row)
            if stored is None:
                left.append(row.change.stamp)
            else:
                new += stored
    return new, left


def _look(run: Run, rulebook: Rulebook, name: str, given: Window | None, *, start: bool) -> _Look:
    """Return what to read of an object; `start` begins its cursor where there is none."""
    at = look_at(
        run,
        stream(name),
        given,
        now=run.salesforce.server_now(),
        newest=lambda since: newest_stamp(run.salesforce, name, since),
        start=start,
    )
    return _Look(name, rulebook.record_fields(name), at, utc_now())


def _judge_page(
    c: Connection, run: Run, look: _Look, page: Sequence[Change]
) -> tuple[list[_Row], list[datetime]]:
    """Return one page's rows as judged, and the stamps of those left for the next look."""
    ids = [change.record_id for change in page]
    # What is under way is asked first: what ends meanwhile is then found among what is known.
    creating = _creating(c, run, look.object)
    expected = awaited(c, run.name, SALESFORCE, ids)
    seen = snapshots.get_snapshots(c, run.name, SALESFORCE, look.object, ids)
    rows: list[_Row] = []
    held: list[datetime] = []
    for change in page:
        snapshot = seen.get(change.record_id)
        if _is_stale(look, snapshot) or (snapshot is None and creating):
            held.append(change.stamp)
            continue
        ours = [e for e in expected if e.target_id == change.record_id]
        values = snapshot.values if snapshot else None
        verdict = judge_row(change, values, ours, started_at=look.at.started_at)
        if snapshot is None and look.at.is_old(change.stamp):
            verdict = RowVerdict("baseline", {})
        rows.append(_Row(change, snapshot, verdict))
    return rows, held


def _is_stale(look: _Look, snapshot: snapshots.Snapshot | None) -> bool:
    """A snapshot that moved while the query ran may know more than the row: the next look decides."""
    return snapshot is not None and snapshot.touched_at >= look.asked_at


def _creating(c: Connection, run: Run, object_name: str) -> bool:
    """Say whether a record of this object is being created by us: an unknown row may then be our own."""
    return actions.in_flight(c, run.name, kind=CREATE_RECORD, object=object_name)


def _record_row(c: Connection, run: Run, look: _Look, row: _Row) -> int | None:
    """Write one row; return 1 for a new event, 0 for none, None when somebody else moved the snapshot."""
    change, snapshot, verdict = row.change, row.snapshot, row.verdict
    values: Values = {**(snapshot.values if snapshot else {}), **change.values}
    if verdict.kind == "unchanged" and snapshot is not None and snapshot.values == values:
        return 0
    version = snapshot.version if snapshot else None
    moved = snapshots.Snapshot(change.record_id, values, change.stamp, row.version, utc_now())
    saved = snapshots.save_snapshot(
        c, run.name, SALESFORCE, look.object, moved, expected_version=version, now=utc_now()
    )
    if not saved:
        return None
    event = _event(run, row)
    for expectation in verdict.met:
        expectations.consume(c, expectation.id, event.id)
    if verdict.kind == "echo":
        events.add_event(c, event, state="echo", echo_of=verdict.met[0].action_id, run_id=run.id)
    if verdict.kind not in NEWS:
        return 0
    return int(events.add_event(c, event, state="pending", run_id=run.id))


def _event(run: Run, row: _Row) -> Event:
    change = row.change
    return Event(
        id=f"{SALESFORCE}:{run.name}:{change.record_id}:{row.version}",
        integration=run.name,
        source=SALESFORCE,
        type="created" if row.verdict.kind == "created" else "updated",
        occurred_at=change.stamp,
        agent=change.agent,
        object=change.object,
        record_id=change.record_id,
        record=change.values,
        old=row.verdict.old,
    )
