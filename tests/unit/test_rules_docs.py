"""docs/rules.md is run: every example of its tables and every block is loaded and judged."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pd_sf_rules.model import Event
from pd_sf_rules.rules.action_schema import ACTIONS
from pd_sf_rules.rules.evaluator import compile_rules
from pd_sf_rules.rules.fields import ALL_EVENT_TYPES, EVENT_FIELDS, INCIDENT_FIELDS
from pd_sf_rules.rules.loader import load_text
from pd_sf_rules.rules.operations import OPERATIONS
from pd_sf_rules.rules.ruleset import Ruleset
from pd_sf_rules.rules.ruletests import DEFAULT_INSTANT, load_tests, run_test
from pd_sf_rules.rules.template_filters import FILTERS
from pd_sf_rules.rules.templates import render_params, template_context
from pd_sf_rules.rules.yaml_tree import read_tree, to_data
from tests.unit.rule_texts import one_rule

TEXT = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml (ruleset|tests)\n(.*?)```", TEXT, re.DOTALL)
CODE = re.compile(r"`([^`]+)`")


def table(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    section = TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    cells = [re.split(r"\s*\|\s*", row.strip("| ")) for row in rows]
    return [[cell.strip("` ") for cell in row[:1]] + row[1:] for row in cells[1:]]


def examples(cell: str) -> list[str]:
    """Return the code of a cell."""
    return CODE.findall(cell)


def value_of(text: str) -> Any:
    """Return what a piece of YAML says."""
    return to_data(read_tree(text)[0])


def loaded(text: str) -> Ruleset:
    """Return the ruleset of a text that must load."""
    ruleset, diagnostics = load_text(text, "docs.yaml")
    assert ruleset is not None, diagnostics
    return ruleset


def judged(condition: str, shown: str) -> bool:
    """Judge `old → new`, or a value without a known old one, by a condition on Case.F."""
    before, arrow, now = shown.partition(" → ")
    event = Event(
        id="d",
        integration="default",
        source="salesforce",
        type="updated",
        occurred_at=DEFAULT_INSTANT,
        agent="Dana",
        object="Case",
        record_id="5",
        record={"F": value_of(now if arrow else before)},
        old={"F": value_of(before)} if arrow else {},
    )
    evaluation = compile_rules([loaded(one_rule(when=condition))]).evaluate(event)
    return bool(evaluation.matches)


@pytest.mark.parametrize("row", table("Operations"), ids=lambda row: row[0])
def test_the_operations_table(row: list[str]) -> None:
    """Each example holds for each value of its column, and for none of the other."""
    name, _takes, example, holds, fails = row
    (condition,) = examples(example)
    assert f"operation: {name}" in condition
    assert examples(holds)
    assert examples(fails)
    for shown in examples(holds):
        assert judged(condition, shown), shown
    for shown in examples(fails):
        assert not judged(condition, shown), shown


@pytest.mark.parametrize("row", table("Fields"), ids=lambda row: row[0])
def test_the_fields_table(row: list[str]) -> None:
    """Each example holds for the event beside it, in a rule of that event's direction."""
    name, _what, example, holds = row
    (condition,), (given,) = examples(example), examples(holds)
    assert f"field: {name.replace('<name>', 'region')}," in condition
    kind = value_of(given)["event"]
    kind = kind if isinstance(kind, str) else kind["type"]
    run_on = "salesforce" if kind in ("created", "updated") else "pagerduty"
    text = f"tests:\n  - {given[:-1]}, name: T, expect: [reopen_incident] }}"
    (test,), diagnostics = load_tests(text, "docs.test.yaml")
    assert diagnostics == ()
    result = run_test(test, loaded(one_rule(when=condition, run_on=run_on)))
    assert result.passed, result.message


@pytest.mark.parametrize("row", table("Actions"), ids=lambda row: row[0])
def test_the_actions_table(row: list[str]) -> None:
    """Each example loads, names only listed parameters, and renders to what stands beside it."""
    name, parameters, example, rendered = row
    (action,) = loaded(one_rule(actions=f"[{{ {examples(example)[0]} }}]")).rules[0].actions
    assert action.kind == name
    fields = ACTIONS[name].model_fields
    assert set(examples(parameters)) == set(fields)
    required = set(re.findall(r"\*\*`(\w+)`\*\*", parameters))
    assert {key for key, field in fields.items() if field.is_required()} <= required
    event = Event(
        id="d",
        integration="default",
        source="salesforce",
        type="updated",
        occurred_at=DEFAULT_INSTANT,
        agent="Dana",
        object="Case",
        record={"CaseNumber": "00001026", "Subject": "Checkout is down", "Amount": 5000},
        incident={"number": 7},
    )
    context = template_context(event, rule={}, links={})
    assert render_params(action.params, context) == value_of(examples(rendered)[0])


def pairs() -> Iterator[tuple[str, str]]:
    """Yield each ruleset block with the tests block that follows it."""
    for (kind, text), (following, tests) in zip(BLOCKS[::2], BLOCKS[1::2], strict=True):
        assert (kind, following) == ("ruleset", "tests")
        yield text, tests


@pytest.mark.parametrize(("text", "tests"), list(pairs()))
def test_the_blocks(text: str, tests: str) -> None:
    """Each ruleset of the page does what the tests below it say."""
    found, diagnostics = load_tests(tests, "docs.test.yaml")
    assert diagnostics == ()
    results = [run_test(test, loaded(text)) for test in found]
    assert [result.message for result in results if not result.passed] == []
    assert results


def test_the_page_names_the_whole_language() -> None:
    """Every operation, action, field, event type and filter has its place."""
    assert [row[0] for row in table("Operations")] == list(OPERATIONS)
    assert [row[0] for row in table("Actions")] == list(ACTIONS)
    listed = [row[0] for row in table("Fields")]
    assert listed[2:] == [
        *(f"event.{name}" for name in EVENT_FIELDS),
        *(f"incident.{name}" for name in INCIDENT_FIELDS),
        "incident.custom_fields.<name>",
    ]
    for word in (*ALL_EVENT_TYPES, *FILTERS):
        assert f"`{word}`" in TEXT, word


def test_the_page_names_every_code() -> None:
    """Each code that a finding can carry is in the table of codes."""
    source = Path(__file__).parents[2] / "plugins" / "pd_sf_rules" / "rules"
    text = "".join(file.read_text(encoding="utf-8") for file in source.glob("*.py"))
    codes = set(re.findall(r'"((?:bad|duplicate|unknown|yaml|missing|wrong)-[a-z-]+)"', text))
    codes |= {"never-matches", "write-conflict", "loop", "comment-target", "unreadable", "empty"}
    codes |= {"not-a-ruleset", "unmapped-response-play", "condition-shape", "action-shape"}
    assert len(codes) > 20
    assert {code for code in codes if f"`{code}`" not in TEXT} == set()
