"""A data load of Cases that all match a page-creating rule: what a pass costs while a breaker holds most of them.

`python -m benchmarks.storm [N]` (default 2,000), each figure beside the same with a tenth of it. Both services are
simulated on loopback; the ledger is a SQLite file.
"""

import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from benchmarks.here import home_of
from benchmarks.table import Line, show
from pd_sf_rules.ledger import open_ledger
from pd_sf_rules.pipeline import storms
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.pipeline.sync import sync
from pd_sf_rules.planning.decisions import SUMMARY
from pd_sf_rules.settings import load_integration
from sandbox.running import running_sandbox
from sandbox.world import World

MANY = 2_000
CASE = {"Subject": "Database is down", "Priority": "High", "Status": "New", "Origin": "Web"}
RULES = """
version: 1
name: Critical cases
enabled: true
rules:
  - name: Page
    object: Case
    run_on: salesforce
    when: { field: Case.Priority, operation: equals, value: High }
    actions:
      - create_incident: { service: Support P1, title: "{{ record.Subject }}" }
      - update_record: { fields: { Status: Escalated } }
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one step took: milliseconds, and calls to either service."""

    milliseconds: float
    calls: int


def measure(many: int = MANY) -> list[Line]:
    """Return milliseconds and calls of each step of a storm, beside those of a storm of a tenth."""
    few = played(many // 10)
    lots = played(many)
    group = f"{many:,} Cases that match at once, and times {many // 10:,} of them"
    return lines(group, few, lots)


def lines(group: str, few: dict[str, Cost], lots: dict[str, Cost]) -> list[Line]:
    """Return two lines for each step: its milliseconds and its calls."""
    found: list[Line] = []
    for step, cost in lots.items():
        less = few[step]
        ratio = cost.milliseconds / less.milliseconds
        found.append(Line(group, step, cost.milliseconds, ratio, "ms"))
        found.append(Line(group, step, cost.calls, cost.calls / max(less.calls, 1), "calls"))
    return found


def played(number: int) -> dict[str, Cost]:
    """Play a storm of that many Cases, and release it as one summary incident."""
    with running_sandbox() as world, home_of(world, RULES):
        cost(world, _sync)
        for _ in range(number):
            world.salesforce.create("Case", CASE)
        return {
            "the pass that meets them": cost(world, _sync),
            "a pass while they are held": cost(world, _sync),
            "what is held, counted": cost(world, _counted),
            "released as one summary": cost(world, _summary),
            "the pass that writes the records": cost(world, _sync),
        }


def cost(world: World, work: Callable[[Run], Any], ledger_url: str = "") -> Cost:
    """Do it in a run of its own, and return what it took."""
    before = world.traffic.last_number()
    with closing(open_ledger(ledger_url or os.environ["PDSF_LEDGER_URL"])) as ledger:
        started = time.perf_counter()
        with open_run(load_integration("default"), ledger) as run:
            work(run)
        taken = time.perf_counter() - started
    return Cost(taken * 1e3, len(world.traffic.requests(after=before)))


def _sync(run: Run) -> None:
    _, error = sync(run, "salesforce")
    if error is not None:
        raise error


def _counted(run: Run) -> None:
    (storm,) = storms.held_storms(run)
    if not storm.incidents:
        raise RuntimeError(f"nothing is held: {storm}")


def _summary(run: Run) -> None:
    (storm,) = storms.held_storms(run)
    storms.decide(run, storm.name, SUMMARY, who="bench")


if __name__ == "__main__":
    show("Storms", measure(int(sys.argv[1]) if sys.argv[1:] else MANY))
