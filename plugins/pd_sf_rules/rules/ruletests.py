"""Rule tests beside the rulesets: `case-to-incident.test.yaml` says what `case-to-incident.yaml` must do.

Each test gives an event with both sides' values and expects actions with their rendered parameters, or none.
Nothing is read but the two files, and nothing is written.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Event, Verdict
from pd_sf_rules.rules import ruletest_diff
from pd_sf_rules.rules.action_schema import ACTIONS
from pd_sf_rules.rules.diagnostics import Diagnostic, did_you_mean
from pd_sf_rules.rules.evaluator import Evaluation, compile_rules
from pd_sf_rules.rules.fields import EVENT_TYPES
from pd_sf_rules.rules.loader import TEST_ENDINGS, load_text, read_text
from pd_sf_rules.rules.ruleset import Rule, Ruleset
from pd_sf_rules.rules.ruletest_schema import CaseModel, TestFileModel, known_keys
from pd_sf_rules.rules.template_errors import TemplateError
from pd_sf_rules.rules.templates import render_params, template_context
from pd_sf_rules.rules.values import as_instant
from pd_sf_rules.rules.wording import Finding, finding
from pd_sf_rules.rules.yaml_tree import Node, YamlProblem, locate, read_tree, to_data

DEFAULT_INSTANT = datetime(2026, 1, 1, tzinfo=UTC)
DEFAULT_LINKS = {
    "record_url": "https://salesforce.example/record",
    "incident_url": "https://pagerduty.example/incident",
}

Planned = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One test: `ruleset` is the file it is about, `line` where the test stands in `path`."""

    path: str
    line: int
    ruleset: FilePath
    case: CaseModel


@dataclass(frozen=True, slots=True)
class TestResult:
    """How one test went. `message` says, for a failed one, what differed and what the rules said."""

    __test__ = False

    path: str
    line: int
    name: str
    passed: bool
    message: str = ""


def run_files(files: Iterable[FilePath]) -> tuple[tuple[TestResult, ...], tuple[Diagnostic, ...]]:
    """Run the tests of these files; return every result, and what is wrong with files that cannot be run."""
    results: list[TestResult] = []
    diagnostics: list[Diagnostic] = []
    for file in files:
        text, problem = read_text(file)
        if text is None:
            diagnostics += [problem] if problem else []
            continue
        tests, found = load_tests(text, str(file))
        diagnostics += found
        if not tests:
            continue
        ruleset, wrong = _ruleset(tests[0].ruleset)
        diagnostics += wrong
        results += [run_test(test, ruleset) for test in tests] if ruleset else []
    return tuple(results), tuple(diagnostics)


def test_files(paths: Iterable[FilePath]) -> Iterator[FilePath]:
    """Yield the test files among these paths: a folder stands for those in it, a ruleset for the one beside it."""
    for path in paths:
        if path.is_dir():
            yield from sorted(each for each in path.iterdir() if each.name.endswith(TEST_ENDINGS))
        elif path.name.endswith(TEST_ENDINGS):
            yield path
        else:
            beside = path.with_suffix(f".test{path.suffix}")
            yield from [beside] if beside.exists() else []


test_files.__test__ = False  # type: ignore[attr-defined]  # not a test of pytest's


def load_tests(text: str, path: str) -> tuple[tuple[RuleTest, ...], tuple[Diagnostic, ...]]:
    """Return the tests of a file's text, or none and why not."""
    try:
        root, problems = read_tree(text)
    except YamlProblem as problem:
        return (), (_diagnostic(problem, path),)
    if problems:
        return (), tuple(_diagnostic(problem, path) for problem in problems)
    data = to_data(root)
    if not isinstance(data, dict):
        hint = "Start it with 'tests:'."
        return (), (Diagnostic(path, 1, 1, "The file holds no tests.", hint, code="not-a-test"),)
    try:
        model = TestFileModel.model_validate(data)
    except ValidationError as error:
        found = [finding(each, known_keys) for each in error.errors(include_url=False)]
        return (), _placed(found, root, path)
    found = list(_findings(model))
    if found:
        return (), _placed(found, root, path)
    ruleset = FilePath(path).parent / (model.ruleset or _beside(FilePath(path).name))
    tests = (
        RuleTest(path, locate(root, ("tests", at))[0], ruleset, case)
        for at, case in enumerate(model.tests)
    )
    return tuple(tests), ()


def _beside(name: str) -> str:
    """Return the name of the ruleset file that a test file's name points to."""
    for ending in TEST_ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending) + ending.removeprefix(".test")
    return name


def _diagnostic(problem: YamlProblem, path: str) -> Diagnostic:
    return Diagnostic(
        path, problem.line, problem.column, problem.message, problem.hint, code=problem.code
    )


def _placed(found: Iterable[Finding], root: Node, path: str) -> tuple[Diagnostic, ...]:
    return tuple(
        Diagnostic(
            path, *locate(root, each.path, key=each.on_key), each.message, each.hint, code=each.code
        )
        for each in found
    )


def _findings(model: TestFileModel) -> Iterator[Finding]:
    """Yield what the structure cannot say: unknown event types and actions."""
    for at, case in enumerate(model.tests):
        event_type = case.event.type
        if not any(event_type in known for known in EVENT_TYPES.values()):
            listed = [each for known in EVENT_TYPES.values() for each in known]
            hint = did_you_mean(event_type, listed) or f"Known: {', '.join(listed)}."
            message = f"There is no event type '{event_type}'."
            yield Finding(("tests", at, "event"), message, hint, "unknown-event-type")
        for index, expected in enumerate(case.expected()):
            if expected[0] not in ACTIONS:
                hint = did_you_mean(expected[0], ACTIONS) or f"Known: {', '.join(ACTIONS)}."
                message = f"There is no action '{expected[0]}'."
                yield Finding(("tests", at, "expect", index), message, hint, "unknown-action")


def _ruleset(file: FilePath) -> tuple[Ruleset | None, tuple[Diagnostic, ...]]:
    text, problem = read_text(file)
    if text is None:
        return None, (problem,) if problem else ()
    return load_text(text, str(file))


def run_test(test: RuleTest, ruleset: Ruleset) -> TestResult:
    """Judge the test's event by its ruleset (whether or not it is switched on) and compare."""
    case = test.case
    rule_names = [rule.name for rule in ruleset.rules]
    if case.rule is not None and case.rule not in rule_names:
        near = did_you_mean(case.rule, rule_names)
        return _failed(test, f"There is no rule '{case.rule}' in {ruleset.path}. {near}".strip())
    event = _event(case, ruleset)
    types = {rule.object: case.types for rule in ruleset.rules}
    compiled = compile_rules([dataclasses.replace(ruleset, enabled=True)], types)
    record = case.flat_record()
    linked = {rule.object: record for rule in ruleset.rules if case.object in (None, rule.object)}
    evaluation = compiled.evaluate(event, linked)
    try:
        planned = list(_planned(case, event, evaluation))
    except TemplateError as error:
        return _failed(test, str(error))
    verdicts = [each for each in evaluation.verdicts if case.rule in (None, each.rule)]
    difference = ruletest_diff.difference(case.expected(), planned) or _because(case, verdicts)
    if difference:
        return _failed(test, f"{difference}\n{ruletest_diff.said(verdicts)}")
    return TestResult(test.path, test.line, case.name, passed=True)


def _failed(test: RuleTest, message: str) -> TestResult:
    return TestResult(test.path, test.line, test.case.name, passed=False, message=message)


def _because(case: CaseModel, verdicts: Sequence[Verdict]) -> str:
    """Return what is wrong with the reason a test gives for nothing happening."""
    if case.because is None:
        return ""
    if any(case.because.casefold() in verdict.reason.casefold() for verdict in verdicts):
        return ""
    return f"No rule gives the reason {case.because!r}."


def _event(case: CaseModel, ruleset: Ruleset) -> Event:
    """Return the event a test describes. What `old` leaves out is as it was; no `old` means never seen before."""
    given = case.event
    mirrored = given.type in EVENT_TYPES[PAGERDUTY]
    record, incident = case.flat_record(), case.flat_incident()
    own = incident if mirrored else record
    old: dict[str, Any] = {}
    if given.type == "created":
        old = dict.fromkeys(own)
    elif case.old is not None:
        old = {**own, **case.flat_old()}
    objects = [rule.object for rule in ruleset.rules]
    return Event(
        id="test",
        integration=ruleset.integration,
        source=PAGERDUTY if mirrored else SALESFORCE,
        type=given.type,
        occurred_at=as_instant(given.occurred_at) or DEFAULT_INSTANT,
        agent=given.agent,
        object=case.object or objects[0],
        record_id="test-record" if record or not mirrored else None,
        incident_id="test-incident" if incident or mirrored else None,
        record=record,
        old={} if mirrored else old,
        incident=incident,
        old_incident=old if mirrored else {},
        linked_by=tuple(case.linked_by),
    )


def _planned(case: CaseModel, event: Event, evaluation: Evaluation) -> Iterator[Planned]:
    """Yield the actions of the matching rules, rendered."""
    links: dict[str, str] = dict(DEFAULT_LINKS)
    links.update({str(name): url for name, url in case.links.items()})
    for ruleset, rule in evaluation.matches:
        if case.rule not in (None, rule.name):
            continue
        context = template_context(event, rule=_rule_names(ruleset, rule), links=links)
        for action in rule.actions:
            yield action.kind, render_params(action.params, context)


def _rule_names(ruleset: Ruleset, rule: Rule) -> dict[str, str]:
    return {
        "name": rule.name,
        "object": rule.object,
        "ruleset": ruleset.name,
        "version": ruleset.version,
    }
