"""Breakers at work: hold a storm back, tell the sync's own service once, and carry out what a person decides."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from pd_sf_rules.errors import ConfigError, RetryableError
from pd_sf_rules.ledger import links, snapshots, storms
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.model import PAGERDUTY, Link
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.pull_pagerduty import INCIDENT, plain
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.breaker import hold_back, told
from pd_sf_rules.planning.echo import INCIDENT_KEY_PREFIX
from pd_sf_rules.planning.kinds import CREATE_INCIDENT
from pd_sf_rules.planning.values import digest
from pd_sf_rules.systems.pagerduty.actions import NewIncident, create_incident
from pd_sf_rules.systems.pagerduty.alerts import send_alert

_log = logging.getLogger(__name__)

Decision = Literal["Release", "Discard", "Release as one summary incident"]
RELEASE: Decision = "Release"
DISCARD: Decision = "Discard"
SUMMARY: Decision = "Release as one summary incident"

LISTED = 50
"""How many records a summary incident lists."""


@dataclass(frozen=True, slots=True)
class Storm:
    """What one breaker holds: `incidents` of its `actions` would create one. `why` is the breaker's own sentence.

    `key` names this one occurrence: the same until a person has decided.
    """

    name: str
    key: str
    why: str
    actions: Sequence[StoredAction]

    @property
    def incidents(self) -> int:
        """How many incidents it would create."""
        return sum(one.kind == CREATE_INCIDENT for one in self.actions)


def held_storms(run: Run) -> list[Storm]:
    """Return the storms that wait for a decision, the one held first before the others."""
    with run.ledger.read() as c:
        held = storms.held_actions(c, run.name)
    groups: dict[str, list[StoredAction]] = {}
    for one in sorted(held, key=lambda a: (a.updated_at, a.event_seq, a.position, a.id)):
        groups.setdefault(storms.storm_of(one), []).append(one)
    return [
        Storm(name, digest(run.name, name, some[0].id)[:16], some[0].message, some)
        for name, some in groups.items()
    ]


def new_storms(run: Run) -> list[Storm]:
    """Return the storms of which this run held something back."""
    return [one for one in held_storms(run) if any(a.run_id == run.id for a in one.actions)]


def through_the_breakers(run: Run, candidates: Sequence[StoredAction]) -> list[StoredAction]:
    """Return what may go out now; what a breaker stops is held in the ledger, and told once for each storm."""
    limits = run.integration.limits
    now = utc_now()
    with run.ledger.read() as c:
        lately = storms.went_out_lately(
            c,
            run.name,
            rule_since=now - timedelta(minutes=limits.incidents_per_rule.minutes),
            since=now - timedelta(minutes=limits.incidents.minutes),
            pair_since=now - timedelta(minutes=limits.actions_per_pair.minutes),
        )
    going, held = hold_back(candidates, limits, lately)
    if held:
        with run.ledger.begin() as c:
            known = {storms.storm_of(one) for one in storms.held_actions(c, run.name)}
            storms.hold(c, held, run_id=run.id)
        for storm, (count, why) in told(held).items():
            _log.error("%s: %d action(s) held. %s", storm, count, why)
            if storm not in known:
                _tell(run, storm, why)
    return going


def decide(run: Run, storm: str, decision: Decision, *, who: str) -> str:
    """Carry out what a person decided about a storm, and what follows of it; return one sentence about it.

    Raises ConfigError for a summary of a storm that holds no incident, and the errors of PagerDuty: the actions then
    stay held.
    """
    if decision == DISCARD:
        return f"{discard(run, storm, reason=f'by {who}')} action(s) discarded."
    if decision == RELEASE:
        return f"{release(run, storm)} action(s) released: they go out now, one by one."
    incident_id = release_as_summary(run, storm)
    if incident_id is None:
        raise ConfigError(
            f"Storm '{storm}' holds no incident to sum up.", hint="Release or discard it."
        )
    return f"Incident {incident_id} stands for all of them."


def release(run: Run, storm: str) -> int:
    """Let a storm's actions go out one by one at the next apply; return how many they are."""
    with run.ledger.begin() as c:
        decided = storms.approve(c, [one.id for one in storms.held_actions(c, run.name, storm)])
    _clear(run, storm)
    return len(decided)


def discard(run: Run, storm: str, *, reason: str) -> int:
    """Give a storm's actions up for good; return how many they were."""
    with run.ledger.begin() as c:
        ids = [one.id for one in storms.held_actions(c, run.name, storm)]
        decided = storms.discard(c, ids, reason=f"Discarded: {reason}")
    _clear(run, storm)
    return len(decided)


def release_as_summary(run: Run, storm: str) -> str | None:
    """Create one incident for all the incidents that a storm holds, linked to every record; return its id.

    None when the storm holds no incident. Raises the error of PagerDuty. The actions stay held until the incident
    is there, so that whatever happens meanwhile none goes out by itself; asking again finds the same incident.
    """
    held = _held_incidents(run, storm)
    if not held:
        return None
    incident_id = _summary_incident(run, storm, held)
    ids = {one.id for one in held}
    with run.ledger.begin() as c:
        for one in storms.held_actions(c, run.name, storm):
            if one.id in ids:
                link = Link(
                    run.name,
                    one.object or "",
                    one.record_id or "",
                    incident_id,
                    one.ruleset,
                    utc_now(),
                )
                links.add_link(c, link)
                outcomes.done(c, run, one, target=incident_id, message="released as one summary")
    if not _held_incidents(run, storm):
        _clear(run, storm)
    return incident_id


def _held_incidents(run: Run, storm: str) -> list[StoredAction]:
    with run.ledger.read() as c:
        held = storms.held_actions(c, run.name, storm)
    return [one for one in held if one.kind == CREATE_INCIDENT]


def _summary_incident(run: Run, storm: str, held: Sequence[StoredAction]) -> str:
    first = held[0]
    urls = [run.salesforce.record_url(one.object or "", one.record_id or "") for one in held]
    more = f"\n… and {len(urls) - LISTED} more" if len(urls) > LISTED else ""
    new = NewIncident(
        title=f"{len(held)} records match rule '{first.rule}' at once",
        service_id=run.lookups.service(str(first.params["service"])),
        incident_key=f"{INCIDENT_KEY_PREFIX}{run.name}-storm-{digest(storm, first.id)}",
        urgency=first.params.get("urgency"),
        details="\n".join(urls[:LISTED]) + more,
    )
    result = create_incident(run.pagerduty, new)
    if result.error is not None:
        raise result.error
    if result.values:
        with run.ledger.begin() as c:
            snapshots.merge_snapshot(
                c,
                run.name,
                PAGERDUTY,
                INCIDENT,
                str(result.id),
                plain(result.values),
                now=utc_now(),
            )
    return str(result.id)


def _tell(run: Run, storm: str, why: str) -> None:
    spec = run.connect(run.integration.pagerduty_conn_id)
    try:
        sent = send_alert(
            spec,
            "trigger",
            dedup_key=_alert_key(run, storm),
            summary=f"Sync '{run.name}' holds back a storm: {storm}",
            details={"why": why, "decide": "Airflow: Required Actions, or `pdsf errors`"},
        )
    except RetryableError as error:
        _log.error("%s", error)
        return
    if not sent:
        _log.warning("No routing_key in '%s': nobody is paged about the storm.", spec.conn_id)


def _clear(run: Run, storm: str) -> None:
    try:
        spec = run.connect(run.integration.pagerduty_conn_id)
        send_alert(spec, "resolve", dedup_key=_alert_key(run, storm))
    except RetryableError as error:
        _log.error("%s", error)


def _alert_key(run: Run, storm: str) -> str:
    return f"pdsf/{run.name}/storm/{storm}"[:255]
