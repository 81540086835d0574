"""Which objects keep their incident's id in a unique field: known by describe, remembered in the ledger."""

from collections.abc import Iterable
from datetime import timedelta

from pd_sf_rules.errors import RefusedError
from pd_sf_rules.ledger import cursors
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.systems.salesforce.describe import describe
from pd_sf_rules.systems.salesforce.incident_id import FIELD, incident_id_field

STREAM = "incident-id:"
BELIEVED = {True: timedelta(hours=24), False: timedelta(hours=1)}
"""How long it is believed that an object has the field, and that it has none."""


def takes_incident_id(run: Run, name: str) -> bool:
    """Say whether new records of an object can carry their incident's id. Raises the errors of systems.salesforce."""
    with run.ledger.read() as c:
        known = cursors.get_cursor(c, run.name, f"{STREAM}{name}")
    if known is not None:
        takes = known.extra.get("takes") is True
        if utc_now() - known.position < BELIEVED[takes]:
            return takes
    try:
        takes = incident_id_field(describe(run.salesforce, name)) is not None
    except RefusedError:  # the creation itself will say what is wrong with the object
        return False
    _remember(run, name, takes=takes)
    return takes


def distrust(run: Run, name: str) -> None:
    """Remember that the org has just refused the field, whatever describe said."""
    _remember(run, name, takes=False)


def _remember(run: Run, name: str, *, takes: bool) -> None:
    stream, now = f"{STREAM}{name}", utc_now()
    with run.ledger.begin() as c:
        cursors.start_cursor(c, run.name, stream, now)
        cursors.move_cursor(c, run.name, stream, now, extra={"takes": takes})


def objects_without(known: Iterable[cursors.Cursor]) -> list[str]:
    """Return the objects of which records were created and that had no such field when it was last looked for."""
    return [
        one.stream.removeprefix(STREAM)
        for one in known
        if one.stream.startswith(STREAM) and one.extra.get("takes") is False
    ]


def without_field(name: str) -> str:
    """Say what it means that an object has no such field, and what helps."""
    if name.casefold() == "case":
        remedy = "Deploy salesforce/ to settle it exactly."
    else:
        remedy = "Give it the field that salesforce/ has for Case to settle it exactly."
    return (
        f"{name} has no unique external id {FIELD} that the sync's user may fill in: a creation whose answer was lost "
        f"is looked up by its values. {remedy}"
    )
