"""Check rule files: file, line and column, a sentence, and how to fix it.

Examples:
  pdsf lint                                  every file of the rulesets folder
  pdsf lint include/rulesets/cases.yaml      these files only
  pdsf lint --live                           also against the Salesforce org and the PagerDuty account
  pdsf lint --github                         annotations in a GitHub Actions run

Exit codes: 0 no errors (there may be warnings); 3 errors were found; 1 lint could not run; 2 wrong usage.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pd_sf_rules.cli.usage import existing
from pd_sf_rules.errors import RulesetError

if TYPE_CHECKING:
    from pd_sf_rules.rules.diagnostics import Diagnostic


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="files or folders (default: all rules)"
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="ask the accounts whether objects, fields, values, services and people exist",
    )
    parser.add_argument(
        "--github", action="store_true", help="GitHub Actions annotations instead of text"
    )


def run(options: argparse.Namespace) -> int:
    """Lint; return 0, or 3 when an error was found."""
    from pd_sf_rules.rules import diagnostics as said  # noqa: PLC0415 - pydantic and jinja take a while
    from pd_sf_rules.rules.lint import IntegrationFacts, lint_rulesets  # noqa: PLC0415
    from pd_sf_rules.rules.loader import load_files  # noqa: PLC0415
    from pd_sf_rules.settings import load_integrations  # noqa: PLC0415

    paths = [existing(path) for path in options.paths] or [default_folder()]
    integrations = load_integrations(_beside(paths))
    facts = {name: IntegrationFacts(one.response_plays) for name, one in integrations.items()}
    files, tests = files_of(paths)
    rulesets, found = load_files(files)
    diagnostics = [*found, *lint_rulesets(rulesets, facts), *_of_tests(tests)]
    if options.live:
        from pd_sf_rules.cli.connecting import connect  # noqa: PLC0415
        from pd_sf_rules.pipeline.live_lint import lint_live  # noqa: PLC0415

        diagnostics += lint_live(rulesets, integrations, connect)
    if options.json:
        print(said.render_json(diagnostics))
    elif options.github:
        if diagnostics:
            print(said.render_github(diagnostics))
        print(said.summary(diagnostics), file=sys.stderr)
    else:
        print(said.render_human(diagnostics, _texts({one.path for one in diagnostics})))
    return 3 if any(one.severity == "error" for one in diagnostics) else 0


def default_folder() -> Path:
    """Return the rulesets folder, named from here where it lies below: annotations need such paths.

    Where this package is installed outside of a checkout, that is include/rulesets of the current folder.
    Raises RulesetError when there is none.
    """
    from pd_sf_rules.settings import rulesets_folder  # noqa: PLC0415

    folder = rulesets_folder()
    here = Path.cwd()
    if not folder.is_dir():
        folder = here / "include" / "rulesets"
    if not folder.is_dir():
        hint = "Name files or folders, or set PDSF_RULESETS_DIR."
        raise RulesetError("There is no folder include/rulesets here.", hint=hint)
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def files_of(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the ruleset files and the rule test files that these paths stand for."""
    from pd_sf_rules.rules.loader import TEST_ENDINGS, ruleset_files  # noqa: PLC0415
    from pd_sf_rules.rules.ruletests import test_files  # noqa: PLC0415

    files: list[Path] = []
    tests: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += ruleset_files(path)
            tests += test_files([path])
        elif path.name.endswith(TEST_ENDINGS):
            tests.append(path)
        else:
            files.append(path)
    return list(dict.fromkeys(files)), list(dict.fromkeys(tests))


def _of_tests(files: Sequence[Path]) -> "Iterator[Diagnostic]":
    """Yield what is wrong with rule test files; `pdsf test` runs them."""
    from pd_sf_rules.rules.loader import read_text  # noqa: PLC0415
    from pd_sf_rules.rules.ruletests import load_tests  # noqa: PLC0415

    for file in files:
        text, problem = read_text(file)
        if text is None:
            yield from [problem] if problem else []
        else:
            yield from load_tests(text, str(file))[1]


def _beside(paths: Sequence[Path]) -> Mapping[str, str]:
    """Return the environment, with the integrations beside these rulesets where it names no others."""
    environ = dict(os.environ)
    for path in paths:
        folder = (path if path.is_dir() else path.parent).resolve().parent / "integrations"
        if not environ.get("PDSF_INTEGRATIONS_DIR") and folder.is_dir():
            environ["PDSF_INTEGRATIONS_DIR"] = str(folder)
    return environ


def _texts(paths: set[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for path in paths:
        try:
            texts[path] = Path(path).read_text(encoding="utf-8-sig", errors="replace")
        except OSError:
            continue  # the finding about it says that it cannot be read
    return texts
