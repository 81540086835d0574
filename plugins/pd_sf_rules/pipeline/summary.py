"""A storm released as one incident: it stands for every record that the storm holds.

Each record is linked to it. What the rule does next in Salesforce is done for each record, for it is that record's
own state. What it does next in PagerDuty is done once, for the first record: a note, a page or a workflow a
thousand times over is what the breaker was there to prevent.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from pd_sf_rules.ledger import links, snapshots, storms
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.ledger.storms import StoredStorm
from pd_sf_rules.model import PAGERDUTY, Link
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.pull_pagerduty import INCIDENT, plain
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.echo import INCIDENT_KEY_PREFIX
from pd_sf_rules.planning.kinds import CREATE_INCIDENT, WRITES_TO
from pd_sf_rules.planning.values import digest
from pd_sf_rules.systems.pagerduty.actions import NewIncident, create_incident

LISTED = 50
"""How many records a summary incident lists."""

BATCH = 250
"""How many records one transaction settles: each is several rows, and other writers wait meanwhile."""


def make_summary(run: Run, storm: str) -> str | None:
    """Create one incident for all the incidents that a storm holds, linked to every record; return its id.

    None when the storm holds no incident. Raises the error of PagerDuty. The actions stay held until the incident
    is there, so that whatever happens meanwhile none goes out by itself; asking again finds the same incident.
    """
    with run.ledger.read() as c:
        known = {one.storm: one for one in storms.stored_storms(c, run.name)}
        first = storms.held_actions(c, run.name, storm, kind=CREATE_INCIDENT, limit=LISTED)
    if not first or storm not in known:
        return None
    incident_id = known[storm].summary or _made(run, known[storm], first)
    while True:
        with run.ledger.begin() as c:
            batch = storms.held_actions(c, run.name, storm, kind=CREATE_INCIDENT, limit=BATCH)
            for one in batch:
                _stands_for(c, run, one, incident_id)
            _go_on(c, batch, incident_id, first=None)
        if len(batch) < BATCH:
            return incident_id


def _made(run: Run, storm: StoredStorm, first: Sequence[StoredAction]) -> str:
    """Create the incident, and settle the first record by it in the transaction that remembers it."""
    with run.ledger.read() as c:
        _, number = storms.held_counts(c, run.name)[storm.storm]
    result = create_incident(run.pagerduty, _summary(run, storm, first, number))
    if result.error is not None:
        raise result.error
    incident_id = str(result.id)
    with run.ledger.begin() as c:
        storms.mark_summary(c, run.name, storm.storm, incident_id)
        if result.values:
            values, now = plain(result.values), utc_now()
            snapshots.merge_snapshot(c, run.name, PAGERDUTY, INCIDENT, incident_id, values, now=now)
        _stands_for(c, run, first[0], incident_id)
        _go_on(c, first[:1], incident_id, first=first[0])
    return incident_id


def _summary(
    run: Run, storm: StoredStorm, first: Sequence[StoredAction], number: int
) -> NewIncident:
    urls = [run.record_url(one.object or "", one.record_id or "") for one in first]
    more = f"\n… and {number - len(urls)} more" if number > len(urls) else ""
    params = first[0].params
    return NewIncident(
        title=f"{number} records match rule '{first[0].rule}' at once",
        service_id=run.lookups.service(str(params["service"])),
        incident_key=f"{INCIDENT_KEY_PREFIX}{run.name}-storm-{digest(storm.storm, storm.occurrence)}",
        urgency=params.get("urgency"),
        details="\n".join(urls) + more,
    )


def _stands_for(c: Connection, run: Run, one: StoredAction, incident_id: str) -> None:
    """Link a record to the summary, which is then the incident that its action would have created."""
    link = Link(
        run.name, one.object or "", one.record_id or "", incident_id, one.ruleset, utc_now()
    )
    links.add_link(c, link)
    outcomes.done(c, run, one, target=incident_id, message="released as one summary")


def _go_on(
    c: Connection, settled: Sequence[StoredAction], incident_id: str, *, first: StoredAction | None
) -> None:
    """Let the rest of these rules go on: in Salesforce for each record, in PagerDuty for the first alone."""
    going: list[str] = []
    done_once: list[str] = []
    for one in storms.held_beside(c, settled):
        once = WRITES_TO[one.kind] == PAGERDUTY and first is None
        (done_once if once else going).append(one.id)
    storms.approve(c, going)
    reason = f"Done once for all: incident {incident_id} is the summary of a storm."
    storms.discard(c, done_once, reason=reason)
