"""A record that a lost answer may have left behind, found by what was written to it."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from pd_sf_rules.errors import RefusedError
from pd_sf_rules.ledger import actions, links
from pd_sf_rules.model import Values
from pd_sf_rules.pipeline.effects.sending import doubtful_since, in_doubt
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.planning.kinds import CREATE_RECORD
from pd_sf_rules.planning.values import same_value
from pd_sf_rules.systems.salesforce.actions import RecordCreate
from pd_sf_rules.systems.salesforce.created import records_created

EDITOR = "LastModifiedById"


def record_made_before(run: Run, task: Task, create: RecordCreate) -> str | None:
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
        if is_edited(run, values)
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

    return with_editor(look, create.fields)


def with_editor(
    read: Callable[[Collection[str]], dict[str, Values]], fields: Collection[str]
) -> dict[str, Values]:
    """Read records with the user who edited them last, where the object tells."""
    try:
        return read({*fields, EDITOR})
    except RefusedError as error:
        if error.code != "INVALID_FIELD":
            raise
    return read(fields)


def is_edited(run: Run, values: Values) -> bool:
    """Say whether somebody else edited a record of ours."""
    ours = run.salesforce.user_id
    return bool(ours and values.get(EDITOR)) and values[EDITOR] != ours
