"""One pass of the same pipeline without Airflow: pull, evaluate, apply, tell, commit.

Examples:
  pdsf sync
  pdsf sync --integration emea --direction salesforce --json

Exit codes: 0 done; 3 done, but an action failed or waits for its next try; 1 a side could not be read.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from pd_sf_rules.cli.connecting import open_ledger_here
from pd_sf_rules.cli.printing import show
from pd_sf_rules.errors import SyncError
from pd_sf_rules.settings import Integration, load_integration, usable_integrations

DIRECTIONS = ("salesforce", "pagerduty")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--integration", metavar="N", help="only this one (default: all)")
    parser.add_argument(
        "--direction",
        choices=[*DIRECTIONS, "both"],
        default="both",
        help="where changes are read (default: both, with comments and notes)",
    )


def run(options: argparse.Namespace) -> int:
    """Sync; return 0, or 3 when an action failed or waits for its next try, or 1 when a side could not be read.

    A broken integration file is told and returns 1 too; the others are synced all the same.
    """
    errors: list[SyncError] = []
    if options.integration:
        wanted = [load_integration(options.integration)]
    else:
        usable, broken = usable_integrations()
        wanted = [usable[name] for name in sorted(usable)]
        errors += broken
    ledger = open_ledger_here()
    runs: list[dict[str, Any]] = []
    try:
        for integration in wanted:
            _sync_integration(integration, ledger, options.direction, runs, errors)
    finally:
        ledger.close()
    if options.json:
        print(json.dumps({"runs": runs}))
    else:
        show(runs_table(runs))
    for sentence in dict.fromkeys(str(error) for error in errors):
        print(f"pdsf: {sentence}", file=sys.stderr)
    if errors:
        return 1
    return 3 if any(one["counts"]["failed"] for one in runs) else 0


def _sync_integration(
    integration: Integration,
    ledger: Any,
    wanted: str,
    runs: list[dict[str, Any]],
    errors: list[SyncError],
) -> None:
    from pd_sf_rules.cli.connecting import connect  # noqa: PLC0415
    from pd_sf_rules.pipeline.opening import open_run  # noqa: PLC0415
    from pd_sf_rules.pipeline.sync import sync  # noqa: PLC0415

    directions: list[Any] = list(DIRECTIONS) if wanted == "both" else [wanted]
    crossing = integration.comments
    if wanted == "both" and (crossing.salesforce_to_pagerduty or crossing.pagerduty_to_salesforce):
        directions.append("notes")
    with open_run(integration, ledger, connect=connect) as one:
        of_all = one.id  # the directions share clients and log-ins, each has a lineage of its own
        for direction in directions:
            one.id = f"{of_all}-{direction}"
            told, error = sync(one, direction)
            runs.append(told)
            if error is not None:
                errors.append(error)


def runs_table(runs: Sequence[dict[str, Any]]) -> str:
    """Return runs as a table for people: counts, and a line for each action."""
    columns = ("pulled", "matched", "applied", "skipped", "failed")
    lines = [
        " ".join([f"{'integration':<14}", f"{'direction':<11}", *(f"{c:>7}" for c in columns)])
    ]
    for one in runs:
        numbers = (f"{one['counts'][column]:>7}" for column in columns)
        lines.append(" ".join([f"{one['integration']:<14}", f"{one['direction']:<11}", *numbers]))
        lines += [
            f"    {a['outcome']:<8} {a['action']} ({a['ruleset']} / {a['rule']}) "
            f"{a['record'] or a['incident']} -> {a['target'] or '-'}"
            for a in one["actions"]
        ]
    if any(one["counts"]["failed"] for one in runs):
        lines.append("`pdsf errors` tells what failed, and what to do.")
    return "\n".join(lines)
