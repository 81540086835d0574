"""How the ledger keeps its pace: every question of the sync and its pages, a pass and pruning, with a long past.

`python -m benchmarks.ledger [EVENTS] [postgresql]` (default 1,000,000) beside 20,000. The ledger is a SQLite file, or
in a PostgreSQL server started for it, whose binaries have to be installed; both services are simulated on loopback.
Ten million events take ten minutes and 9 GB (TMPDIR says where).
"""

import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime

from sqlalchemy import Connection

from benchmarks.here import ESCALATE, home_of
from benchmarks.ledger_past import YOUNG, Past, fill, later
from benchmarks.ledger_questions import HOT
from benchmarks.table import Line, show
from pd_sf_rules.ledger import Ledger, maintenance, open_ledger
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.sync import sync
from pd_sf_rules.settings import load_integration
from sandbox.postgres import FOR_MUCH, HOW_TO_GET, running_postgres, server_binaries
from sandbox.running import running_sandbox
from sandbox.world import World

SHORT, LONG = YOUNG, 1_000_000
SHARE = 7
"""One action, pair, record seen and run for so many events."""

OPEN = 40
"""Events that wait for their verdicts, and about as many failed actions, whatever the past."""

ROUNDS = 5
CHANGES = 200
SLOWEST = 8
PRUNED = 10_000


def measure(many: int = LONG, database: str = "sqlite") -> list[Line]:
    """Return the slowest questions, a pass, pruning and the size with that many events, each beside 20,000."""
    with ExitStack() as opened:
        empty = _on_postgresql(opened) if database == "postgresql" else _on_sqlite(opened)
        short, long = (_grown(empty(), number) for number in (SHORT, many))
        group = f"{many:,} events ({database}), and times the same with {SHORT:,}"
        return [
            *_questions(group, short, long),
            *_passes(group, short, long),
            *_sizes(group, short, long, many),
            *_pruning(short, long, many),
        ]


def _on_sqlite(opened: ExitStack) -> Callable[[], Ledger]:
    """Return what opens a new ledger in a file."""
    folder = opened.enter_context(tempfile.TemporaryDirectory())
    return lambda: _opened(f"sqlite:///{folder}/{uuid.uuid4().hex}.db", opened)


def _on_postgresql(opened: ExitStack) -> Callable[[], Ledger]:
    """Return what opens a new ledger in a server of its own, on disk."""
    binaries = server_binaries()
    if binaries is None:
        raise SystemExit(HOW_TO_GET)
    server = opened.enter_context(running_postgres(binaries, on_disk=True, settings=FOR_MUCH))
    return lambda: _opened(server.url(server.new_database()), opened)


def _opened(url: str, opened: ExitStack) -> Ledger:
    ledger = open_ledger(url)
    opened.callback(ledger.close)
    return ledger


def _grown(ledger: Ledger, number: int) -> Ledger:
    with ledger.begin() as c:
        fill(c, Past(number, SHARE, max(number // OPEN, 2)))
    return ledger


def _questions(group: str, short: Ledger, long: Ledger) -> list[Line]:
    """The questions that take longest with a long past, how much longer each takes, and what counts everything."""
    times = {name: (_asked(short, ask), _asked(long, ask)) for name, ask in HOT.items()}
    slowest = sorted(times, key=lambda name: -times[name][1])[:SLOWEST]
    lines = [
        Line(group, f"question: {name}", times[name][1], times[name][1] / times[name][0])
        for name in slowest
    ]
    long_sum, ratios = sum(b for _, b in times.values()), [b / a for a, b in times.values()]
    middle = f"all {len(times)} questions, and the median of their ratios"
    lines.append(Line(group, middle, long_sum, statistics.median(ratios)))
    counted = [_counted(one) for one in (short, long)]
    return [*lines, Line(group, "pdsf ledger stats", counted[1], counted[1] / counted[0], "ms")]


def _counted(ledger: Ledger) -> float:
    started = time.perf_counter()
    maintenance.stats(ledger)
    return (time.perf_counter() - started) * 1e3


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
    numbers = [int(one) for one in sys.argv[1:] if one.isdigit()]
    where = "postgresql" if "postgresql" in sys.argv[1:] else "sqlite"
    show("Ledger", measure(numbers[0] if numbers else LONG, where))
