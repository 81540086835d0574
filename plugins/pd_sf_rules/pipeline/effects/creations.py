"""New incidents and new records, each linked to its other side in the transaction that records it."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.errors import RefusedError, SyncError
from pd_sf_rules.ledger import actions, expectations, links, snapshots
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Link, Values
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.effects.sending import (
    AnsweredError,
    already_done,
    doubtful_since,
    going_out,
    in_doubt,
    one_by_one,
    parts_done,
)
from pd_sf_rules.pipeline.expected import announce
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.pull_pagerduty import INCIDENT, plain
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.kinds import CREATE_RECORD
from pd_sf_rules.planning.planner import incident_key
from pd_sf_rules.planning.values import instant, same_value
from pd_sf_rules.systems.pagerduty.actions import NewIncident, create_incident, set_custom_fields
from pd_sf_rules.systems.pagerduty.incidents import incidents_by_key
from pd_sf_rules.systems.salesforce.actions import RecordCreate
from pd_sf_rules.systems.salesforce.actions import create_records as create_in_salesforce
from pd_sf_rules.systems.salesforce.changes import fetch_records
from pd_sf_rules.systems.salesforce.created import records_created

_log = logging.getLogger(__name__)

EDITOR = "LastModifiedById"

TITLE_LENGTH = 1024
"""PagerDuty cuts longer titles."""


def create_incidents(run: Run, tasks: Sequence[Task]) -> None:
    """Create one incident for each task whose record has no open one, and link the two."""
    one_by_one(run, tasks, _create_incident)


def _create_incident(run: Run, task: Task) -> None:
    open_now = task.open_incidents()
    if not task.records:
        with run.ledger.begin() as c:
            outcomes.skipped(c, run, task.action, f"No {task.action.object} is linked.")
        return
    for incident_id in already_done(task):
        _finish_incident(run, task, incident_id, "")
        return
    if task.action.in_doubt and (made := _made_before(run, task)) is not None:
        _conclude_incident(run, task, str(made["id"]), made, "found after a lost answer")
        return
    if open_now and task.params.get("when_linked") != "any_open":
        with run.ledger.begin() as c:
            outcomes.skipped(c, run, task.action, f"Incident {open_now[-1]} is linked and open.")
        return
    new = _new_incident(run, task)
    with run.ledger.begin() as c:
        if not going_out(c, task, asdict(new)):
            return
    result = create_incident(run.pagerduty, new)
    if result.error is not None:
        raise AnsweredError(result.error)
    message = "adopted the open incident" if result.adopted else ""
    _conclude_incident(run, task, result.id or "", result.values, message)


def _made_before(run: Run, task: Task) -> Values | None:
    """Look for the incident that a lost answer may have left behind: our key, made since, linked by nobody yet."""
    since = doubtful_since(task, run.pagerduty.server_now())
    found = incidents_by_key(run.pagerduty, _key(task), open_only=False)
    linked = {link.incident_id for link in task.links} - _seen_meanwhile(run, task)
    for one in found:
        made_at = instant(str(one.get("created_at") or ""))
        recent = since is None or made_at is None or made_at >= since
        if recent and one["id"] not in linked:
            return one
    return None


def _seen_meanwhile(run: Run, task: Task) -> set[str]:
    """Return what the log showed another process of this very creation, after this one took it."""
    with run.ledger.read() as c:
        stands = actions.get_action(c, task.action.id)
    return parts_done(stands.answer if stands else None)


def _key(task: Task) -> str:
    return incident_key(task.action, task.records[0][1])


def _new_incident(run: Run, task: Task) -> NewIncident:
    p = task.params
    default = run.record_url(*task.records[0])
    policy, assignees = p.get("escalation_policy"), _as_list(p.get("assign_to"))
    return NewIncident(
        title=str(p["title"])[:TITLE_LENGTH],
        service_id=run.lookups.service(str(p["service"])),
        incident_key=_key(task),
        urgency=p.get("urgency"),
        priority_id=run.lookups.priority(str(p["priority"])) if p.get("priority") else None,
        details=str(p.get("details") or default) or None,
        escalation_policy_id=run.lookups.escalation_policy(str(policy)) if policy else None,
        assignee_ids=tuple(run.lookups.user(str(one)) for one in assignees),
        incident_type=p.get("incident_type"),
        conference_bridge=p.get("conference_bridge"),
    )


def _conclude_incident(
    run: Run, task: Task, incident_id: str, values: Values, message: str
) -> None:
    action = task.action
    with run.ledger.begin() as c:
        _link(c, run, task, *task.records[0], incident_id)
        actions.note_progress(c, action.id, answer={"done": [incident_id]})
        if values:
            snapshots.merge_snapshot(
                c, run.name, PAGERDUTY, INCIDENT, incident_id, plain(values), now=utc_now()
            )
    _finish_incident(run, task, incident_id, message)


def _finish_incident(run: Run, task: Task, incident_id: str, message: str) -> None:
    """Set the custom fields, which PagerDuty takes only once the incident is there; a failed try repeats only this."""
    fields = task.params.get("custom_fields")
    if fields:
        now = run.pagerduty.server_now()
        with run.ledger.begin() as c:
            name = f"{task.action.id}:fields"
            effects = {"custom": None}
            announce(c, run.name, PAGERDUTY, incident_id, effects, action_id=name, now=now)
        result = set_custom_fields(run.pagerduty, incident_id, fields)
        if result.error is not None:
            raise AnsweredError(result.error)
    with run.ledger.begin() as c:
        outcomes.done(c, run, task.action, target=incident_id, message=message)


def create_records(run: Run, tasks: Sequence[Task]) -> None:
    """Create one record for each task whose pair has none of that object, and link it to the incident."""
    fresh: list[tuple[Task, RecordCreate]] = []
    for task in tasks:
        try:
            create = _to_create(run, task)
        except SyncError as error:
            with run.ledger.begin() as c:
                outcomes.failed(c, run, task.action, error)
            continue
        if create is not None:
            fresh.append((task, create))
    with run.ledger.begin() as c:
        fresh = [
            (task, create) for task, create in fresh if going_out(c, task, dict(create.fields))
        ]
    if not fresh:
        return
    results = create_in_salesforce(run.salesforce, [create for _, create in fresh])
    with run.ledger.begin() as c:
        for (task, _), result in zip(fresh, results, strict=True):
            if result.error is not None:
                outcomes.failed(c, run, task.action, result.error)
    made = [(t, n, r) for (t, n), r in zip(fresh, results, strict=True) if r.error is None]
    seen = _read_back(run, [(new.object, result.id or "") for _, new, result in made])
    for task, create, result in made:
        values = _first_values(run, create, seen.get(result.id or "", {}))
        _conclude_record(run, task, create.object, result.id or "", values)


def _to_create(run: Run, task: Task) -> RecordCreate | None:
    """Return what to create; None when the action is concluded already (linked, or found after a lost answer)."""
    name = str(task.params.get("object") or task.action.object or "")
    linked = [link.record_id for link in task.links if link.object.casefold() == name.casefold()]
    if linked and task.params.get("when_linked") != "create":
        with run.ledger.begin() as c:
            outcomes.skipped(c, run, task.action, f"{name} {linked[-1]} is linked.")
        return None
    create = RecordCreate(name, written_fields(task.params["fields"]))
    if task.action.in_doubt and (made := _record_made_before(run, task, create)):
        seen = _read_back(run, [(name, made)])
        _conclude_record(run, task, name, made, _first_values(run, create, seen.get(made, {})))
        return None
    return create


def _record_made_before(run: Run, task: Task, create: RecordCreate) -> str | None:
    """Look for the record that a lost answer may have left behind: made by us since, with the same values.

    Somebody may have edited it meanwhile: then it is the one that agrees best with this creation, and with no other
    whose answer was lost. Raises RefusedError when it may be several.
    """
    now = run.salesforce.server_now()
    rows = _made_since(run, create, doubtful_since(task, now) or now)
    with run.ledger.read() as c:
        taken = links.links_of_records(c, run.name, list(rows))
        lost = actions.doubtful_actions(c, run.name, kind=CREATE_RECORD)
    free = {record_id: values for record_id, values in rows.items() if record_id not in taken}
    for record_id, values in free.items():
        if _agreement(values, create.fields) == len(create.fields):
            return record_id
    others = [a.request for a in lost if a.id != task.action.id]
    edited = {
        record_id: _agreement(values, create.fields)
        for record_id, values in free.items()
        if _is_edited(run, values)
        and 2 * _agreement(values, create.fields) >= len(create.fields)
        and all(_agreement(values, create.fields) > _agreement(values, one) for one in others)
    }
    best = [one for one, same in edited.items() if same == max(edited.values())]
    if len(best) > 1:
        raise in_doubt(task, f"the creation of a {create.object}", "Salesforce")
    return best[0] if best else None


def _agreement(values: Values, fields: Mapping[str, Any]) -> int:
    return sum(name in values and same_value(values[name], v) for name, v in fields.items())


def _made_since(run: Run, create: RecordCreate, since: datetime) -> dict[str, Values]:
    def look(fields: Collection[str]) -> dict[str, Values]:
        return records_created(
            run.salesforce,
            create.object,
            created_by=run.salesforce.user_id,
            since=since,
            fields=sorted(fields),
        )

    return _with_editor(look, create.fields)


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
                found |= _with_editor(partial(fetch_records, run.salesforce, name, ids), fields)
            except SyncError as error:
                _log.warning("New records of %s cannot be read back: %s", name, error)
    return found


def _with_editor(
    read: Callable[[Collection[str]], dict[str, Values]], fields: Collection[str]
) -> dict[str, Values]:
    """Read records with the user who edited them last, where the object tells."""
    try:
        return read({*fields, EDITOR})
    except RefusedError as error:
        if error.code != "INVALID_FIELD":
            raise
    return read(fields)


def _is_edited(run: Run, values: Values) -> bool:
    """Say whether somebody else edited a record of ours."""
    ours = run.salesforce.user_id
    return bool(ours and values.get(EDITOR)) and values[EDITOR] != ours


def _first_values(run: Run, create: RecordCreate, seen: Values) -> Values:
    """Return what a new record's first snapshot holds: what we wrote, and what the server made of it.

    Where somebody edited the record before it was read, that is news: the snapshot holds what we wrote and blanks.
    """
    written = run.as_watched(create.object, create.fields)
    if _is_edited(run, seen):
        return {**dict.fromkeys(seen), **written}
    return {**written, **{path: value for path, value in seen.items() if path != EDITOR}}


def _conclude_record(run: Run, task: Task, name: str, record_id: str, values: Values) -> None:
    pair = task.open_incidents() or list(task.incidents)[-1:]
    with run.ledger.begin() as c:
        for incident_id in [task.action.incident_id] if task.action.incident_id else pair:
            _link(c, run, task, name, record_id, incident_id)
        snapshots.merge_snapshot(c, run.name, SALESFORCE, name, record_id, values, now=utc_now())
        outcomes.done(c, run, task.action, target=record_id)
        expectations.forget(c, task.action.id)


def _link(c: Connection, run: Run, task: Task, name: str, record_id: str, incident_id: str) -> None:
    links.add_link(c, Link(run.name, name, record_id, incident_id, task.action.ruleset, utc_now()))


def written_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return field values as Salesforce takes them: empty text clears a field, and that is written as null."""
    return {name: None if value == "" else value for name, value in fields.items()}


def _as_list(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
