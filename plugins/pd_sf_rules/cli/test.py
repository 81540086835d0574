"""Run the rule tests kept beside the rulesets: cases.test.yaml says what cases.yaml must do.

Examples:
  pdsf test                                  every test of the rulesets folder
  pdsf test include/rulesets/cases.yaml      the tests of one ruleset

Nothing but the files is read, and nothing is written.
Exit codes: 0 all passed; 3 a test failed; 1 a file cannot be run or there are no tests; 2 wrong usage.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pd_sf_rules.cli.lint import default_folder
from pd_sf_rules.cli.printing import indent, print_json, show
from pd_sf_rules.cli.usage import existing
from pd_sf_rules.errors import RulesetError

if TYPE_CHECKING:
    from pd_sf_rules.rules.ruletests import TestResult

__test__ = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="test files, rulesets or folders (default: all rules)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the tests; return 0, 3 when one failed, 1 when a file cannot be run."""
    from pd_sf_rules.rules import diagnostics as said  # noqa: PLC0415 - pydantic and jinja take a while
    from pd_sf_rules.rules.ruletests import run_files, test_files  # noqa: PLC0415

    paths = [existing(path) for path in options.paths] or [default_folder()]
    files = list(dict.fromkeys(test_files(paths)))
    if not files:
        where = ", ".join(str(path) for path in paths)
        hint = "Rule tests of cases.yaml live in cases.test.yaml beside it."
        raise RulesetError(f"There are no rule tests in {where}.", hint=hint)
    results, diagnostics = run_files(files)
    failed = sum(not result.passed for result in results)
    if options.json:
        counts = {"passed": len(results) - failed, "failed": failed}
        told = [said.to_json(one) for one in diagnostics]
        print_json({"results": results, "diagnostics": told, **counts})
    else:
        show(_report(results, failed))
        if diagnostics:
            show(said.render_human(diagnostics))
    if any(one.severity == "error" for one in diagnostics):
        return 1
    return 3 if failed else 0


def _report(results: Sequence["TestResult"], failed: int) -> str:
    lines: list[str] = []
    for result in results:
        word = "ok    " if result.passed else "FAILED"
        lines.append(f"{word} {result.path}:{result.line}: {result.name}")
        if result.message:
            lines.append(indent(result.message, 4))
    lines.append(f"{len(results) - failed} passed, {failed} failed.")
    return "\n".join(lines)
