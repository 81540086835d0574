"""`make bench`: print every figure as a ratio against something measured in the same run."""

import sys

from benchmarks import pages, rules
from benchmarks.engines import peers
from benchmarks.table import show


def main() -> int:
    """Measure and print; 0 when all contenders gave the same answers."""
    missing = {"zen", "cel", "rule_engine", "datalogic_py"} - set(peers())
    show(
        "Rules: one event against all rules, and how many times ours fits into it", rules.measure()
    )
    show("Pages: from request to answer, on the server", pages.measure())
    if missing:
        sys.stdout.write(f"\nNot installed, so not measured: {', '.join(sorted(missing))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
