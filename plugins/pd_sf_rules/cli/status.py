"""Connections (tried now), how far each side was read, what waits, quota, rulesets in force or broken.

Examples:
  pdsf status
  pdsf status --doctor        also: the ledger's soundness, clocks, lag, every rule against the accounts
  pdsf status --json

Exit codes: 0 everything holds; 3 a connection, a ruleset or a check does not, or actions failed;
1 status could not be told at all.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pd_sf_rules.cli.connecting import open_ledger_here
from pd_sf_rules.cli.printing import clock, indent, print_json, seconds, show, table

if TYPE_CHECKING:
    from pd_sf_rules.ledger.backlog import Queue
    from pd_sf_rules.pipeline.checks import Check
    from pd_sf_rules.pipeline.status import IntegrationState, Status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--integration", metavar="N", help="only this one (default: all)")
    parser.add_argument("--doctor", action="store_true", help="check more deeply")


def run(options: argparse.Namespace) -> int:
    """Tell the status; return 3 when something does not hold, else 0."""
    from pd_sf_rules.cli.connecting import connect  # noqa: PLC0415
    from pd_sf_rules.pipeline.doctor import checks  # noqa: PLC0415 - database imports are slow
    from pd_sf_rules.pipeline.status import status  # noqa: PLC0415
    from pd_sf_rules.settings import load_integration, usable_integrations  # noqa: PLC0415

    usable, broken = usable_integrations()
    wanted = list(usable.values())
    if options.integration:
        wanted, broken = [load_integration(options.integration)], []
    ledger = open_ledger_here()
    try:
        found = status(ledger, wanted, connect)
        found = replace(found, problems=[*map(str, broken), *found.problems])
        examined = checks(ledger, wanted, connect, found) if options.doctor else []
    finally:
        ledger.close()
    if options.json:
        print_json(_as_json(found, examined))
    else:
        show("\n".join(_told(found, examined)))
    return 3 if found.problems or not all(check.ok for check in examined) else 0


def _as_json(found: "Status", examined: Sequence["Check"]) -> dict[str, Any]:
    return {
        "ok": not found.problems and all(check.ok for check in examined),
        "problems": found.problems,
        "ledger": {"database": found.ledger, "revision": found.revision},
        "integrations": [_integration_json(one) for one in found.integrations],
        "rulesets": found.rulesets,
        **({"checks": examined} if examined else {}),
    }


def _integration_json(state: "IntegrationState") -> dict[str, Any]:
    return {
        "name": state.name,
        "paused": state.paused,
        "pauses": state.pauses,
        "connections": state.connections,
        "streams": state.streams,
        "queue": {
            "pending_events": state.queue.pending_events,
            "oldest_event": state.queue.oldest_event,
            **{name: state.queue.count(name) for name in ("pending", "claimed", "failed")},
            "oldest_action": state.queue.oldest_action,
        },
        "missing_fields": state.missing,
        "without_incident_id": state.without_incident_id,
        "runs": [
            {
                "run_id": one.run_id,
                "direction": one.direction,
                "started_at": one.started_at,
                "finished_at": one.finished_at,
                "counts": one.lineage.get("counts", {}),
            }
            for one in state.runs
        ],
    }


def _told(found: "Status", examined: Sequence["Check"]) -> Iterator[str]:
    from pd_sf_rules.pipeline.incident_ids import without_field  # noqa: PLC0415
    from pd_sf_rules.pipeline.pausing import told  # noqa: PLC0415 - database imports are slow

    yield f"Ledger {found.ledger}, revision {found.revision}"
    for state in found.integrations:
        yield ""
        yield f"Integration {state.name}" + (" (paused: its actions queue)" if state.paused else "")
        yield from _connections_told(state)
        yield _streams_table(state)
        yield f"  queue: {_queue_told(state.queue)}"
        yield from (f"  {told(one)}" for one in state.pauses)
        yield from (f"  {without_field(one)}" for one in state.without_incident_id)
        yield from _runs_told(state)
    yield ""
    rows = [
        (
            one.name,
            ", ".join(filter(None, (one.state, one.switched))),
            one.rules,
            one.version,
            one.path,
        )
        for one in found.rulesets
    ]
    yield table(("ruleset", "state", "rules", "version", "file"), rows, widest=100)
    for check in examined:
        mark = "BROKEN" if not check.ok else "LOOK  " if check.warning else "ok    "
        yield f"{mark} {check.name}: {check.said}"
    if found.problems:
        yield ""
        yield f"{len(found.problems)} problem(s):"
        yield from (f"  {one}" for one in found.problems)


def _streams_table(state: "IntegrationState") -> str:
    rows = [(one.stream, one.position, seconds(one.lag)) for one in state.streams]
    return indent(table(("stream", "read up to", "lag"), rows), 2)


def _connections_told(state: "IntegrationState") -> Iterator[str]:
    for one in state.connections:
        word = "ok    " if one.ok else "BROKEN"
        quota = ""
        if one.usage is not None and one.usage.allowed and "used" not in one.said:
            quota = f" Quota: {one.usage.used} of {one.usage.allowed} used."
        yield f"  {word} {one.conn_id} ({one.seconds:.2f} s): {one.said}{quota}"


def _queue_told(queue: "Queue") -> str:
    if not queue.pending_events and not queue.actions:
        return "empty"
    counts = [f"{queue.count(name)} {name}" for name in ("pending", "claimed", "failed")]
    oldest = min(filter(None, (queue.oldest_event, queue.oldest_action)), default=None)
    return f"{queue.pending_events} events to judge; actions: {', '.join(counts)}; oldest {clock(oldest)}"


def _runs_told(state: "IntegrationState") -> Iterator[str]:
    if not state.runs:
        yield "  no run yet"
        return
    rows = []
    for one in state.runs:
        counts = one.lineage.get("counts", {})
        told = [counts.get(name, 0) for name in ("pulled", "applied", "skipped", "failed")]
        rows.append((one.started_at, one.direction, *told, one.run_id))
    headings = ("last runs", "direction", "pulled", "applied", "skipped", "failed", "run")
    yield indent(table(headings, rows), 2)
