"""Compare every linked pair on both sides with what the ledger last knew; report drift, and repair it if told to.

Examples:
  pdsf reconcile
  pdsf reconcile --repair                 feed missed changes through the inbox, the rules and the outbox
  pdsf reconcile --max-calls 100 --json

Exit codes: 0 nothing found, or all of it repaired; 3 drift was found, or not everything was compared;
1 a side could not be read.
"""

import argparse
from collections.abc import Iterator
from typing import Any

from pd_sf_rules.cli.printing import print_json, show, shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--integration", metavar="N", help="only this one (default: all)")
    parser.add_argument("--repair", action="store_true", help="repair what can be repaired")
    parser.add_argument(
        "--max-calls", type=int, default=500, metavar="N", help="API calls at most (default: 500)"
    )


def run(options: argparse.Namespace) -> int:
    """Reconcile; return 3 when something was found and not repaired, or not everything was compared."""
    from pd_sf_rules.cli.connecting import connect, open_ledger_here  # noqa: PLC0415
    from pd_sf_rules.pipeline.opening import open_run  # noqa: PLC0415 - database imports are slow
    from pd_sf_rules.pipeline.reconcile import reconcile  # noqa: PLC0415
    from pd_sf_rules.settings import load_integration, load_integrations  # noqa: PLC0415

    names = [options.integration] if options.integration else sorted(load_integrations())
    reports: list[dict[str, Any]] = []
    ledger = open_ledger_here()
    try:
        for name in names:
            with open_run(load_integration(name), ledger, connect=connect) as one:
                reports.append(reconcile(one, repair=options.repair, max_calls=options.max_calls))
    finally:
        ledger.close()
    if options.json:
        print_json({"reports": reports})
    else:
        show("\n".join(line for report in reports for line in _told(report)))
    settled = all(
        one["complete"] and one["counts"]["findings"] == one["counts"]["repaired"]
        for one in reports
    )
    return 0 if settled else 3


def _told(report: dict[str, Any]) -> Iterator[str]:
    counts = report["counts"]
    yield (
        f"{report['integration']}: {counts['pairs']} pair(s), {counts['findings']} finding(s), "
        f"{counts['repaired']} repaired, {counts['calls']} API calls."
    )
    if report["skipped"]:
        yield f"  {report['skipped']}"
    elif not report["complete"]:
        yield "  Not everything was compared: the calls allowed were used up. The next look goes on."
    for one in report["findings"]:
        differs = f" {one['field']}: {shown(one['ours'])} -> {shown(one['theirs'])}"
        rule = f" ({one['rule']})" if one["rule"] else ""
        done = " repaired" if one["repaired"] else ""
        yield (
            f"  {one['kind']} {one['object']} {one['record']} / {one['incident']}"
            f"{differs if one['field'] else ''}{rule}{done}"
        )
    if report["truncated"]:
        yield "  ... and more: the counts tell how many."
