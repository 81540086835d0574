"""End a pause: what queued meanwhile goes out at the next sync, in order.

Examples:
  pdsf resume
  pdsf resume --ruleset 'Critical cases'

Exit codes: 0 done; 1 it was not paused, or the command failed.
"""

import argparse

from pd_sf_rules.cli.printing import print_json, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--integration", metavar="N", default="default", help="which integration")
    parser.add_argument("--ruleset", metavar="NAME", default="", help="only this ruleset")


def run(options: argparse.Namespace) -> int:
    """Resume, and tell how many actions queued."""
    from pd_sf_rules.cli.connecting import open_ledger_here  # noqa: PLC0415
    from pd_sf_rules.pipeline.pausing import paused, resume, told  # noqa: PLC0415 - slow
    from pd_sf_rules.settings import load_integration  # noqa: PLC0415

    name = load_integration(options.integration).name
    ledger = open_ledger_here()
    try:
        queued = resume(ledger, name, options.ruleset)
        there = paused(ledger, name)
    finally:
        ledger.close()
    if options.json:
        print_json({"integration": name, "queued": queued, "pauses": there})
    else:
        lines = [f"{queued} action(s) queued: they go out at the next sync."]
        show("\n".join([*lines, *(told(one) for one in there)]))
    return 0
