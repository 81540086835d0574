"""`pdsf lint`, `schema` and `test`, as people who edit rule files meet them."""

import json

import pytest

from tests.integration.cli_world import CRITICAL, Shell
from tests.integration.pipeline_world import ROOT

pytest_plugins = [
    "tests.integration.ledger_databases",
    "tests.integration.pipeline_fixtures",
    "tests.integration.cli_fixtures",
]


def test_lint_is_content_with_a_good_file(pdsf: Shell) -> None:
    """A clean folder exits 0 and says so."""
    pdsf.rules()
    said = pdsf("lint")
    assert (said.code, said.err) == (0, "")
    assert "No problems found." in said.out


def test_lint_shows_the_line_and_the_fix(pdsf: Shell) -> None:
    """A misspelt operation is an error with file, line, column, excerpt and hint; the exit code is 3."""
    path = pdsf.rules(CRITICAL.replace("changed_to", "chnged_to"))
    said = pdsf("lint", str(path))
    assert said.code == 3
    assert f"{path}:11:" in said.out
    assert "Did you mean 'changed_to'?" in said.out
    assert "^^^^" in said.out


def test_lint_json_is_one_object(pdsf: Shell) -> None:
    """Scripts get every finding with its place and code."""
    path = pdsf.rules(CRITICAL.replace("changed_to", "chnged_to"))
    told = pdsf("lint", "--json").json
    assert told["errors"] == 1
    (one,) = told["diagnostics"]
    assert (one["path"], one["line"], one["code"]) == (str(path), 11, "unknown-operation")


def test_lint_annotates_for_github(pdsf: Shell) -> None:
    """`--github` prints workflow commands and nothing else on stdout."""
    path = pdsf.rules(CRITICAL.replace("changed_to", "chnged_to"))
    said = pdsf("lint", "--github")
    (line,) = said.out.splitlines()
    assert line.startswith(f"::error file={path},line=11,col=")


def test_lint_accepts_warnings(pdsf: Shell) -> None:
    """A rule that can never match is a warning, and the exit code stays 0."""
    extra = "        - { field: Case.Priority, operation: equals, value: Low }\n"
    head, tail = CRITICAL.split("    actions:", 1)
    pdsf.rules(f"{head}{extra}    actions:{tail}")
    said = pdsf("lint", "--json")
    assert said.code == 0
    assert [one["severity"] for one in said.json["diagnostics"]] == ["warning"]


def test_lint_knows_the_integrations(pdsf: Shell) -> None:
    """A ruleset of an unknown integration is an error."""
    pdsf.rules(CRITICAL.replace("enabled: true", "enabled: true\nintegration: elsewhere"))
    assert [one["code"] for one in pdsf("lint", "--json").json["diagnostics"]] == [
        "unknown-integration"
    ]


def test_lint_of_nothing_is_wrong_usage(pdsf: Shell) -> None:
    """A path that does not exist exits 2 with one sentence."""
    said = pdsf("lint", "no-such-file.yaml")
    assert said.code == 2
    assert said.err == "pdsf lint: there is no file or folder 'no-such-file.yaml'.\n"


def test_lint_that_cannot_run_exits_1(pdsf: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rulesets folder that is not there is one sentence on stderr."""
    monkeypatch.setenv("PDSF_RULESETS_DIR", "/no/such/folder")
    said = pdsf("lint")
    assert said.code == 1
    assert said.err.startswith("pdsf: PDSF_RULESETS_DIR names '/no/such/folder'")


def test_lint_needs_neither_airflow_nor_a_database(pdsf: Shell) -> None:
    """Linting as a process imports no Airflow, no SQLAlchemy and no API client."""
    pdsf.rules()
    program = (
        "import sys; from pd_sf_rules.cli import main; code = main(['lint']); "
        "heavy = {'airflow', 'sqlalchemy', 'simple_salesforce', 'pagerduty', 'requests', 'httpx'}; "
        "print(sorted(heavy & set(sys.modules))); sys.exit(code)"
    )
    said = pdsf.python(program)
    assert (said.code, said.out.splitlines()[-1]) == (0, "[]")


LIVE_MISTAKES = """\
version: 1
name: Mistaken
enabled: true
rules:
  - name: Page
    object: Case
    run_on: salesforce
    when:
      all:
        - { field: Case.Priorty, operation: equals, value: High }
        - { field: Case.Priority, operation: equals, value: Hihg }
        - { field: Case.Acount.Type, operation: is_not_blank }
    actions:
      - create_incident:
          service: Support P9
          title: "{{ record.Subjct }}"
          priority: P0
          escalation_policy: Nobody on call
      - add_responders: { users: [nobody@acme.example] }
      - run_incident_workflow: { workflow: Minor incident }
      - update_record:
          fields: { CaseNumber: "7", Status: Wrking }
  - name: No such object
    object: Caze
    run_on: salesforce
    when: { field: Caze.Name, operation: changed }
    actions:
      - add_note: { content: hello }
  - name: Makes a contact
    object: Contact
    run_on: pagerduty
    when: { field: event.type, operation: equals, value: trigger }
    actions:
      - create_record: { fields: { FirstName: Ada } }
"""


def test_live_lint_finds_what_the_accounts_do_not_have(pdsf: Shell) -> None:
    """Objects, fields, picklist values, required fields, services, people and workflows are looked up."""
    pdsf.rules(LIVE_MISTAKES)
    assert pdsf("lint").code == 0
    with pdsf.world.silence():
        said = pdsf("lint", "--live", "--json")
    assert said.code == 3
    found = {(one["line"], one["code"]) for one in said.json["diagnostics"]}
    assert found == {
        (10, "unknown-field"),
        (11, "unknown-picklist-value"),
        (12, "unknown-field"),
        (15, "unknown-service"),
        (16, "unknown-field"),
        (17, "unknown-priority"),
        (18, "unknown-escalation-policy"),
        (19, "unknown-user"),
        (20, "unknown-workflow"),
        (22, "not-writable"),
        (22, "unknown-picklist-value"),
        (24, "unknown-object"),
        (34, "missing-required"),
        (34, "no-incident-id"),
    }
    hints = {one["line"]: one["hint"] for one in said.json["diagnostics"]}
    assert hints[10] == "Did you mean 'Priority'?"
    assert hints[24] == "Did you mean 'Case'?"
    assert "'Support P1'" in hints[15]


def test_live_lint_is_content_with_a_good_file(pdsf: Shell) -> None:
    """What the accounts have is not complained about."""
    pdsf.rules()
    said = pdsf("lint", "--live")
    assert said.code == 0, said.out


def test_live_lint_without_a_connection_cannot_run(
    pdsf: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused key exits 1 and names the connection; the key is not told."""
    pdsf.rules()
    refused = json.loads(pdsf.world.sandbox.connections["AIRFLOW_CONN_PAGERDUTY_DEFAULT"])
    refused["password"] = "a-secret-that-is-wrong"
    monkeypatch.setenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT", json.dumps(refused))
    said = pdsf("lint", "--live")
    assert said.code == 1
    assert "pagerduty_default" in said.err
    assert "a-secret-that-is-wrong" not in said.err + said.out


def test_schema_is_a_json_schema(pdsf: Shell) -> None:
    """`pdsf schema` prints one JSON Schema, and writes it beside the rules with the line for editors."""
    assert pdsf("schema").json["title"] == "Ruleset of pd-sf-rules"
    path = pdsf.world.home / "rulesets" / "ruleset.schema.json"
    said = pdsf("schema", "--write", str(path))
    assert said.out == "# yaml-language-server: $schema=./ruleset.schema.json\n"
    assert "properties" in json.loads(path.read_text())


RULE_TEST = """\
tests:
  - name: An escalated case pages
    rule: Page support
    event: updated
    record: { Priority: High, Status: Escalated, CaseNumber: "7", Subject: Down }
    old: { Status: New }
    expect:
      - create_incident: { service: Support P1, title: "Case 7: Down" }
"""


def test_rule_tests_pass(pdsf: Shell) -> None:
    """Tests beside a ruleset run and exit 0."""
    pdsf.rules()
    pdsf.rules(RULE_TEST, "critical.test.yaml")
    said = pdsf("test")
    assert said.code == 0, said.out
    assert "1 passed, 0 failed." in said.out


def test_a_failing_rule_test_shows_what_differs(pdsf: Shell) -> None:
    """A failed test exits 3 with expected and got, and what the rule said."""
    pdsf.rules()
    pdsf.rules(RULE_TEST.replace("Case 7: Down", "Case 8: Down"), "critical.test.yaml")
    said = pdsf("test")
    assert said.code == 3
    assert '-     title: "Case 8: Down"' in said.out
    assert '+     title: "Case 7: Down"' in said.out
    assert pdsf("test", "--json").json["failed"] == 1


def test_no_rule_tests_is_said(pdsf: Shell) -> None:
    """A folder without tests exits 1: a CI job must not pass because it looked at the wrong place."""
    pdsf.rules()
    said = pdsf("test")
    assert said.code == 1
    assert "There are no rule tests" in said.err


def test_the_examples_fit_the_sandbox(pdsf: Shell) -> None:
    """Objects, fields, values, services and people that the shipped examples name are there to play with."""
    said = pdsf("lint", "--live", "--json", str(ROOT / "include" / "rulesets"))
    assert said.json["errors"] == 0, said.out
