"""`make bench`: print every figure as a ratio against something measured in the same run.

`make bench ARGS="rules pages"` measures only those.
"""

import importlib
import logging
import sys

from benchmarks.table import show

BENCHES = {
    "rules": "Rules: one event against all rules, and how many times ours fits into it",
    "pages": "Pages: from request to answer, on the server",
    "latency": "Waiting: from a change on one side to its effect on the other, through Airflow",
    "signals": "Signals: from a change in Salesforce to the trigger that waits for it",
    "outage": "Outages: a page of one pair of accounts while another pair hangs, in one Airflow",
    "memory": "Memory: what a pass takes, by how much changed",
    "ledger": "Ledger: questions, a pass and pruning, with a short and a long past",
    "storm": "Storms: a data load that all matches, held by a breaker",
    "pairs": "Pairs: drift, repair and lost links",
    "startup": "Starting up: a command, and the parsing of a DAG file",
    "calls": "API calls: of one pass, and how many times the fewest possible",
    "throughput": "Throughput: of what PagerDuty's limit allows, and beside a plain loop",
}
"""The module in this package, and the title above its figures, in the order in which they are measured."""


def main(names: list[str]) -> int:
    """Measure and print those of the names, all without any; 2 for a name that is not known."""
    unknown = set(names) - set(BENCHES)
    if unknown:
        sys.stderr.write(
            f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}\n"
        )
        return 2
    # Airflow, once imported, has every line of this process's log printed.
    logging.disable(logging.WARNING)
    for name in names or BENCHES:
        show(BENCHES[name], importlib.import_module(f"benchmarks.{name}").measure())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
