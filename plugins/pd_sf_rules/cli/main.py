"""Arguments in, exit code out. Each command lives in a file of its own and is imported when it is called."""

import argparse
import importlib
import logging
import sys
from collections.abc import Callable, Sequence

from pd_sf_rules.errors import SyncError

DONE, FAILED, WRONG_USAGE, SOME_FAILED = 0, 1, 2, 3

Command = Callable[[argparse.Namespace], int]

COMMANDS = {
    "sync": "one pass of the same pipeline without Airflow",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 done, 1 failed, 2 wrong usage, 3 done but some actions or checks failed."""
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else WRONG_USAGE
    logging.basicConfig(
        level=logging.DEBUG if options.debug else logging.WARNING,
        format="%(levelname)s %(message)s",
        stream=sys.stderr,
    )
    run: Command = options.run
    try:
        return run(options)
    except SyncError as error:
        if options.debug:
            raise
        print(f"pdsf: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pdsf", description=__doc__)
    parser.add_argument("--debug", action="store_true", help="show tracebacks and debug logs")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS)
        command.add_argument("--json", action="store_true", help="one JSON object for scripts")
        module = importlib.import_module(f"pd_sf_rules.cli.{name}")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
