"""Arguments in, exit code out. Each command lives in a file of its own and is imported when it is called."""

import argparse
import contextlib
import importlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from pd_sf_rules.cli.usage import UsageError
from pd_sf_rules.dotenv import complete
from pd_sf_rules.errors import SyncError
from pd_sf_rules.masking import MaskingFilter, masked

DONE, FAILED, WRONG_USAGE, SOME_FAILED = 0, 1, 2, 3

Command = Callable[[argparse.Namespace], int]

_MASKING = MaskingFilter()

COMMANDS = {
    "lint": "check rule files: a sentence and a fix for everything that is wrong",
    "schema": "print the JSON Schema of a rule file, for editors",
    "test": "run the rule tests kept beside the rulesets",
    "sync": "one pass of the same pipeline without Airflow",
    "explain": "why something happened, or did not: rules, conditions, actions, answers",
    "simulate": "what a draft ruleset would have done with recorded events; writes nothing",
    "replay": "try failed actions again, or read a window again",
    "links": "which record and which incident belong together",
    "errors": "actions that failed or wait for their next try, by cause",
    "status": "connections, cursors, lag, queue, quota, rulesets",
    "setup": "write .env by questions, make the key pair for Salesforce's login, PagerDuty's webhook",
    "pause": "let the actions of an integration or a ruleset queue",
    "resume": "end a pause: what queued goes out at the next sync",
    "reconcile": "compare all linked pairs on both sides; report drift, repair it if told to",
    "ledger": "look after the ledger: upgrade, prune, stats",
}
EPILOG = """\
Exit codes: 0 done; 1 the command failed; 2 wrong usage; 3 done, but some actions failed or some checks
did not hold. Errors go to stderr, each one sentence and what to do. `pdsf COMMAND --help` shows examples.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 done, 1 failed, 2 wrong usage, 3 done but some actions or checks failed.

    Without `arguments` it is the program that a person started: `.env` and the Airflow of `make up` count then.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    _print_whatever_comes()
    try:
        options = _parser(given).parse_args(given)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else WRONG_USAGE
    logging.basicConfig(
        level=logging.DEBUG if options.debug else logging.WARNING,
        format="%(levelname)s %(message)s",
        stream=sys.stderr,
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(_MASKING)
    run: Command = options.run
    return _guarded(_at_home(run) if arguments is None else run, options)


def _at_home(run: Command) -> Command:
    """Return the command with what its shell leaves out filled in before."""

    def completed(options: argparse.Namespace) -> int:
        from pd_sf_rules.settings import PROJECT_ROOT  # noqa: PLC0415 - help needs no settings

        complete(os.environ, PROJECT_ROOT)
        return run(options)

    return completed


def _guarded(run: Command, options: argparse.Namespace) -> int:
    """Run a command; every error becomes one sentence on stderr, with a traceback only for --debug."""
    try:
        code = run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`pdsf ... | head`); Python would complain once more when it flushes at its end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        print("pdsf: interrupted.", file=sys.stderr)
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last place before the shell
        if options.debug and not isinstance(error, UsageError):
            print(masked(traceback.format_exc()), file=sys.stderr)
            return FAILED
        print(masked(_sentence(error, options.command)), file=sys.stderr)
        return WRONG_USAGE if isinstance(error, UsageError) else FAILED
    return code


def _sentence(error: Exception, command: str) -> str:
    if isinstance(error, SyncError):
        return f"pdsf: {error}"
    if isinstance(error, UsageError):
        return f"pdsf {command}: {error}"
    if isinstance(error, ModuleNotFoundError):
        hint = "`make install` installs everything; lint, schema and test need less."
        return f"pdsf {command}: {error}. {hint}"
    said = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return f"pdsf: {said} This is a defect of pdsf; --debug shows where."


def _print_whatever_comes() -> None:
    """Let names of people and records be printed on a terminal of any encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; only the command that is called is imported, so that help and lint stay fast."""
    parser = argparse.ArgumentParser(
        prog="pdsf",
        description="PagerDuty and Salesforce, kept in step by rules.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks and debug logs")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    called = next((word for word in given if not word.startswith("-")), "")
    for name, text in COMMANDS.items():
        command = commands.add_parser(
            name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS)
        command.add_argument("--json", action="store_true", help="one JSON object for scripts")
        if name == called:
            module = importlib.import_module(f"pd_sf_rules.cli.{name}")
            command.description = module.__doc__
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def _version() -> str:
    from pd_sf_rules import __version__  # noqa: PLC0415 - the package imports nothing

    return f"pdsf {__version__}"
