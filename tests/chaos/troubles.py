"""Random faults of the network, the servers, the org and the log; and calm."""

from random import Random

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
)
LOST = ("timeout_after", "reset_after", "malformed_json")
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
    once = kinds == ("unauthorized",)
    members = {
        "system": rng.choice(("salesforce", "pagerduty", None)),
        "method": rng.choice(("POST|PUT|PATCH", "POST|PUT|PATCH", "GET", ".*")),
        "after": rng.randrange(6),
        "times": 1 if once else rng.choice((1, 2, 5, None)),
        "probability": 1.0 if once else rng.choice((0.15, 0.5, 1.0)),
        "seconds": 0.005,
        "status": rng.choice((500, 502, 503)),
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


def calm(sandbox: World) -> None:
    """Nothing goes wrong any more. Entries that are late stay late until their time comes."""
    sandbox.faults.clear()
    sandbox.salesforce.faults.clear_refusals()
    sandbox.pagerduty.log_entry_faults = LogEntryFaults()
