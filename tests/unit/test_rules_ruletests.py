"""Rule tests beside the rulesets: what they accept, and how a failure reads."""

from pathlib import Path

import pytest

from pd_sf_rules.rules.loader import load_text
from pd_sf_rules.rules.ruleset import Ruleset
from pd_sf_rules.rules.ruletests import TestResult, load_tests, run_files, run_test, test_files
from tests.unit.rule_texts import WHOLE_FILE, one_rule

LEVEL = one_rule(
    when="{ field: Case.Status, operation: equals, value: New }",
    actions="[{ add_note: { content: 'Case {{ record.CaseNumber }}' } },"
    " { update_record: { fields: { Status: Working, N: '{{ record.N }}' } } }]",
    header="",
)
RECORD = "record: { Status: New, CaseNumber: '7', N: 5.0 }"


def ruleset(text: str) -> Ruleset:
    """Return the ruleset of a text that must load."""
    loaded, diagnostics = load_text(text, "a.yaml")
    assert loaded is not None, diagnostics
    return loaded


def results(tests: str, text: str = LEVEL) -> list[TestResult]:
    """Run the tests of a text against a ruleset."""
    found, diagnostics = load_tests(tests, "a.test.yaml")
    assert diagnostics == ()
    return [run_test(test, ruleset(text)) for test in found]


def one(body: str, text: str = LEVEL) -> TestResult:
    """Run one test, given without its name."""
    (result,) = results(f"tests:\n  - name: T\n    {body}\n", text)
    return result


@pytest.mark.parametrize(
    "expected",
    [
        "[add_note, update_record]",
        "[{ add_note: { content: Case 7 } }, { update_record: }]",
        "[add_note, { update_record: { fields: { Status: Working, N: 5 } } }]",
    ],
)
def test_expected_actions_are_compared_by_the_parameters_given(expected: str) -> None:
    """An action without parameters stands for any; the ruleset need not be switched on."""
    result = one(f"event: updated\n    {RECORD}\n    expect: {expected}")
    assert result.passed, result.message
    assert (result.path, result.line, result.name) == ("a.test.yaml", 2, "T")


@pytest.mark.parametrize(
    ("expected", "missing", "surplus"),
    [
        ("[{ add_note: { content: Case 8 } }, update_record]", '"Case 8"', '"Case 7"'),
        ("[add_note]", "", "update_record"),
        ("[add_note, update_record, reopen_incident]", "reopen_incident", ""),
        ("[update_record, add_note]", "", "add_note"),
        ("[add_note, { update_record: { fields: { Status: Working } } }]", "", "N: 5"),
        ("[add_note, { update_record: { fields: { Status: Working, N: '5' } } }]", '"5"', "N: 5"),
        ("none", "", "add_note"),
    ],
)
def test_a_difference_is_shown_line_by_line(expected: str, missing: str, surplus: str) -> None:
    """What was expected, what came, and what each rule said."""
    result = one(f"event: updated\n    {RECORD}\n    expect: {expected}")
    assert not result.passed
    lines = result.message.splitlines()
    assert lines[0] == "- expected   + got"
    assert any(line.startswith("- ") and missing in line for line in lines[1:]) or not missing
    assert any(line.startswith("+ ") and surplus in line for line in lines[1:]) or not surplus
    assert lines[-1] == "  rule 'Only rule' matched: Its conditions hold."


def test_a_failure_reads_like_this() -> None:
    """The whole message of a failed test."""
    result = one(
        "event: updated\n    record: { Status: Old }\n    expect: [{ add_note: { content: x } }]"
    )
    assert result.message == (
        "- expected   + got\n"
        "- add_note\n"
        '-     content: "x"\n'
        "  rule 'Only rule' did not match:"
        " Case.Status equals 'New' does not hold: it is 'Old'."
    )


def test_none_can_be_expected_with_a_reason() -> None:
    """`because` is part of a rule's reason, without regard to case."""
    body = "event: updated\n    record: { Status: Old }\n    expect: none\n    because: "
    assert one(body + "IT IS 'old'").passed
    wrong = one(body + "it is blank")
    assert not wrong.passed
    assert wrong.message.startswith("No rule gives the reason 'it is blank'.")


def test_a_template_error_fails_the_test() -> None:
    """A name that the record does not have is said as it will be said in production."""
    result = one("event: updated\n    record: { Status: New }\n    expect: [add_note]")
    assert not result.passed
    assert "record.CaseNumber" in result.message


OLD = one_rule(
    when="{ any: [{ field: Case.A, operation: changed },"
    " { field: Case.B, operation: changed_from, value: null }] }"
)


@pytest.mark.parametrize(
    ("event", "old", "acts"),
    [
        ("updated", "old: { A: x }", True),
        ("updated", "old: { A: a }", False),
        ("updated", "old: {}", False),
        ("updated", "", False),
        ("created", "", True),
    ],
)
def test_old_values_are_what_was_different(event: str, old: str, acts: bool) -> None:
    """What `old` leaves out was as it is; no `old` is a first sight; a creation starts from blank."""
    body = f"event: {event}\n    record: {{ A: a, B: b }}\n"
    body += f"    {old}\n" if old else ""
    result = one(f"{body}    expect: {'[reopen_incident]' if acts else 'none'}", OLD)
    assert result.passed, result.message


def test_both_sides_links_types_scope_and_agent_can_be_given() -> None:
    """Nested values are paths; incident, linked_by, links, types and the event's agent arrive."""
    text = one_rule(
        name="Mine",
        run_on="pagerduty",
        extra="    scope: created_by_ruleset\n",
        when="{ all: [{ field: Case.Number__c, operation: equals, value: 1026 },"
        " { field: Case.Account.Type, operation: equals, value: Gold },"
        " { field: incident.service.name, operation: equals, value: Checkout },"
        " { field: incident.priority, operation: changed_from, value: P2 }] }",
        actions="[{ post_comment: { body: '{{ event.agent }} {{ event.occurred_at }}"
        " {{ links.incident_url }} {{ rule.name }}/{{ rule.ruleset }} {{ old.priority }}' } }]",
    )
    body = """event: { type: priority_change, agent: Noor, occurred_at: 2026-03-01T00:00:00+01:00 }
    object: Case
    types: { Number__c: string }
    record: { Number__c: "1026", Account: { Type: Gold } }
    incident: { priority: P1, service: { name: Checkout } }
    old: { priority: P2 }
    linked_by: [Mine]
    links: { incident_url: https://pd/7 }
    expect:
      - post_comment:
          body: Noor 2026-02-28T23:00:00Z https://pd/7 Only rule/Mine P2
          visibility: internal
"""
    result = one(body, text)
    assert result.passed, result.message


def test_one_rule_can_be_looked_at_alone() -> None:
    """`rule` leaves the others out; an unknown one is said."""
    body = "event: acknowledge\n    rule: %s\n    expect: [update_record]"
    assert one(body % "Mirror acknowledgement", WHOLE_FILE).passed
    wrong = one(body % "Mirror acknowledgment", WHOLE_FILE)
    assert "Did you mean 'Mirror acknowledgement'?" in wrong.message


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("", 1, 1, "no tests"),
        ("tests: []", 1, 8, "empty"),
        ("tests:\n  - name: T\n    event: updated", 2, 5, "expect"),
        ("tests:\n  - name: T\n    event: changed\n    expect: none", 3, 12, "event type"),
        ("tests:\n  - name: T\n    event: updated\n    expect: nothing", 4, 13, "none"),
        ("tests:\n  - name: T\n    event: updated\n    expect: []", 4, 13, "none"),
        ("tests:\n  - name: T\n    event: updated\n    expect: [add_not]", 4, 14, "'add_not'"),
        ("tests:\n  - name: T\n    event: updated\n    expect: [{ add_note: x }]", 4, 13, "none"),
        ("tests:\n  - name: T\n    evnt: updated\n    expect: none", 2, 5, "'event'"),
        (
            "tests:\n  - name: T\n    event: { type: updated, at: x }\n    expect: none",
            3,
            29,
            "'at'",
        ),
        (
            "tests:\n  - name: T\n    event: { type: updated, occurred_at: x }\n    expect: none",
            3,
            42,
            "instant",
        ),
        ("tests: [", 1, 9, "YAML"),
        ("tests: 1\ntests: 2", 2, 1, "twice"),
    ],
)
def test_a_test_file_that_cannot_be_run_says_where(
    text: str, line: int, column: int, said: str
) -> None:
    """Test files are checked like rulesets, with line and column."""
    tests, diagnostics = load_tests(text, "a.test.yaml")
    assert tests == ()
    first = diagnostics[0]
    assert (first.line, first.column) == (line, column), diagnostics
    assert said in first.message


def test_files_are_found_and_run_beside_their_rulesets(tmp_path: Path) -> None:
    """A folder, a test file or a ruleset names the tests; another ruleset can be named inside."""
    case = f"tests:\n  - name: T\n    event: updated\n    {RECORD}\n    expect: "
    (tmp_path / "a.yaml").write_text(LEVEL, encoding="utf-8")
    (tmp_path / "a.test.yaml").write_text(case + "[add_note, update_record]", encoding="utf-8")
    (tmp_path / "b.test.yaml").write_text("ruleset: a.yaml\n" + case + "none", encoding="utf-8")
    (tmp_path / "c.test.yaml").write_text(case + "none", encoding="utf-8")
    files = list(test_files([tmp_path]))
    assert [each.name for each in files] == ["a.test.yaml", "b.test.yaml", "c.test.yaml"]
    assert list(test_files([tmp_path / "a.yaml", tmp_path / "b.test.yaml"])) == files[:2]
    outcomes, diagnostics = run_files(files)
    assert [each.passed for each in outcomes] == [True, False]
    assert [(Path(each.path).name, each.code) for each in diagnostics] == [("c.yaml", "unreadable")]
