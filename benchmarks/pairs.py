"""Linked pairs at scale: what a reconciliation, a repair and a rebuild of lost links cost.

`python -m benchmarks.pairs [N]` (default 500), each figure beside the same with a tenth of it. Both services are
simulated on loopback; the ledger is a SQLite file.
"""

import sys
from typing import Any

from benchmarks.here import home_of
from benchmarks.storm import CASE, RULES, Cost, cost, lines
from benchmarks.table import Line, show
from pd_sf_rules.pipeline.reconcile import reconcile
from pd_sf_rules.pipeline.relink import find_links, write_links
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.pipeline.sync import sync
from sandbox.running import running_sandbox

MANY = 500
MAX_CALLS = 10_000
SETTINGS = """
name: default
limits: { incidents_per_rule: { count: 0, minutes: 10 }, incidents: { count: 0, minutes: 10 } }
"""


def measure(many: int = MANY) -> list[Line]:
    """Return milliseconds and calls of each step with that many pairs, beside those with a tenth."""
    few = played(many // 10)
    lots = played(many)
    return lines(f"{many:,} linked pairs, and times {many // 10:,} of them", few, lots)


def played(number: int) -> dict[str, Cost]:
    """Link that many pairs, change a twentieth of the records behind the sync's back, and lose the links."""
    with running_sandbox() as world, home_of(world, RULES, SETTINGS) as home:
        world.pagerduty.limits.per_minute = 0
        cost(world, lambda run: sync(run, "salesforce"))
        cases = [world.salesforce.create("Case", CASE) for _ in range(number)]
        found = {"paging": cost(world, lambda run: sync(run, "salesforce"))}
        cost(world, lambda run: sync(run, "pagerduty"))
        found["reconcile"] = cost(world, lambda run: _complete(run, number))
        for case_id in cases[:: max(number // 20, 1)]:
            world.salesforce.update(case_id, {"Priority": "Low"})
        found["reconcile and repair"] = cost(world, lambda run: _complete(run, number, repair=True))
        lost = f"sqlite:///{home}/lost.db"
        found["rebuild lost links"] = cost(world, lambda run: _rebuilt(run, number), lost)
        return found


def _complete(run: Run, number: int, *, repair: bool = False) -> None:
    report: dict[str, Any] = reconcile(run, repair=repair, max_calls=MAX_CALLS)
    if not report["complete"] or report["counts"]["pairs"] != number:
        raise RuntimeError(f"not all pairs were compared: {report['counts']}")


def _rebuilt(run: Run, number: int) -> None:
    made = write_links(run, find_links(run))
    if made != number:
        raise RuntimeError(f"{made} of {number} links were found")


if __name__ == "__main__":
    show("Pairs", measure(int(sys.argv[1]) if sys.argv[1:] else MANY))
