"""Linked pairs at scale: what a reconciliation, and a rebuild of lost links, cost in calls and seconds.

`python -m benchmarks.pairs [N]` (default 2,000). Both services are simulated on loopback; the ledger is a SQLite file.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.storm import CASE, _home
from pd_sf_rules.ledger import open_ledger
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.reconcile import reconcile
from pd_sf_rules.pipeline.relink import find_links, write_links
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.pipeline.sync import sync
from pd_sf_rules.settings import load_integration
from sandbox.running import running_sandbox
from sandbox.world import World

SETTINGS = """
name: default
limits: { incidents_per_rule: { count: 0, minutes: 10 }, incidents: { count: 0, minutes: 10 } }
"""


def _timed(world: World, what: str, work: Callable[[Run], Any], ledger_url: str = "") -> Any:
    before = world.traffic.last_number()
    ledger = open_ledger(ledger_url or os.environ["PDSF_LEDGER_URL"])
    started = time.perf_counter()
    with open_run(load_integration("default"), ledger) as run:
        told = work(run)
    took = time.perf_counter() - started
    ledger.close()
    calls = Counter(f"{one.system} {one.method}" for one in world.traffic.requests(after=before))
    print(f"{what:<28} {took:8.2f} s  {sum(calls.values()):5d} calls {dict(calls)}", flush=True)
    return told


def main(number: int) -> None:
    """Link that many pairs, and print one line for each thing done with them."""
    with running_sandbox() as world, _home(world) as home:
        (home / "integrations" / "default.yaml").write_text(SETTINGS)
        world.pagerduty.limits.per_minute = 0
        _timed(world, "first look", lambda run: sync(run, "salesforce"))
        cases = [world.salesforce.create("Case", CASE) for _ in range(number)]
        _timed(world, f"{number} pages", lambda run: sync(run, "salesforce"))
        _timed(world, "their log", lambda run: sync(run, "pagerduty"))
        report = _timed(world, "reconcile", lambda run: reconcile(run, max_calls=10_000))
        print("  ", report["counts"], "complete:", report["complete"])
        for case_id in cases[:: max(number // 20, 1)]:
            world.salesforce.update(case_id, {"Priority": "Low"})
        for what in ("repair", "repair again"):
            work = lambda run: reconcile(run, repair=True, max_calls=10_000)  # noqa: E731
            report = _timed(world, what, work)
            print("  ", report["counts"], "complete:", report["complete"])
        lost = f"sqlite:///{home}/lost.db"
        found = _timed(world, "find lost links", find_links, lost)
        made = _timed(world, "write them", lambda run: write_links(run, found), lost)
        print("  ", made, "links")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 2_000)
