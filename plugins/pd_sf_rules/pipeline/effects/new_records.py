"""New records, each linked to its incident in the transaction that records it, and never a second one for it.

Where the object has a unique external-id field for the incident, the record carries the incident's id from its first
moment: Salesforce itself then refuses a second one, and a lost answer is settled by one exact look.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pd_sf_rules.errors import RefusedError, RetryableError, SyncError
from pd_sf_rules.ledger import expectations, snapshots
from pd_sf_rules.model import SALESFORCE, Values
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.effects.linking import link_pair
from pd_sf_rules.pipeline.effects.lost_records import (
    EDITOR,
    is_edited,
    record_made_before,
    with_editor,
)
from pd_sf_rules.pipeline.effects.sending import going_out
from pd_sf_rules.pipeline.incident_ids import distrust, takes_incident_id
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.systems.salesforce.actions import RecordCreate
from pd_sf_rules.systems.salesforce.actions import create_records as create_in_salesforce
from pd_sf_rules.systems.salesforce.changes import fetch_records
from pd_sf_rules.systems.salesforce.incident_id import FIELD, record_of_incident

_log = logging.getLogger(__name__)

DUPLICATE = "DUPLICATE_VALUE"
UNWRITABLE = frozenset({"INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE"})


@dataclass(frozen=True, slots=True)
class _Creation:
    """One record to create for a task; `key` is the incident's id that it carries, "" where it carries none."""

    task: Task
    create: RecordCreate
    key: str


def create_records(run: Run, tasks: Sequence[Task]) -> None:
    """Create one record for each task whose pair has none of that object, and link it to the incident."""
    fresh: list[_Creation] = []
    for task in tasks:
        try:
            creation = _to_create(run, task)
        except SyncError as error:
            with run.ledger.begin() as c:
                outcomes.failed(c, run, task.action, error)
            continue
        if creation is not None:
            fresh.append(creation)
    with run.ledger.begin() as c:
        fresh = [one for one in fresh if going_out(c, one.task, dict(one.create.fields))]
    if not fresh:
        return
    results = create_in_salesforce(run.salesforce, [one.create for one in fresh])
    for one, result in zip(fresh, results, strict=True):
        if result.error is not None:
            _not_made(run, one, result.error)
    made = [(one, r.id or "") for one, r in zip(fresh, results, strict=True) if r.error is None]
    seen = _read_back(run, [(one.create.object, record_id) for one, record_id in made])
    for one, record_id in made:
        values = _first_values(run, one.create, seen.get(record_id, {}))
        _conclude(run, one.task, one.create.object, record_id, values)


def written_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return field values as Salesforce takes them: empty text clears a field, and that is written as null."""
    return {name: None if value == "" else value for name, value in fields.items()}


def _to_create(run: Run, task: Task) -> _Creation | None:
    """Return what to create; None when the action is concluded already (linked, or found after a lost answer)."""
    name = str(task.params.get("object") or task.action.object or "")
    linked = [link.record_id for link in task.links if link.object.casefold() == name.casefold()]
    if linked and task.params.get("when_linked") != "create":
        with run.ledger.begin() as c:
            outcomes.skipped(c, run, task.action, f"{name} {linked[-1]} is linked.")
        return None
    creation = _keyed(run, task, RecordCreate(name, written_fields(task.params["fields"])))
    if task.action.in_doubt and (made := _made_before(run, creation)):
        seen = _read_back(run, [(name, made)])
        values = _first_values(run, creation.create, seen.get(made, {}))
        _conclude(run, task, name, made, values, "found after a lost answer")
        return None
    return creation


def _keyed(run: Run, task: Task, create: RecordCreate) -> _Creation:
    """Let the record carry its incident's id, where it may be the only one for it and the object has the field."""
    incidents = _incidents(task)
    ours = next((name for name in create.fields if name.casefold() == FIELD.casefold()), None)
    alone = task.params.get("when_linked") != "create" and len(incidents) == 1
    if not alone or (ours is not None and create.fields[ours] != incidents[0]):
        return _Creation(task, create, "")
    if not takes_incident_id(run, create.object):
        return _Creation(task, create, "")
    fields = {**create.fields, ours or FIELD: incidents[0]}
    return _Creation(task, RecordCreate(create.object, fields), incidents[0])


def _incidents(task: Task) -> list[str]:
    """Return the incidents that a new record is linked to."""
    if task.action.incident_id:
        return [task.action.incident_id]
    return task.open_incidents() or list(task.incidents)[-1:]


def _made_before(run: Run, one: _Creation) -> str | None:
    """Return the record that a lost request made: exactly, if it went out with the incident's id."""
    sent = one.task.action.request
    if one.key and isinstance(sent, Mapping):
        names = [name for name in sent if name.casefold() == FIELD.casefold()]
        if any(sent[name] == one.key for name in names):
            return record_of_incident(run.salesforce, one.create.object, one.key)
    return record_made_before(run, one.task, one.create)


def _not_made(run: Run, one: _Creation, error: SyncError) -> None:
    """Adopt the record that carries the incident's id already; any other answer ends the attempt."""
    try:
        holder = _holder(run, one, error)
    except SyncError as instead:
        holder, error = None, instead
    if holder is None:
        with run.ledger.begin() as c:
            outcomes.failed(c, run, one.task.action, error)
        return
    message = "adopted: it carries the incident's id"
    _conclude(run, one.task, one.create.object, holder, {}, message)


def _holder(run: Run, one: _Creation, error: SyncError) -> str | None:
    """Return the record that carries the incident's id, if that is why this one was refused.

    Raises RetryableError where our user does not see that record, or may no longer write the field: the next attempt
    goes without it.
    """
    if not one.key or not isinstance(error, RefusedError):
        return None
    about_us = FIELD.casefold() in error.message.casefold()
    if error.code == DUPLICATE:
        found = record_of_incident(run.salesforce, one.create.object, one.key)
        if found is None and about_us:
            raise RetryableError(
                f"A {one.create.object} that the sync's user does not see carries incident {one.key}."
            )
        return found
    if error.code in UNWRITABLE and about_us:
        distrust(run, one.create.object)
        raise RetryableError(f"{one.create.object}.{FIELD} may not be written any more.")
    return None


def _read_back(run: Run, made: Collection[tuple[str, str]]) -> dict[str, Values]:
    """Read new records as the server keeps them (defaults, numbers, workflow), for their first snapshot.

    They are made, whatever becomes of this: without an answer the snapshot begins with what was written.
    """
    found: dict[str, Values] = {}
    for name in {name for name, _ in made}:
        fields = run.watched.get(name)
        ids = [record_id for of, record_id in made if of == name]
        if fields and ids:
            try:
                found |= with_editor(partial(fetch_records, run.salesforce, name, ids), fields)
            except SyncError as error:
                _log.warning("New records of %s cannot be read back: %s", name, error)
    return found


def _first_values(run: Run, create: RecordCreate, seen: Values) -> Values:
    """Return what a new record's first snapshot holds: what we wrote, and what the server made of it.

    Where somebody edited the record before it was read, that is news: the snapshot holds what we wrote and blanks.
    """
    written = run.as_watched(create.object, create.fields)
    if is_edited(run, seen):
        return {**dict.fromkeys(seen), **written}
    return {**written, **{path: value for path, value in seen.items() if path != EDITOR}}


def _conclude(
    run: Run, task: Task, name: str, record_id: str, values: Values, message: str = ""
) -> None:
    """Link the record. Without `values` it is not ours: what it holds is read like any other record's."""
    with run.ledger.begin() as c:
        for incident_id in _incidents(task):
            link_pair(c, run, task, name, record_id, incident_id)
        if values:
            now = utc_now()
            snapshots.merge_snapshot(c, run.name, SALESFORCE, name, record_id, values, now=now)
        outcomes.done(c, run, task.action, target=record_id, message=message)
        expectations.forget(c, task.action.id)
