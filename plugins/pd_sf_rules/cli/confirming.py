"""A question before something is done, where there is somebody to ask."""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --dry-run and --yes."""
    parser.add_argument("--dry-run", action="store_true", help="only show what would be done")
    parser.add_argument("--yes", action="store_true", help="do not ask at a terminal")


def confirmed(options: argparse.Namespace, question: str) -> bool:
    """Say whether to go on: asks at a terminal, and takes a script (no terminal) at its word."""
    if options.dry_run:
        return False
    if options.yes or not sys.stdin.isatty():
        return True
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}
