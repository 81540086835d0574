"""The JSON Schema that editors use accepts what the loader accepts, and the examples hold."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pd_sf_rules.rules.action_schema import ACTIONS
from pd_sf_rules.rules.lint import IntegrationFacts, lint_rulesets
from pd_sf_rules.rules.loader import load_folder, load_text
from pd_sf_rules.rules.operations import OPERATIONS
from pd_sf_rules.rules.ruletests import run_files, test_files
from pd_sf_rules.rules.schema import json_schema
from pd_sf_rules.rules.yaml_tree import read_tree, to_data
from tests.unit.rule_texts import WHOLE_FILE, one_rule

INCLUDE = Path(__file__).parents[2] / "include"
EXAMPLES = sorted(
    path for path in (INCLUDE / "rulesets").glob("*.yaml") if ".test." not in path.name
)
VALIDATOR = Draft202012Validator(json_schema())


def data(text: str) -> Any:
    """Return what a ruleset file holds."""
    return to_data(read_tree(text)[0])


def test_the_schema_is_a_schema() -> None:
    """It is valid draft 2020-12, names its dialect, and can be written as JSON."""
    schema = json.loads(json.dumps(json_schema()))
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")


def test_the_schema_file_for_editors_is_current() -> None:
    """The committed file is what json_schema() gives; `pdsf schema` writes it anew."""
    written = json.loads((INCLUDE / "ruleset.schema.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(json_schema()))


def test_the_schema_knows_the_whole_vocabulary() -> None:
    """Every operation and action is offered, and every key is described."""
    schema = json_schema()
    definitions = schema["$defs"]
    assert definitions["Condition"]["properties"]["operation"]["enum"] == list(OPERATIONS)
    assert list(definitions["Action"]["properties"]) == list(ACTIONS)
    for name, definition in {"Ruleset": schema, **definitions}.items():
        for key, described in definition.get("properties", {}).items():
            assert described.get("description"), f"{name}.{key}"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_fits_the_schema(path: Path) -> None:
    """The shipped rulesets validate, and point their editor at the schema."""
    text = path.read_text(encoding="utf-8")
    assert list(VALIDATOR.iter_errors(data(text))) == []
    assert text.startswith("# yaml-language-server: $schema=../ruleset.schema.json\n")


def test_the_documented_file_fits_the_schema() -> None:
    """The example of the language's own page validates."""
    assert list(VALIDATOR.iter_errors(data(WHOLE_FILE))) == []


FREE_MAPPINGS = ("fields", "custom_fields")


def breakages(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every mapping of a file whose keys are closed."""
    if isinstance(value, dict):
        if not path or path[-1] not in FREE_MAPPINGS:
            yield path
        for key, inner in value.items():
            yield from breakages(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from breakages(inner, (*path, at))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_unknown_key_anywhere_is_refused(path: Path) -> None:
    """Each mapping of each example, given one more key, fails the schema."""
    sound = data(path.read_text(encoding="utf-8"))
    places = list(breakages(sound))
    assert len(places) > 20
    for place in places:
        broken = copy.deepcopy(sound)
        node = broken
        for step in place:
            node = node[step]
        node["no_such_key"] = 1
        assert not VALIDATOR.is_valid(broken), place


WRONG = [
    one_rule(header="enabled: yes"),
    one_rule(header="mode: off"),
    one_rule(run_on="slack"),
    one_rule(actions="[]"),
    one_rule(actions="[{ add_note: { content: x }, reopen_incident: {} }]"),
    one_rule(actions="[{ add_note: {} }]"),
    one_rule(actions="[{ add_note: { content: 5 } }]"),
    one_rule(actions="[{ set_urgency: { urgency: medium } }]"),
    one_rule(actions="[{ update_record: { fields: {} } }]"),
    one_rule(actions="[{ update_record: { fields: { A: [x] } } }]"),
    one_rule(actions="[{ post_comment: { body: x, visibility: all } }]"),
    one_rule(when="{ field: Case.A, operation: equal, value: x }"),
    one_rule(when="{ field: Case.A, operation: equals }"),
    one_rule(when="{ field: Case.A, operation: equals, value: '' }"),
    one_rule(when="{ field: Case.A, operation: equals, value: [x] }"),
    one_rule(when="{ field: Case.A, operation: in, value: x }"),
    one_rule(when="{ field: Case.A, operation: in, value: [] }"),
    one_rule(when="{ field: Case.A, operation: changed, value: x }"),
    one_rule(when="{ field: Case.A, operation: contains, value: true }"),
    one_rule(when="{ field: Case.A, operation: matches, value: 5 }"),
    one_rule(when="{ field: Case.A, operation: greater_than, value: true }"),
    one_rule(when="{ field: Status, operation: changed }"),
    one_rule(when="{ field: incident.state, operation: is_blank }"),
    one_rule(when="{ field: event.kind, operation: is_blank }"),
    one_rule(when="{ field: event.type, operation: equals, value: acknowledged }"),
    one_rule(when="{ all: [] }"),
    one_rule(when="{ all: [{ field: Case.A, operation: changed }], any: [] }"),
    one_rule(when="{ not: [{ field: Case.A, operation: changed }] }"),
    one_rule().replace("version: 1", "version: 2"),
]


@pytest.mark.parametrize("text", WRONG)
def test_what_the_loader_refuses_the_editor_underlines(text: str) -> None:
    """A wrong kind, a missing key or an unknown word fails both."""
    assert load_text(text, "x")[0] is None
    assert not VALIDATOR.is_valid(data(text))


GOOD = [
    one_rule(actions="[{ reopen_incident: }]"),
    one_rule(actions="[{ set_urgency: { urgency: \"{{ 'high' if record.A else 'low' }}\" } }]"),
    one_rule(actions="[{ reassign_incident: { users: a@example.com } }]"),
    one_rule(actions="[{ reassign_incident: { users: [a@example.com, PUSER] } }]"),
    one_rule(when="{ field: Case.A, operation: changed_to, value: null }"),
    one_rule(when="{ field: Case.A, operation: includes, value: [a, 'b;c'] }"),
    one_rule(when="{ field: Case.A, operation: greater_than, value: 2026-01-01 }"),
    one_rule(when="{ field: incident.custom_fields.x, operation: is_blank }"),
    one_rule(when="{ field: event.type, operation: in, value: [created] }"),
    one_rule(when="{ not: { all: [{ field: Case.A, operation: changed }] } }"),
]


@pytest.mark.parametrize("text", GOOD)
def test_what_the_loader_accepts_the_editor_accepts(text: str) -> None:
    """Short forms and nulls that mean something pass both."""
    assert load_text(text, "x")[0] is not None
    assert [error.message for error in VALIDATOR.iter_errors(data(text))] == []


def test_the_examples_are_off_and_clean() -> None:
    """Nothing runs until somebody switches it on; lint finds nothing, together neither."""
    rulesets, diagnostics = load_folder(INCLUDE / "rulesets")
    assert diagnostics == ()
    assert [Path(each.path) for each in rulesets] == EXAMPLES
    assert not any(each.enabled for each in rulesets)
    assert lint_rulesets(rulesets, {"default": IntegrationFacts()}) == ()


def test_the_examples_pass_their_own_tests() -> None:
    """Each example has tests beside it, and all of them pass."""
    files = list(test_files([INCLUDE / "rulesets"]))
    assert [each.name.replace(".test", "") for each in files] == [each.name for each in EXAMPLES]
    results, diagnostics = run_files(files)
    assert diagnostics == ()
    assert [f"{each.name}: {each.message}" for each in results if not each.passed] == []
    assert len(results) >= 30
