"""Field values written to records that exist: many rows in one collections call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.ledger import actions, expectations, snapshots
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Values
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.effects.new_records import written_fields
from pd_sf_rules.pipeline.effects.sending import already_done, going_out
from pd_sf_rules.pipeline.expected import announce
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.kinds import UPDATE_RECORD
from pd_sf_rules.planning.values import same_value
from pd_sf_rules.systems.results import WriteResult
from pd_sf_rules.systems.salesforce.actions import RecordUpdate
from pd_sf_rules.systems.salesforce.actions import update_records as update_in_salesforce
from pd_sf_rules.systems.salesforce.changes import fetch_records


@dataclass(frozen=True, slots=True)
class _Row:
    """One record that one task writes to.

    `sending` is what still has to be written of its fields, `ours` those that then hold our value: where somebody
    changed a field after a lost write, theirs stays.
    """

    task: Task
    update: RecordUpdate
    sending: Mapping[str, Any]
    ours: Mapping[str, Any]


def update_records(run: Run, tasks: Sequence[Task]) -> None:
    """Write the fields of each task to its records; the values become what was last seen, so they are no news."""
    rows = _settled(run, _rows(run, tasks))
    _see_first(run, rows)
    rows = _announce(run, rows)
    if not rows:
        return
    written = [row for row in rows if row.sending]
    updates = [replace(row.update, fields=row.sending) for row in written]
    results = iter(update_in_salesforce(run.salesforce, updates) if updates else ())
    there = WriteResult(id=None, error=None)
    _conclude(run, [(row, next(results) if row.sending else there) for row in rows])


def _rows(run: Run, tasks: Sequence[Task]) -> list[_Row]:
    rows: list[_Row] = []
    for task in tasks:
        if not task.records:
            with run.ledger.begin() as c:
                outcomes.skipped(c, run, task.action, f"No {task.action.object} is linked.")
            continue
        fields = _still_newest(run, task, written_fields(task.params["fields"]))
        if not fields:
            with run.ledger.begin() as c:
                outcomes.skipped(c, run, task.action, "A later event wrote these fields already.")
            continue
        finished = already_done(task)
        rows += [
            _Row(task, RecordUpdate(name, record_id, fields), fields, fields)
            for name, record_id in task.records
            if record_id not in finished
        ]
    return rows


def _settled(run: Run, rows: Sequence[_Row]) -> list[_Row]:
    """Look at the records of writes whose answer was lost: what is there, or was changed since, is not sent again."""
    doubtful = [row for row in rows if _before(row) is not None]
    found: dict[str, Values] = {}
    for name in {row.update.object for row in doubtful}:
        mine = [row.update for row in doubtful if row.update.object == name]
        fields = sorted({field for one in mine for field in one.fields})
        found |= fetch_records(run.salesforce, name, [one.record_id for one in mine], fields)
    return [
        _with_left(row, found.get(row.update.record_id)) if row in doubtful else row for row in rows
    ]


def _with_left(row: _Row, now: Values | None) -> _Row:
    """Return the row with what is left to send: the fields that still hold the value from before the lost write."""
    if now is None:
        return row
    before = _before(row) or {}
    fields = row.update.fields
    there = {field: value for field, value in fields.items() if same_value(now[field], value)}
    left = {
        field: value
        for field, value in fields.items()
        if field not in there and (field not in before or same_value(now[field], before[field]))
    }
    return replace(row, sending=left, ours={**there, **left})


def _before(row: _Row) -> Mapping[str, Any] | None:
    """Return the values before a lost write, which the request was kept with; None where nothing is in doubt."""
    request = row.task.action.request
    if not row.task.action.in_doubt or not isinstance(request, Mapping):
        return None
    before = request.get("before", {}).get(row.update.record_id)
    return before if isinstance(before, Mapping) else None


def _still_newest(run: Run, task: Task, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what the ruleset wrote for a later event already: the log may show an older entry afterwards."""
    if task.event.source != PAGERDUTY or not task.event.incident_id:
        return fields
    with run.ledger.read() as c:
        applied = actions.find_actions(
            c, integration=run.name, incident_id=task.event.incident_id, state="applied", limit=1000
        )
    later = {
        name.casefold()
        for one in applied
        if one.kind == UPDATE_RECORD
        and one.object == task.action.object
        and one.ruleset == task.action.ruleset
        and one.event_occurred_at > task.action.event_occurred_at
        for name in one.params["fields"]
    }
    return {name: value for name, value in fields.items() if name.casefold() not in later}


def _see_first(run: Run, rows: Sequence[_Row]) -> None:
    """Read records that were never seen before writing to them: our write must not be all that is known of one."""
    for name in {row.update.object for row in rows}:
        ids = [row.update.record_id for row in rows if row.update.object == name]
        with run.ledger.read() as c:
            seen = snapshots.get_snapshots(c, run.name, SALESFORCE, name, ids)
        unseen = sorted(set(ids) - set(seen))
        fields = run.watched.get(name)
        if not unseen or not fields:
            continue
        found = fetch_records(run.salesforce, name, unseen, fields)
        with run.ledger.begin() as c:
            for record_id, values in found.items():
                snapshots.merge_snapshot(
                    c, run.name, SALESFORCE, name, record_id, values, now=utc_now()
                )


def _announce(run: Run, rows: Sequence[_Row]) -> list[_Row]:
    if not rows:
        return []
    now = run.salesforce.server_now()
    tasks = {row.task.action.id: row.task for row in rows}
    with run.ledger.begin() as c:
        going = {i for i, task in tasks.items() if going_out(c, task, _request(c, run, rows, i))}
        mine = [row for row in rows if row.task.action.id in going]
        for row in mine:
            announce(
                c,
                run.name,
                SALESFORCE,
                row.update.record_id,
                run.as_watched(row.update.object, row.update.fields),
                action_id=row.task.action.id,
                now=now,
            )
    return mine


def _request(c: Connection, run: Run, rows: Sequence[_Row], action_id: str) -> dict[str, Any]:
    """Return what goes out, with the values it replaces, as far as they are known."""
    mine = [row for row in rows if row.task.action.id == action_id]
    before: dict[str, Mapping[str, Any]] = {}
    for row in mine:
        name, record_id = row.update.object, row.update.record_id
        seen = snapshots.get_snapshots(c, run.name, SALESFORCE, name, [record_id])
        known = seen[record_id].values if record_id in seen else {}
        fields = row.update.fields
        earlier = _before(row)
        before[record_id] = (
            {field: known[field] for field in fields if field in known}
            if earlier is None
            else earlier
        )
    return {"fields": dict(mine[0].update.fields), "before": before}


def _conclude(run: Run, results: Sequence[tuple[_Row, WriteResult]]) -> None:
    with run.ledger.begin() as c:
        for row, result in results:
            if result.error is None:
                update = row.update
                snapshots.merge_snapshot(
                    c,
                    run.name,
                    SALESFORCE,
                    update.object,
                    update.record_id,
                    run.as_watched(update.object, row.ours),
                    now=utc_now(),
                )
        for task in {row.task.action.id: row.task for row, _ in results}.values():
            mine = [(row, r) for row, r in results if row.task is task]
            error = next((r.error for _, r in mine if r.error is not None), None)
            done = already_done(task) | {row.update.record_id for row, r in mine if r.error is None}
            if error is None:
                expectations.forget(c, task.action.id)
                outcomes.done(c, run, task.action, target=",".join(sorted(done)))
            else:
                outcomes.failed(c, run, task.action, error, answer={"done": sorted(done)})
