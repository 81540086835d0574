"""A data load of thousands of Cases that all match a page-creating rule: what a pass costs while most are held.

`python -m benchmarks.storm [N] [release|discard]` (default 10,000, and one summary incident). Both
services are simulated on loopback; the ledger is a SQLite file.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pd_sf_rules.ledger import maintenance, open_ledger
from pd_sf_rules.pipeline import storms
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.sync import sync
from pd_sf_rules.settings import load_integration
from sandbox.running import running_sandbox
from sandbox.world import World

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


@contextmanager
def _home(world: World) -> Iterator[Path]:
    """A folder with one ruleset and one integration, named in the environment."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for folder in ("rulesets", "integrations"):
            (home / folder).mkdir()
        (home / "rulesets" / "a.yaml").write_text(RULES)
        (home / "integrations" / "default.yaml").write_text("name: default\n")
        os.environ |= {
            "PDSF_RULESETS_DIR": str(home / "rulesets"),
            "PDSF_INTEGRATIONS_DIR": str(home / "integrations"),
            "PDSF_LEDGER_URL": f"sqlite:///{home}/ledger.db",
            "AIRFLOW_HOME": str(home),
            **world.connections,
        }
        yield home


def _pass(world: World, what: str) -> dict[str, Any]:
    """One pass from Salesforce; what it took and did."""
    before = world.traffic.last_number()
    ledger = open_ledger(os.environ["PDSF_LEDGER_URL"])
    started, used = time.perf_counter(), time.process_time()
    with open_run(load_integration("default"), ledger) as run:
        told, error = sync(run, "salesforce")
    took = time.perf_counter() - started
    cpu = time.process_time() - used
    size = maintenance.stats(ledger)["bytes"]
    ledger.close()
    calls = world.traffic.requests(after=before)
    print(
        f"{what:<28} {took:8.2f} s  cpu {cpu:7.2f} s  {len(calls):6d} calls  ledger {size / 1e6:6.1f} MB  "
        f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:6.0f} MB  {json.dumps(told['counts'])} "
        f"{error or ''}",
        flush=True,
    )
    return told


CASE = {"Subject": "Database is down", "Priority": "High", "Status": "New", "Origin": "Web"}


def main(number: int, decision: storms.Decision) -> None:
    """Play the storm and print one line a pass."""
    with running_sandbox() as world, _home(world):
        _pass(world, "first look")
        for _ in range(number):
            world.salesforce.create("Case", CASE)
        _pass(world, f"{number} Cases at once")
        _pass(world, "nothing new")
        world.salesforce.create("Case", CASE)
        _pass(world, "one more")
        _decided(decision)
        _pass(world, f"after '{decision}'")
        _pass(world, "nothing new")


def _decided(decision: storms.Decision) -> None:
    ledger = open_ledger(os.environ["PDSF_LEDGER_URL"])
    with open_run(load_integration("default"), ledger) as run:
        started = time.perf_counter()
        (storm,) = storms.held_storms(run)
        took = time.perf_counter() - started
        print(f"held: {storm.incidents} incidents, {storm.held} actions, counted in {took:.3f} s")
        started = time.perf_counter()
        said = storms.decide(run, storm.name, decision, who="bench")
        print(f"{said} ({time.perf_counter() - started:.2f} s)", flush=True)
    ledger.close()


if __name__ == "__main__":
    chosen: storms.Decision = storms.SUMMARY
    if sys.argv[2:]:
        chosen = {"release": storms.RELEASE, "discard": storms.DISCARD}[sys.argv[2]]
    main(int(sys.argv[1]) if sys.argv[1:] else 10_000, chosen)
