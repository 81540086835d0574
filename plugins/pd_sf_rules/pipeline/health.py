"""Is the sync well? Every finding is one sentence that says what is wrong and what to do."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import Ledger, pauses
from pd_sf_rules.ledger.backlog import Waits, waits_of
from pd_sf_rules.pipeline.budgets import budgets, shed
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.outcomes import UNLINKED
from pd_sf_rules.pipeline.pausing import told
from pd_sf_rules.pipeline.pull_notes import COMMENT_STREAM, NOTE_STREAM
from pd_sf_rules.pipeline.pull_pagerduty import STREAM
from pd_sf_rules.pipeline.pull_salesforce import stream
from pd_sf_rules.pipeline.references import dangling_references
from pd_sf_rules.pipeline.run import Connect, utc_now
from pd_sf_rules.pipeline.signals import unheard
from pd_sf_rules.pipeline.status import (
    IntegrationState,
    late_streams,
    problems_of,
    ruleset_states,
    status,
)
from pd_sf_rules.pipeline.switching import load_switched
from pd_sf_rules.settings import Integration, usable_integrations

WAITS_LONG = timedelta(minutes=15)
"""How old an action or an event may be that nothing holds back: the clock alone starts a run this often."""


@dataclass(frozen=True, slots=True)
class Health:
    """`findings` are sentences, none when all is well; `figures` as JSON: lag, queue, budgets, pauses."""

    integration: str
    findings: Sequence[str]
    figures: dict[str, Any]


def health(ledger: Ledger, integration: Integration, connect: Connect) -> Health:
    """Look at one integration. Both services are asked a few cheap questions; nothing of theirs is changed.

    Raises the errors of the ledger, without which nothing can be told.
    """
    found = status(ledger, [integration], connect)
    state = _clocks_apart(found.integrations[0])
    with ledger.read() as c:
        resting = pauses.pauses_of(c, integration.name)
        allowances = budgets(c, integration.name)
        free = _free(c, integration, {one.ruleset for one in resting})
    short = shed(ledger, integration)
    findings = [
        *problems_of(state),
        *_files(ledger, integration),
        *_lag(_expected(ledger, state, integration, notes=not short)),
        *_old(state, free),
        *([short] if short else []),
        *unheard(ledger, integration),
        *_dangling(ledger, integration, connect, state),
    ]
    figures = {
        "lag_seconds": {one.stream: round(one.lag) for one in state.streams},
        "pending_events": state.queue.pending_events,
        "actions": {name: state.queue.count(name) for name in ("pending", "claimed", "failed")},
        "oldest_waiting_seconds": round(_age(free)),
        "budgets": {one.system: {"used": one.used, "allowed": one.allowed} for one in allowances},
        "pauses": [told(one) for one in resting],
    }
    return Health(integration.name, findings, figures)


def _clocks_apart(state: IntegrationState) -> IntegrationState:
    """Measure the lag by the clock of the service that a stream reads, which may differ from this machine's.

    A stream whose service cannot be reached is left out: that is said already.
    """
    skews = {one.system: one.skew or 0.0 for one in state.connections if one.ok}
    read = [(one, _system_of(one.stream)) for one in state.streams]
    streams = [
        replace(one, lag=max(one.lag + skews[system], 0.0))
        for one, system in read
        if system in skews
    ]
    return replace(state, streams=streams)


def _system_of(stream: str) -> str:
    return (
        "salesforce"
        if stream == COMMENT_STREAM or stream.startswith("salesforce:")
        else "pagerduty"
    )


def _expected(
    ledger: Ledger, state: IntegrationState, integration: Integration, *, notes: bool
) -> IntegrationState:
    """Keep the streams that somebody still is to read: objects that rules watch, and texts that cross."""
    rulesets, _ = load_switched(ledger)
    wanted = {STREAM} | {
        stream(rule.object)
        for ruleset in rulesets
        if ruleset.enabled and ruleset.integration == integration.name
        for rule in ruleset.rules
        if rule.run_on == "salesforce"
    }
    if notes and integration.comments.salesforce_to_pagerduty:
        wanted.add(COMMENT_STREAM)
    if notes and integration.comments.pagerduty_to_salesforce:
        wanted.add(NOTE_STREAM)
    return replace(state, streams=[one for one in state.streams if one.stream in wanted])


def _lag(state: IntegrationState) -> Iterator[str]:
    for said in late_streams(state):
        yield f"{said} Is the scheduler running, and the DAG on?"


def _files(ledger: Ledger, integration: Integration) -> Iterator[str]:
    usable, broken = usable_integrations()
    for error in broken:
        yield f"Integration file {error} Its DAGs are gone from Airflow until it is mended."
    for one in ruleset_states(ledger, set(usable)):
        if one.said and one.integration in {"", integration.name}:
            yield f"{one.path} ({one.state}): {one.said}"


def _free(c: Connection, integration: Integration, paused: Collection[str]) -> Waits:
    """Count what waits neither because somebody wants it to, nor for its pair."""
    if integration.paused or pauses.EVERYTHING in paused:
        return Waits(0, None, "")
    return waits_of(c, integration.name, but={UNLINKED}, paused=paused)


def _old(state: IntegrationState, free: Waits) -> Iterator[str]:
    age = _age(free)
    if age > WAITS_LONG.total_seconds():
        minutes = round(age / 60)
        yield (
            f"{state.name}: {free.count} action(s) wait, the oldest for {minutes} minutes. "
            f"{free.message}"
        ).strip()
    since = state.queue.unjudged_since
    if since is not None and utc_now() - since > WAITS_LONG:
        yield (
            f"{state.name}: {state.queue.pending_events} event(s) have not been judged for "
            f"{(utc_now() - since).total_seconds() / 60:.0f} minutes: see the log of the evaluating task."
        )


def _age(free: Waits) -> float:
    """Return how many seconds the oldest of these actions has waited, 0 where there are none."""
    return 0.0 if free.oldest is None else (utc_now() - free.oldest).total_seconds()


def _dangling(
    ledger: Ledger, integration: Integration, connect: Connect, state: IntegrationState
) -> Iterator[str]:
    if not all(one.ok for one in state.connections):
        return  # that is said already
    with open_run(integration, ledger, connect=connect) as run:
        try:
            yield from dangling_references(run)
        except SyncError as error:
            yield f"{integration.name}: what rules name in PagerDuty cannot be looked up: {error}"
