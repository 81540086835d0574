"""How the sync is: both connections tried now, how far each stream was read, what waits, which rules are in force."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import Ledger, cursors, pauses, runs, switches
from pd_sf_rules.ledger import rulesets as versions
from pd_sf_rules.ledger.backlog import Queue, queue_of
from pd_sf_rules.ledger.pauses import Pause
from pd_sf_rules.ledger.storms import HELD
from pd_sf_rules.model import ApiUsage
from pd_sf_rules.pipeline.incident_ids import objects_without
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.run import Connect, Run, utc_now
from pd_sf_rules.pipeline.switching import load_switched, told
from pd_sf_rules.rules.diagnostics import Diagnostic
from pd_sf_rules.settings import Integration

InForce = Literal["in force", "shadow", "off", "last good version in force", "not in force"]
RUNS = 5
READ = ("salesforce:", "pagerduty:", "notes:")
DESCRIBED = "describe:"
LATE_AFTER = 20 * 60.0
"""Seconds after which a stream counts as late: every direction runs at least each quarter of an hour."""


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """One connection as it answered now: `said` is one sentence, and says what to mend where it is not `ok`.

    `skew` is how many seconds the server's clock is ahead of this machine's.
    """

    system: str
    conn_id: str
    ok: bool
    said: str
    seconds: float
    usage: ApiUsage | None = None
    skew: float | None = None


@dataclass(frozen=True, slots=True)
class StreamState:
    """How far one stream was read; `lag` is how many seconds ago that was."""

    stream: str
    position: datetime
    moved_at: datetime
    lag: float


@dataclass(frozen=True, slots=True)
class RulesetState:
    """One ruleset file: what of it is in force, the first thing wrong with it, and who switched it beside the file."""

    path: str
    name: str
    integration: str
    version: str
    rules: int
    state: InForce
    said: str = ""
    switched: str = ""


@dataclass(frozen=True, slots=True)
class IntegrationState:
    """One integration: its connections, streams, queue and last runs."""

    name: str
    paused: bool
    connections: Sequence[ConnectionState]
    streams: Sequence[StreamState]
    queue: Queue
    runs: Sequence[runs.Run]
    missing: Sequence[str]
    """Fields (`Case.Tier__c`) that rules name and the sync's user does not see."""
    pauses: Sequence[Pause]
    without_incident_id: Sequence[str] = ()
    """Objects of which records are created and that have no unique field for the incident's id."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one moment. `problems` are the checks that did not hold, a sentence each."""

    ledger: str
    revision: str | None
    integrations: Sequence[IntegrationState]
    rulesets: Sequence[RulesetState]
    problems: Sequence[str]


def status(ledger: Ledger, integrations: Iterable[Integration], connect: Connect) -> Status:
    """Look at everything. Both services are asked one cheap question each; of the ledger only their API usage moves."""
    states = [_integration(ledger, one, connect) for one in integrations]
    files = ruleset_states(ledger, {one.name for one in states})
    problems = [problem for one in states for problem in problems_of(one)]
    problems += [f"{one.path}: {one.said}" for one in files if one.said]
    return Status(ledger.name, ledger.revision(), states, files, problems)


def _integration(ledger: Ledger, integration: Integration, connect: Connect) -> IntegrationState:
    return state_of(ledger, integration, try_connections(ledger, integration, connect))


def try_connections(
    ledger: Ledger, integration: Integration, connect: Connect
) -> list[ConnectionState]:
    """Ask both services one cheap question; what they say of their allowances is kept in the ledger."""
    with open_run(integration, ledger, connect=connect) as run:
        return [_tried(run, "salesforce"), _tried(run, "pagerduty")]


def state_of(
    ledger: Ledger, integration: Integration, connections: Sequence[ConnectionState] = ()
) -> IntegrationState:
    """Return what the ledger tells of an integration; `connections` are what the services said just before."""
    now = utc_now()
    with ledger.read() as c:
        known = cursors.all_cursors(c, integration.name)
        queue = queue_of(c, integration.name)
        last = runs.recent_runs(c, integration=integration.name, limit=RUNS)
        paused = pauses.pauses_of(c, integration.name)
    return IntegrationState(
        name=integration.name,
        paused=integration.paused or any(one.ruleset == pauses.EVERYTHING for one in paused),
        connections=connections,
        streams=[_stream(one, now) for one in known if one.stream.startswith(READ)],
        queue=queue,
        runs=last,
        missing=[field for one in known for field in _missing(one)],
        pauses=paused,
        without_incident_id=objects_without(known),
    )


def _stream(cursor: cursors.Cursor, now: datetime) -> StreamState:
    lag = max((now - cursor.position).total_seconds(), 0.0)
    return StreamState(cursor.stream, cursor.position, cursor.moved_at, lag)


def _missing(cursor: cursors.Cursor) -> list[str]:
    if not cursor.stream.startswith(DESCRIBED):
        return []
    gone = set(cursor.extra.get("asked", ())) - set(cursor.extra.get("types", {}))
    return [f"{cursor.stream.removeprefix(DESCRIBED)}.{path}" for path in sorted(gone)]


def _tried(run: Run, system: Literal["salesforce", "pagerduty"]) -> ConnectionState:
    conn_id = getattr(run.integration, f"{system}_conn_id")
    started = time.perf_counter()
    try:
        client = run.salesforce if system == "salesforce" else run.pagerduty
        said = client.check()
        skew = (client.server_now() - utc_now()).total_seconds()
    except SyncError as error:
        return ConnectionState(system, conn_id, False, str(error), time.perf_counter() - started)
    taken = time.perf_counter() - started
    return ConnectionState(system, conn_id, True, said, taken, client.usage(), skew)


def problems_of(state: IntegrationState) -> Iterator[str]:
    """Yield a sentence for each connection, queue and field of an integration that is not as it should be."""
    for one in state.connections:
        if not one.ok:
            yield one.said
    held = state.queue.actions.get(("failed", HELD), 0)
    failed = state.queue.count("failed") - held
    if failed:
        yield f"{state.name}: {failed} action(s) failed for good. `pdsf errors` tells why."
    if state.missing:
        listed = ", ".join(state.missing)
        yield f"{state.name}: {listed} cannot be read by the sync's user: rules that name it rest."
    if held:
        yield f"{state.name}: a breaker holds {held} action(s). `pdsf errors` lists the storms."


def late_streams(state: IntegrationState) -> list[str]:
    """Return a sentence for each stream that nobody has read for longer than two runs take."""
    return [
        f"{state.name}: {one.stream} was read up to {one.lag / 60:.0f} minutes ago."
        for one in state.streams
        if one.lag > LATE_AFTER and not state.paused
    ]


def ruleset_states(ledger: Ledger, integrations: set[str]) -> list[RulesetState]:
    """Return every ruleset file and what of it is in force, in file-name order."""
    valid, diagnostics = load_switched(ledger)
    with ledger.read() as c:
        turned = switches.in_force(c)
    states = [
        RulesetState(
            path=one.path,
            name=one.name,
            integration=one.integration,
            version=one.version,
            rules=len(one.rules),
            state="off" if not one.enabled else "shadow" if one.mode == "shadow" else "in force",
            said=""
            if one.integration in integrations or not one.enabled
            else f"There is no integration '{one.integration}'.",
            switched=_switch_of(one.path, turned),
        )
        for one in valid
    ]
    loaded = {one.path for one in valid}
    broken: Mapping[str, Diagnostic] = {
        one.path: one
        for one in reversed(diagnostics)
        if one.severity == "error" and one.path not in loaded
    }
    for path, first in broken.items():
        with ledger.read() as c:
            last = versions.last_good(c, Path(path).name)
        said = f"line {first.line}: {first.message} {first.hint}".strip()
        state: InForce = "last good version in force" if last else "not in force"
        version, switched = last[0] if last else "", _switch_of(path, turned)
        states.append(RulesetState(path, "", "", version, 0, state, said, switched))
    return sorted(states, key=lambda one: one.path)


def _switch_of(path: str, turned: Mapping[str, switches.Switch]) -> str:
    switch = turned.get(Path(path).name)
    return told(switch) if switch is not None else ""
