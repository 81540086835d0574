"""How memory and time grow with what changed: one pass of `pdsf sync` over N Cases, against one over 2,000.

`python -m benchmarks.memory [N]` (default 200,000). The simulated services run in this process, each pass in one of
its own, so that its peak is its own. One Case in fifty matches the rule.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.running import running_sandbox
from sandbox.world import World

FEW = 2_000
RULES = """
version: 1
name: Memory
enabled: true
rules:
  - name: Page
    object: Case
    run_on: salesforce
    when: { field: Case.Priority, operation: equals, value: High }
    actions: [{ update_record: { fields: { Status: Escalated } } }]
"""
PASS = """
import resource, sys
from pd_sf_rules.cli.main import main
code = main(["sync", "--direction", "salesforce", "--json"])
sys.stderr.write(f"\\npeak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\\n")
sys.exit(code)
"""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over `cases`: its peak in MB, and its seconds."""

    cases: int
    peak: float
    seconds: float


def _environment(world: World, home: Path) -> dict[str, str]:
    for folder in ("rulesets", "integrations"):
        (home / folder).mkdir()
    (home / "rulesets" / "a.yaml").write_text(RULES)
    (home / "integrations" / "default.yaml").write_text("name: default\n")
    return {
        **os.environ,
        **world.connections,
        "PDSF_RULESETS_DIR": str(home / "rulesets"),
        "PDSF_INTEGRATIONS_DIR": str(home / "integrations"),
        "PDSF_LEDGER_URL": f"sqlite:///{home}/ledger.db",
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": str(Path(__file__).resolve().parents[1] / "plugins"),
    }


def _sync(environment: Mapping[str, str]) -> float:
    """One pass in a process of its own; its peak in MB."""
    done = subprocess.run(
        [sys.executable, "-c", PASS], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return int(done.stderr.rpartition("peak ")[2]) / 1024


def _measured(cases: int) -> Pass:
    with running_sandbox() as world, tempfile.TemporaryDirectory() as home:
        environment = _environment(world, Path(home))
        _sync(environment)
        fields = {"Status": "New", "Origin": "Web"}
        for number in range(cases):
            priority = "High" if number % 50 == 0 else "Low"
            world.salesforce.create(
                "Case", {**fields, "Subject": f"Case {number}", "Priority": priority}
            )
        started = time.perf_counter()
        peak = _sync(environment)
        return Pass(cases, peak, time.perf_counter() - started)


def main(many: int) -> None:
    """Measure both and print them with their ratios."""
    few, lots = _measured(FEW), _measured(many)
    for one in (few, lots):
        sys.stdout.write(f"{one.cases:>8} Cases  {one.peak:7.1f} MB  {one.seconds:8.2f} s\n")
    sys.stdout.write(
        f"memory x{lots.peak / few.peak:.2f}, time x{lots.seconds / few.seconds:.1f} "
        f"for x{many / FEW:.0f} changes\n"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
