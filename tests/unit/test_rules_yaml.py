"""Files that strangers wrote: whatever they hold, reading them ends in a ruleset or in findings."""

import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pd_sf_rules.rules.diagnostics import render_human, to_github, to_json
from pd_sf_rules.rules.lint import lint_rulesets
from pd_sf_rules.rules.loader import load_text
from pd_sf_rules.rules.ruletests import load_tests
from pd_sf_rules.rules.yaml_tree import (
    MAX_CHARACTERS,
    YamlProblem,
    locate,
    read_tree,
    resolve,
    to_data,
)
from tests.unit.rule_strategies import PATIENT
from tests.unit.rule_texts import WHOLE_FILE, one_rule


def data(text: str) -> Any:
    """Return the plain value of a text without problems."""
    root, problems = read_tree(text)
    assert problems == []
    return to_data(root)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("NO", "NO"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("Yes", "Yes"),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("0123", "0123"),
        ("00001026", "00001026"),
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-7", -7),
        ("+7", 7),
        ("0", 0),
        ("1.50", 1.5),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("1" * 40, "1" * 40),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_scalars_follow_yaml_1_2(written: str, value: Any) -> None:
    """The traps of YAML 1.1 (NO, on, 12:30, 0123, dates) are plain text."""
    found = data(f"a: {written}")["a"]
    assert found == value
    assert type(found) is type(value)


def test_a_yaml_1_1_word_in_a_condition_is_text() -> None:
    """A country code NO is compared as text, not as false."""
    ruleset, _ = load_text(
        one_rule(when="{ field: Case.Country__c, operation: equals, value: NO }"), "x"
    )
    assert ruleset is not None
    assert ruleset.rules[0].when.expected == "NO"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "line", "column", "code"),
    [
        ("a: [", 1, 5, "yaml-syntax"),
        ("a: [\n\n", 1, 5, "yaml-syntax"),
        ("a: b: c", 1, 5, "yaml-syntax"),
        ("a:\n\t- b", 2, 1, "yaml-syntax"),
        ("a: \x00", 1, 4, "yaml-syntax"),
        ("é: ü\nb: \x07", 2, 4, "yaml-syntax"),
        ("a: \ud800", 1, 4, "yaml-syntax"),
        ("a: *nowhere", 1, 4, "yaml-alias"),
        ("a: &x [*x]", 1, 8, "yaml-alias"),
        ("a: !!python/object:os.system x", 1, 4, "yaml-tag"),
        ("a: !secret x", 1, 4, "yaml-tag"),
        ("? [a, b]\n: c", 1, 3, "yaml-key"),
        ("a: &x { b: 1 }\nc:\n  <<: *x", 3, 3, "yaml-key"),
        ("a: 1\n---\nb: 2", 2, 1, "yaml-syntax"),
        ("%YAML 2.0\n---\na: 1", 1, 1, "yaml-syntax"),
    ],
)
def test_what_cannot_be_read_has_a_place(text: str, line: int, column: int, code: str) -> None:
    """Syntax errors, tags, merge keys, bad aliases and second documents say where they stand."""
    ruleset, (finding,) = load_text(text, "x.yaml")
    assert ruleset is None
    assert (finding.line, finding.column, finding.code) == (line, column, code)
    assert finding.hint


def test_duplicate_keys_are_found_and_the_first_stays() -> None:
    """The second of two equal keys is a problem at its own place."""
    root, (problem,) = read_tree("a: 1\nb: 2\na: 3")
    assert to_data(root) == {"a": 1, "b": 2}
    assert (problem.line, problem.column, problem.code) == (3, 1, "duplicate-key")


def test_aliases_stand_for_their_anchors() -> None:
    """An alias of a whole value is written out."""
    assert data("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(
            f"{b}: &{b} [" + ", ".join([f"*{a}"] * 9) + "]"
            for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "[" * 50_000,
        "{a: " * 5_000,
        "- " * 5_000,
        "a: " + "x" * (MAX_CHARACTERS + 1),
        "\n".join(f"k{at}: v" for at in range(80_000)),
        one_rule(when="{ not: " * 60 + "{ field: Case.A, operation: changed }" + " }" * 60),
    ],
    ids=["billion-laughs", "flow-deep", "maps-deep", "blocks-deep", "huge-scalar", "many", "nots"],
)
def test_bombs_are_refused_quickly(text: str) -> None:
    """Alias bombs, deep nesting and huge files are one finding, within seconds."""
    started = time.process_time()
    ruleset, diagnostics = load_text(text, "bomb.yaml")
    assert ruleset is None
    assert len(diagnostics) == 1
    assert time.process_time() - started < 10


def test_positions_survive_flow_block_and_unicode() -> None:
    """The place of a value is where an editor shows it, in characters."""
    root, _ = read_tree("ä: ü\nlist:\n  - { ключ: значение, b: [1, 'zwei'] }\n")
    assert locate(root, ("list", 0, "ключ")) == (3, 13)
    assert locate(root, ("list", 0, "ключ"), key=True) == (3, 7)
    assert locate(root, ("list", 0, "b", 1)) == (3, 30)
    assert locate(root, ("list", 0, "missing")) == (3, 5)


SCALARS = st.one_of(
    st.sampled_from(["NO", "on", "12:30", "2026-01-01", "~", "", "*x", "&x", "!t", "|", "{{ x"]),
    st.text(max_size=8),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
)


def settle(text: str) -> None:
    """Read a text as a ruleset and as rule tests; every finding must have a place and a rendering."""
    ruleset, problems = load_text(text, "f.yaml")
    doubts = lint_rulesets([ruleset], {}) if ruleset else ()
    for diagnostics in (problems, doubts, load_tests(text, "f.test.yaml")[1]):
        for each in diagnostics:
            assert each.line >= 1
            assert each.column >= 1
            assert each.message
            assert to_json(each)
            assert "\n" not in to_github(each)
        assert render_human(diagnostics, {"f.yaml": text})


@settings(PATIENT, max_examples=40)
@given(st.text(max_size=200))
def test_random_text_never_crashes(text: str) -> None:
    """Any text at all ends in findings."""
    settle(text)


@settings(PATIENT, max_examples=40)
@given(st.text("ab:-[]{}&*!|>'\"%@#?, \n\t", max_size=60))
def test_random_punctuation_never_crashes(text: str) -> None:
    """Text made of YAML's own signs ends in findings."""
    settle(text)


@settings(PATIENT, max_examples=50)
@given(st.data())
def test_mutated_files_never_crash(picked: st.DataObject) -> None:
    """A good file with pieces cut out, doubled or overwritten ends in a ruleset or in findings."""
    text = picked.draw(st.sampled_from([WHOLE_FILE, one_rule()]))
    for _ in range(picked.draw(st.integers(1, 3))):
        start = picked.draw(st.integers(0, len(text)))
        end = min(len(text), start + picked.draw(st.integers(0, 30)))
        new = picked.draw(st.one_of(st.just(""), st.just(text[start:end] * 2), st.text(max_size=6)))
        text = text[:start] + new + text[end:]
    settle(text)


@settings(PATIENT, max_examples=40)
@given(st.data())
def test_values_of_the_wrong_kind_never_crash(picked: st.DataObject) -> None:
    """A good file with any value replaced by any other ends in a ruleset or in findings."""
    tree = yaml.safe_load(WHOLE_FILE)
    anything = st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=6,
    )
    node: Any = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = picked.draw(st.sampled_from(keys))
        inner = node[key]
        if not isinstance(inner, dict | list) or not inner or picked.draw(st.booleans()):
            node[key] = picked.draw(anything)
            break
        node = inner
    settle(yaml.safe_dump(tree, allow_unicode=True))


@settings(PATIENT, max_examples=80)
@given(st.text("0123456789.eE+-_:xo", max_size=12))
def test_numbers_are_what_they_say(written: str) -> None:
    """An unquoted scalar that reads as a number is one that JSON could hold, else it stays text."""
    value = resolve(written)
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert float(written) == value
        assert not written.lstrip("+-").startswith("0") or value == float(value)
    else:
        assert value in (written, None)


def test_problems_carry_their_words() -> None:
    """A problem is an exception with place, sentence, hint and code."""
    with pytest.raises(YamlProblem) as caught:
        read_tree("a: [")
    assert (caught.value.line, caught.value.code) == (1, "yaml-syntax")
    assert caught.value.message.startswith("This is not YAML")
    with pytest.raises(YamlProblem, match="that began on line 2"):
        read_tree("a: 1\nb: [x\nc: 2\nd: 'e'\n")
