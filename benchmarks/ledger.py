"""How the ledger keeps its pace: every question of the sync and its pages, a pass and pruning, with a long past.

`python -m benchmarks.ledger [EVENTS]` (default 1,000,000) beside 20,000. The ledger is a SQLite file, both services are
simulated on loopback.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from benchmarks.here import ESCALATE, home_of
from benchmarks.table import Line, show
from pd_sf_rules.ledger import Ledger, maintenance, open_ledger
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.sync import sync
from pd_sf_rules.settings import load_integration
from sandbox.running import running_sandbox
from sandbox.world import World
from tests.integration.ledger_growth import YOUNG, Past, fill
from tests.integration.ledger_questions import HOT
from tests.integration.ledger_rows import later

SHORT, LONG = YOUNG, 1_000_000
SHARE = 7
"""One action, pair, record seen and run for so many events."""

OPEN = 40
"""Events that wait for their verdicts, and about as many failed actions, whatever the past."""

ROUNDS = 5
CHANGES = 200
SLOWEST = 8
PRUNED = 10_000


def measure(many: int = LONG) -> list[Line]:
    """Return the slowest questions, a pass, pruning and the size with that many events, each beside 20,000."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ledgers:
        short = _grown(Path(folder) / "short.db", SHORT, ledgers)
        long = _grown(Path(folder) / "long.db", many, ledgers)
        group = f"{many:,} events, and times the same with {SHORT:,}"
        return [
            *_questions(group, short, long),
            *_passes(group, short, long),
            *_sizes(group, short, long, many),
            *_pruning(short, long, many),
        ]


def _grown(path: Path, number: int, ledgers: ExitStack) -> Ledger:
    ledger = open_ledger(f"sqlite:///{path}")
    ledgers.callback(ledger.close)
    with ledger.begin() as c:
        fill(c, Past(number, SHARE, max(number // OPEN, 2)))
    return ledger


def _questions(group: str, short: Ledger, long: Ledger) -> list[Line]:
    """The questions that take longest with a long past, and the median of how much longer each takes."""
    times = {name: (_asked(short, ask), _asked(long, ask)) for name, ask in HOT.items()}
    slowest = sorted(times, key=lambda name: -times[name][1])[:SLOWEST]
    lines = [
        Line(group, f"question: {name}", times[name][1], times[name][1] / times[name][0])
        for name in slowest
    ]
    long_sum, ratios = sum(b for _, b in times.values()), [b / a for a, b in times.values()]
    middle = f"all {len(times)} questions, and the median of their ratios"
    return [*lines, Line(group, middle, long_sum, statistics.median(ratios))]


def _asked(ledger: Ledger, ask: Callable[[Connection], object]) -> float:
    """Microseconds of one question, the median of some; what it writes is undone."""
    taken = []
    with ledger.begin() as c:
        for _ in range(ROUNDS):
            savepoint = c.begin_nested()
            started = time.perf_counter()
            ask(c)
            taken.append(time.perf_counter() - started)
            savepoint.rollback()
    return statistics.median(taken) * 1e6


def _passes(group: str, short: Ledger, long: Ledger) -> list[Line]:
    """A pass over some changed Cases, half of which match."""
    before, after = _pass(short), _pass(long)
    return [Line(group, f"a pass over {CHANGES} changed Cases", after, after / before, "ms")]


def _pass(ledger: Ledger) -> float:
    with running_sandbox() as world, home_of(world, ESCALATE):
        _sync(ledger)
        for number in range(CHANGES):
            _case(world, number)
        started = time.perf_counter()
        _sync(ledger)
        return (time.perf_counter() - started) * 1e3


def _case(world: World, number: int) -> None:
    values = {"Subject": f"Case {number}", "Status": "New", "Origin": "Web"}
    world.salesforce.create("Case", {**values, "Priority": "High" if number % 2 else "Low"})


def _sync(ledger: Ledger) -> None:
    with open_run(load_integration("default"), ledger) as run:
        _, error = sync(run, "salesforce")
    if error is not None:
        raise error


def _sizes(group: str, short: Ledger, long: Ledger, many: int) -> list[Line]:
    small, large = (
        maintenance.stats(short)["bytes"] / SHORT,
        maintenance.stats(long)["bytes"] / many,
    )
    return [Line(group, "bytes of an event with what belongs to it", large, large / small, "bytes")]


def _pruning(short: Ledger, long: Ledger, many: int) -> list[Line]:
    """Forgetting the oldest events, beside the other writers whom it leaves as much time."""
    group = f"forgetting {PRUNED:,} events, and times the same with {SHORT:,}"
    before, after = _pruned(short, later(PRUNED)), _pruned(long, later(PRUNED + SHORT - many))
    return [Line(group, "an event, with as much rest for other writers", after, after / before)]


def _pruned(ledger: Ledger, before: datetime) -> float:
    """Microseconds for each event that goes."""
    started = time.perf_counter()
    gone = maintenance.prune(ledger, before=before)["events"]
    return (time.perf_counter() - started) / gone * 1e6


if __name__ == "__main__":
    show("Ledger", measure(int(sys.argv[1]) if sys.argv[1:] else LONG))
