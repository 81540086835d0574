"""Let the actions of an integration, or of one ruleset, queue until `pdsf resume`; nothing is dropped.

Examples:
  pdsf pause --why 'data load until noon'           everything of the only integration
  pdsf pause --ruleset 'Critical cases'             one ruleset; the others go on
  pdsf pause --list                                 what is paused, since when, by whom and why

Exit codes: 0 done (also when it was paused already); 1 the command failed.
"""

import argparse

from pd_sf_rules.cli.printing import print_json, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--integration", metavar="N", default="default", help="which integration")
    parser.add_argument("--ruleset", metavar="NAME", default="", help="only this ruleset")
    parser.add_argument("--why", metavar="TEXT", default="", help="a reason, for others to read")
    parser.add_argument("--list", action="store_true", help="only list what is paused")


def run(options: argparse.Namespace) -> int:
    """Pause, and tell what is paused now."""
    from pd_sf_rules.cli.connecting import open_ledger_here  # noqa: PLC0415
    from pd_sf_rules.pipeline.pausing import pause, paused, told  # noqa: PLC0415 - slow
    from pd_sf_rules.settings import load_integration  # noqa: PLC0415

    name = load_integration(options.integration).name
    ledger = open_ledger_here()
    try:
        if not options.list:
            pause(ledger, name, options.ruleset, why=options.why)
        there = paused(ledger, name)
    finally:
        ledger.close()
    if options.json:
        print_json({"integration": name, "pauses": there})
    else:
        show("\n".join(told(one) for one in there) or "Nothing is paused.")
    return 0
