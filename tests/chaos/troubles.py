"""Random faults of the network, the servers, the org and the log; and calm."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from pd_sf_rules.ledger import Ledger
from sandbox.habits import ERRORS, STAMPS
from sandbox.pagerduty.state import LogEntryFaults
from sandbox.salesforce.planned import Refusal
from sandbox.world import World

TRANSPORT = (
    "rate_limited",
    "server_error",
    "html",
    "timeout_before",
    "timeout_after",
    "reset_before",
    "reset_after",
    "malformed_json",
    "html_done",
    "empty_done",
    "cut_off",
    "request_limit",
    "row_locked",
)
LOST = ("timeout_after", "reset_after", "malformed_json", "html_done", "empty_done", "cut_off")
LOCKED = "unable to obtain exclusive access to this record"


def plan(sandbox: World, rng: Random, story: list[str]) -> None:
    """Replace the faults in force by some others, or by none."""
    sandbox.faults.clear(seed=rng.randrange(1 << 30))
    story += [f"    fault: {_transport(sandbox, rng)}" for _ in range(rng.choice((0, 1, 1, 2)))]
    if rng.random() < 0.25:
        story.append(f"    refusal: {_refusal(sandbox, rng)}")
    if rng.random() < 0.3:
        faults = LogEntryFaults(
            duplicate=rng.choice((0.0, 0.5)),
            late=rng.choice((0.0, 0.0, 0.4)),
            late_seconds=rng.choice((3.0, 40.0)),
            shuffle=rng.choice((0.0, 0.5)),
            seed=rng.randrange(1 << 30),
        )
        sandbox.pagerduty.log_entry_faults = faults
        story.append(f"    log: {faults}")
    if rng.random() < 0.05:
        sandbox.salesforce.faults.kill_sessions()
        story.append("    fault: every Salesforce session ends")


def _transport(sandbox: World, rng: Random) -> str:
    kinds = rng.choice((TRANSPORT, LOST, LOST, (rng.choice(TRANSPORT),), ("unauthorized",)))
    refused = kinds == ("unauthorized",)
    members = {
        "system": rng.choice(("salesforce", "pagerduty", None)),
        "method": rng.choice(("POST|PUT|PATCH", "POST|PUT|PATCH", "GET", ".*")),
        "after": rng.randrange(6),
        # Refused once, or until somebody mends the connection.
        "times": rng.choice((1, None)) if refused else rng.choice((1, 2, 5, None)),
        "probability": 1.0 if refused else rng.choice((0.15, 0.5, 1.0)),
        "seconds": 0.005,
        "status": rng.choice((403, 404, 503))
        if kinds == ("html",)
        else rng.choice((500, 502, 503)),
        "headers": rng.random() < 0.7,
        "reset_seconds": rng.choice((1, 3)),
    }
    sandbox.faults.plan(kinds, **members)
    return f"{'/'.join(kinds)} {members}"


def _refusal(sandbox: World, rng: Random) -> str:
    operation = rng.choice(("create", "update", None))
    position = rng.choice((None, 0, 1))
    refusal = Refusal(
        code="UNABLE_TO_LOCK_ROW",
        message=LOCKED,
        times=rng.choice((1, 3)),
        operation=operation,
        position=position,
    )
    sandbox.salesforce.faults.refuse(refusal)
    return str(refusal)


def habits(sandbox: World, rng: Random) -> dict[str, Any]:
    """Let the servers speak in some way that their contracts allow; return which."""
    chosen: dict[str, Any] = {
        "date": rng.choice(("own", "own", "none")),
        "limits": rng.random() < 0.7,
        "stamps": rng.choice(STAMPS),
        "errors": rng.choice(ERRORS),
        "more": rng.random() < 0.8,
        "total": rng.random() < 0.8,
        "page": rng.choice((7, 25, 100)),
        "included": rng.random() < 0.8,
    }
    sandbox.habits.set(chosen)
    return chosen


@contextmanager
def ledger_locked(ledger: Ledger) -> Iterator[None]:
    """Another program holds the ledger's file for longer than anybody waits for it."""
    path = str(ledger._writer.url.database)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def calm(sandbox: World) -> None:
    """Nothing goes wrong any more. Entries that are late stay late until their time comes."""
    sandbox.faults.clear()
    sandbox.salesforce.faults.clear_refusals()
    sandbox.pagerduty.log_entry_faults = LogEntryFaults()
