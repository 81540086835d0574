"""Breakers at work: hold a storm back, tell the sync's own service once, and carry out what a person decides."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection

from pd_sf_rules.errors import ConfigError, RetryableError
from pd_sf_rules.ledger import Ledger, storms
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.ledger.storms import StoredStorm
from pd_sf_rules.pipeline import summary
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.breaker import Candidate, hold_back, moment_of, told
from pd_sf_rules.planning.decisions import DISCARD, RELEASE, Decision
from pd_sf_rules.settings import Limits
from pd_sf_rules.systems.pagerduty.alerts import AlertAction, send_alert

_log = logging.getLogger(__name__)

BATCH = 1000
"""Most actions that one transaction decides about, so that other writers never wait long."""

C = TypeVar("C", bound=Candidate)


@dataclass(frozen=True, slots=True)
class Storm:
    """What one breaker holds: `held` actions, `incidents` of which would create one. `why` is the breaker's sentence.

    `key` names this one occurrence: the same until a person has decided.
    """

    name: str
    key: str
    why: str
    held: int
    incidents: int
    integration: str = ""
    ledger: Ledger | None = field(default=None, repr=False, compare=False)

    @property
    def actions(self) -> list[StoredAction]:
        """All it holds, read anew each time: thousands, perhaps. See `first`."""
        return self.first(None)

    def first(self, limit: int | None) -> list[StoredAction]:
        """Return the first actions it holds, oldest event first."""
        if self.ledger is None:
            return []
        with self.ledger.read() as c:
            return storms.held_actions(c, self.integration, self.name, limit=limit)


def held_storms(run: Run) -> list[Storm]:
    """Return the storms that wait for a decision, the one held first before the others."""
    with run.ledger.read() as c:
        known = [one for one in storms.stored_storms(c, run.name) if one.decided_at is None]
        counts = storms.held_counts(c, run.name) if known else {}
    return [
        Storm(one.storm, one.occurrence, one.why, *counts[one.storm], run.name, run.ledger)
        for one in known
        if one.storm in counts
    ]


def through_the_breakers(run: Run, candidates: Sequence[C]) -> list[C]:
    """Return what may go out now; what a breaker stops is held in the ledger, with the rest of its rule."""
    asked = [one for one in candidates if one.storm is None]
    if not asked:
        return list(candidates)
    limits = run.integration.limits
    now = utc_now()
    oldest = min(moment_of(one.event_occurred_at, now) for one in asked)
    with run.ledger.read() as c:
        lately = storms.went_out_lately(
            c,
            run.name,
            since=oldest - _longest(limits),
            records={one.record_id for one in asked if one.record_id},
            incidents={one.incident_id for one in asked if one.incident_id},
        )
    going, held = hold_back(candidates, limits, lately, now)
    if held:
        with run.ledger.begin() as c:
            storms.hold(c, run.name, held, run_id=run.id)
        for storm, (count, why) in told(held).items():
            _log.error("%s: %d action(s) held. %s", storm, count, why)
    return going


def _longest(limits: Limits) -> timedelta:
    breakers = (limits.incidents_per_rule, limits.incidents, limits.actions_per_pair)
    return timedelta(minutes=max(one.minutes for one in breakers))


def tell_of_storms(run: Run) -> None:
    """Raise the alert of each storm that PagerDuty does not know of, and clear those that were decided.

    Every pass asks this, so that an alert that could not be sent, or a process that died before it, is made up for.
    """
    with run.ledger.read() as c:
        known = storms.stored_storms(c, run.name)
    for one in known:
        if one.decided_at is not None:
            _clear(run, one)
        elif one.told_at is None and _sent(run, "trigger", one):
            with run.ledger.begin() as c:
                storms.mark_told(c, one)


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
    return _settle(run, storm, storms.approve)


def discard(run: Run, storm: str, *, reason: str) -> int:
    """Give a storm's actions up for good, what their rules do afterwards included; return how many they were."""
    return _settle(run, storm, lambda c, ids: storms.discard(c, ids, reason=f"Discarded: {reason}"))


def release_as_summary(run: Run, storm: str) -> str | None:
    """Create one incident for all the incidents that a storm holds (see summary.py), and clear its alert."""
    incident_id = summary.make_summary(run, storm)
    if incident_id is not None:
        _decided(run, storm)
    return incident_id


def _settle(run: Run, storm: str, decide: Callable[[Connection, Iterable[str]], set[str]]) -> int:
    settled = 0
    while True:
        with run.ledger.begin() as c:
            held = storms.held_ids(c, run.name, storm, limit=BATCH)
            settled += len(decide(c, held))
        if len(held) < BATCH:
            break
    _decided(run, storm)
    return settled


def _decided(run: Run, storm: str) -> None:
    with run.ledger.begin() as c:
        storms.mark_decided(c, run.name, storm)
    tell_of_storms(run)


def _clear(run: Run, one: StoredStorm) -> None:
    if one.told_at is None or _sent(run, "resolve", one):
        with run.ledger.begin() as c:
            storms.forget_storm(c, one)


def _sent(run: Run, what: AlertAction, one: StoredStorm) -> bool:
    """Send an alert about a storm; False when it is to be sent again later."""
    spec = run.connect(run.integration.pagerduty_conn_id)
    text, details = "", {}
    if what == "trigger":
        text = f"Sync '{run.name}' holds back a storm: {one.storm}"
        details = {"why": one.why, "decide": "Airflow: Required Actions, or `pdsf errors`"}
    key = f"pdsf/{run.name}/storm/{one.storm}"[:255]
    try:
        if not send_alert(spec, what, dedup_key=key, summary=text, details=details, once=True):
            _log.warning("No routing_key in '%s': nobody is paged about the storm.", spec.conn_id)
    except RetryableError as error:
        _log.error("%s", error)
        return False
    return True
