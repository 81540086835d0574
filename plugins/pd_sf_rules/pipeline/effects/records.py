"""Field values written to records that exist: many rows in one collections call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pd_sf_rules.ledger import expectations, snapshots
from pd_sf_rules.model import SALESFORCE
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.effects.creations import written_fields
from pd_sf_rules.pipeline.effects.sending import already_done, going_out
from pd_sf_rules.pipeline.expected import announce
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.systems.results import WriteResult
from pd_sf_rules.systems.salesforce.actions import RecordUpdate
from pd_sf_rules.systems.salesforce.actions import update_records as update_in_salesforce
from pd_sf_rules.systems.salesforce.changes import fetch_records


@dataclass(frozen=True, slots=True)
class _Row:
    """One record that one task writes to."""

    task: Task
    update: RecordUpdate


def update_records(run: Run, tasks: Sequence[Task]) -> None:
    """Write the fields of each task to its records; the values become what was last seen, so they are no news."""
    rows = _rows(run, tasks)
    _see_first(run, rows)
    rows = _announce(run, rows)
    if not rows:
        return
    results = update_in_salesforce(run.salesforce, [row.update for row in rows])
    _conclude(run, list(zip(rows, results, strict=True)))


def _rows(run: Run, tasks: Sequence[Task]) -> list[_Row]:
    rows: list[_Row] = []
    for task in tasks:
        if not task.records:
            with run.ledger.begin() as c:
                outcomes.skipped(c, run, task.action, f"No {task.action.object} is linked.")
            continue
        fields = written_fields(task.params["fields"])
        finished = already_done(task)
        rows += [
            _Row(task, RecordUpdate(name, record_id, fields))
            for name, record_id in task.records
            if record_id not in finished
        ]
    return rows


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
        going = {
            i for i, task in tasks.items() if going_out(c, task, {"fields": _fields_of(rows, i)})
        }
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


def _fields_of(rows: Sequence[_Row], action_id: str) -> Mapping[str, Any]:
    return next(dict(row.update.fields) for row in rows if row.task.action.id == action_id)


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
                    run.as_watched(update.object, update.fields),
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
