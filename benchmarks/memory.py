"""How memory and time grow with what changed: one pass of `pdsf sync` over N Cases, against one over 2,000.

`python -m benchmarks.memory [N]` (default 20,000; 200,000 takes some minutes). The simulated services run in this
process, each pass in one of its own, so that its peak is its own. One Case in fifty matches the rule.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.here import ESCALATE, home_of
from benchmarks.table import Line, show
from sandbox.running import running_sandbox

FEW, MANY = 2_000, 20_000
PASS = """
import sys
from pathlib import Path
from pd_sf_rules.cli.main import main
code = main(["sync", "--direction", "salesforce", "--json"])
# Not getrusage: its peak counts what the process that forked this one held.
told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
sys.stderr.write(f"\\npeak {told['VmHWM'].split()[0]}\\n")
sys.exit(code)
"""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over `cases`: its peak in MB, and its seconds."""

    cases: int
    peak: float
    seconds: float


def measure(many: int = MANY) -> list[Line]:
    """Return the peak of a pass over that many changed Cases and its time for each, beside a pass over 2,000."""
    few, lots = _measured(FEW), _measured(many)
    group = f"a pass over {many:,} changed Cases, and times one over {FEW:,}"
    each, before = (one.seconds / one.cases * 1e6 for one in (lots, few))
    return [
        Line(group, "peak of its memory", lots.peak, lots.peak / few.peak, "MB"),
        Line(group, "its time for each of them", each, each / before),
    ]


def _measured(cases: int) -> Pass:
    with running_sandbox() as world, home_of(world, ESCALATE):
        _sync()
        fields = {"Status": "New", "Origin": "Web"}
        for number in range(cases):
            priority = "High" if number % 50 == 0 else "Low"
            world.salesforce.create(
                "Case", {**fields, "Subject": f"Case {number}", "Priority": priority}
            )
        started = time.perf_counter()
        peak = _sync()
        return Pass(cases, peak, time.perf_counter() - started)


def _sync() -> float:
    """One pass in a process of its own; its peak in MB."""
    plugins = Path(__file__).resolve().parents[1] / "plugins"
    done = subprocess.run(
        [sys.executable, "-c", PASS],
        env={**os.environ, "PYTHONPATH": str(plugins)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return int(done.stderr.rpartition("peak ")[2]) / 1024


if __name__ == "__main__":
    show("Memory", measure(int(sys.argv[1]) if len(sys.argv) > 1 else MANY))
