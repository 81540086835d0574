"""Ruleset files become rulesets, or findings that say where and what to do."""

import os
from pathlib import Path

import pytest

from pd_sf_rules.rules.action_schema import ACTIONS
from pd_sf_rules.rules.diagnostics import Diagnostic, render
from pd_sf_rules.rules.loader import load_folder, load_text, version_of
from pd_sf_rules.rules.ruleset import Condition, Group, Ruleset
from tests.unit.rule_texts import WHOLE_FILE, one_rule


def loaded(text: str) -> Ruleset:
    """Return the ruleset of a text that must load."""
    ruleset, diagnostics = load_text(text, "rules.yaml")
    assert ruleset is not None, [render(each, text) for each in diagnostics]
    assert diagnostics == ()
    return ruleset


def refused(text: str) -> tuple[Diagnostic, ...]:
    """Return the findings of a text that must not load."""
    ruleset, diagnostics = load_text(text, "rules.yaml")
    assert ruleset is None
    assert all(each.severity == "error" and each.message and each.code for each in diagnostics)
    return diagnostics


def only(text: str) -> Diagnostic:
    """Return the one finding of a text that must not load."""
    (finding,) = refused(text)
    return finding


def test_the_whole_file_of_the_contract_loads() -> None:
    """Every key of the documented example arrives in the frozen ruleset."""
    ruleset = loaded(WHOLE_FILE)
    first, second = ruleset.rules
    assert (ruleset.name, ruleset.enabled, ruleset.mode) == ("Critical cases", True, "live")
    assert (ruleset.integration, ruleset.path) == ("default", "rules.yaml")
    assert ruleset.version == version_of(WHOLE_FILE)
    assert len(ruleset.version) == 12
    assert (first.object, first.run_on, first.scope, first.stop) == (
        "Case",
        "salesforce",
        "all",
        False,
    )
    assert first.line == 7
    assert isinstance(first.when, Group)
    leaf = first.when.members[0]
    assert isinstance(leaf, Condition)
    assert (leaf.name, leaf.ref.path, leaf.operation, leaf.expected, leaf.line) == (
        "Case.Priority",
        "Priority",
        "equals",
        "High",
        13,
    )
    assert [(each.kind, each.line) for each in first.actions] == [
        ("create_incident", 19),
        ("update_record", 24),
    ]
    assert first.actions[0].params == {
        "service": "Support P1",
        "title": "Case {{ record.CaseNumber }}: {{ record.Subject }}",
        "urgency": "high",
        "priority": "P1",
        "when_linked": "skip",
    }
    assert second.run_on == "pagerduty"


def test_an_unchanged_file_is_not_read_again() -> None:
    """The same text under the same path gives the very same ruleset; another text does not."""
    text = one_rule(name="Once")
    assert loaded(text) is loaded(str(text))
    assert loaded(text + "# more\n") is not loaded(text)


def test_defaults_are_the_safe_ones() -> None:
    """A file without enabled is off; scope, stop, mode and integration have their defaults."""
    ruleset = loaded(one_rule(header=""))
    assert (ruleset.enabled, ruleset.mode, ruleset.integration) == (False, "live", "default")
    assert (ruleset.rules[0].scope, ruleset.rules[0].stop) == ("all", False)


def test_stop_scope_shadow_and_another_integration_are_read() -> None:
    """The optional keys arrive."""
    text = one_rule(
        extra="    scope: created_by_ruleset\n    stop: true\n",
        header="mode: shadow\nintegration: emea",
    )
    ruleset = loaded(text)
    assert (ruleset.mode, ruleset.integration) == ("shadow", "emea")
    assert (ruleset.rules[0].scope, ruleset.rules[0].stop) == ("created_by_ruleset", True)


GOOD_ACTIONS = {
    "create_incident": "{ service: S, title: T, urgency: low, priority: P1, details: D,"
    " escalation_policy: E, incident_type: I, custom_fields: { a: 1, b: [x, y] },"
    " conference_bridge: { conference_url: 'https://meet.example' }, when_linked: any_open }",
    "acknowledge_incident": "{ resolution: R }",
    "resolve_incident": "{}",
    "set_priority": "{ priority: P1 }",
    "set_urgency": "{ urgency: \"{{ 'high' if record.X else 'low' }}\" }",
    "reassign_incident": "{ users: [a@example.com] }",
    "run_incident_workflow": "{ workflow: W }",
    "run_response_play": "{ response_play: P }",
    "add_responders": "{ users: a@example.com, escalation_policies: [E, F], message: M }",
    "add_note": "{ content: C }",
    "publish_status_update": "{ message: M }",
    "set_custom_fields": "{ fields: { a: null, b: '{{ record.X }}' } }",
    "reopen_incident": "",
    "update_record": "{ fields: { Status: New, Flag__c: true, N__c: 1.5, Gone__c: null } }",
    "create_record": "{ fields: { Subject: S }, object: Task, when_linked: create }",
    "post_comment": "{ body: B, visibility: public }",
}


@pytest.mark.parametrize("kind", ACTIONS)
def test_every_action_loads_with_all_its_parameters(kind: str) -> None:
    """Each action of the language is accepted with the parameters it documents."""
    ruleset = loaded(one_rule(actions=f"[{{ {kind}: {GOOD_ACTIONS[kind]} }}]"))
    (action,) = ruleset.rules[0].actions
    assert action.kind == kind
    written = {name for name in ACTIONS[kind].model_fields if f"{name}:" in GOOD_ACTIONS[kind]}
    defaults = {"when_linked", "visibility"} & set(ACTIONS[kind].model_fields)
    assert set(action.params) == written | defaults


def test_an_action_gets_its_defaults() -> None:
    """What an applier needs to know is in the parameters: visibility, when_linked, the object, lists."""
    actions = (
        "[{ post_comment: { body: B } }, { create_record: { fields: { Subject: S } } },"
        " { create_incident: { service: S, title: T, assign_to: a@example.com } }]"
    )
    comment, record, incident = loaded(one_rule(actions=actions)).rules[0].actions
    assert comment.params["visibility"] == "internal"
    assert (record.params["object"], record.params["when_linked"]) == ("Case", "skip")
    assert incident.params["assign_to"] == ["a@example.com"]


BAD_ACTIONS = [
    ("create_incident: { title: T }", "missing-key", "needs 'service'"),
    ("create_incident: { service: S }", "missing-key", "needs 'title'"),
    ("create_incident: { service: 5, title: T }", "wrong-type", "'service' must be text, not 5"),
    ("create_incident: { service: S, title: '' }", "empty", "'title' is empty"),
    ("create_incident: { service: S, title: T, priority: }", "empty", "empty"),
    ("create_incident: { service: S, title: T, urgency: High }", "urgency", "'high' or 'low'"),
    (
        "create_incident: { service: S, title: T, assign_to: [a, b] }",
        "bad-value",
        "assigned to one user",
    ),
    (
        "create_incident: { service: S, title: T, assign_to: a, escalation_policy: E }",
        "exclusive",
        "not both",
    ),
    (
        "create_incident: { service: S, title: T, when_linked: create }",
        "bad-value",
        "'skip' or 'any_open'",
    ),
    (
        "create_incident: { service: S, title: T, conference_bridge: { url: x } }",
        "unknown-key",
        "no key 'url'",
    ),
    ("set_priority: {}", "missing-key", "needs 'priority'"),
    ("set_priority:", "wrong-type", "'set_priority' must be a mapping, not empty"),
    ("set_urgency: { urgency: medium }", "urgency", "'medium'"),
    ("reassign_incident: {}", "exclusive", "either"),
    ("reassign_incident: { users: [a], escalation_policy: E }", "exclusive", "either"),
    ("reassign_incident: { users: [] }", "empty", "'users' is empty"),
    ("run_incident_workflow: {}", "missing-key", "needs 'workflow'"),
    ("run_response_play: {}", "missing-key", "needs 'response_play'"),
    ("add_responders: { message: M }", "exclusive", "'users', 'escalation_policies'"),
    ("add_note: {}", "missing-key", "needs 'content'"),
    ("add_note: { content: [a] }", "wrong-type", "not a list"),
    ("publish_status_update: {}", "missing-key", "needs 'message'"),
    ("set_custom_fields: {}", "missing-key", "needs 'fields'"),
    ("set_custom_fields: { fields: {} }", "empty", "'fields' is empty"),
    ("update_record: {}", "missing-key", "needs 'fields'"),
    ("update_record: { fields: [a] }", "wrong-type", "must be a mapping"),
    ("update_record: { fields: { Case.Status: New } }", "field-name", "'Case.Status'"),
    ("update_record: { fields: { Status: [A, B] } }", "scalar", "one value"),
    ("create_record: { fields: { A: 1 }, object: 'Not an object' }", "bad-value", "API name"),
    ("post_comment: { body: B, visibility: secret }", "bad-value", "'internal' or 'public'"),
    ("reopen_incident: { now: true }", "unknown-key", "no key 'now'"),
    ("resolve_incident: [a]", "wrong-type", "must be a mapping"),
    ("update_recrod: { fields: { A: 1 } }", "unknown-action", "no action 'update_recrod'"),
]


@pytest.mark.parametrize(("action", "code", "said"), BAD_ACTIONS)
def test_an_action_that_cannot_be_done_is_refused(action: str, code: str, said: str) -> None:
    """Missing, unknown and ill-typed parameters are one finding each, on the action's line."""
    finding = only(one_rule(actions=f"[{{ {action} }}]"))
    assert (finding.code, finding.line) == (code, 9)
    assert said in finding.message
    assert finding.hint


BAD_CONDITIONS = [
    ("{ field: Case.A, operation: equal, value: x }", "unknown-operation", "'equals'"),
    ("{ field: Case.A, operation: equals }", "missing-key", "value"),
    ("{ field: Case.A, value: x }", "missing-key", "operation"),
    ("{ operation: equals, value: x }", "missing-key", "field"),
    ("{ field: Case.A, operation: equals, value: x, case: no }", "unknown-key", "Known here"),
    ("{ field: Case.A, operation: equals, value: '' }", "bad-value", "is_blank"),
    ("{ field: Case.A, operation: equals, value: null }", "bad-value", "is_blank"),
    ("{ field: Case.A, operation: equals, value: [x] }", "bad-value", "'in'"),
    ("{ field: Case.A, operation: equals, value: { a: 1 } }", "scalar", ""),
    ("{ field: Case.A, operation: in, value: x }", "bad-value", "[A, B]"),
    ("{ field: Case.A, operation: in, value: [] }", "bad-value", "Add"),
    ("{ field: Case.A, operation: not_in, value: [x, ''] }", "bad-value", "is_blank"),
    ("{ field: Case.A, operation: contains, value: true }", "bad-value", "equals"),
    ("{ field: Case.A, operation: starts_with, value: [a] }", "bad-value", "any:"),
    ("{ field: Case.A, operation: greater_than, value: High }", "bad-value", "number"),
    ("{ field: Case.A, operation: greater_than, value: '10' }", "bad-value", "without quotes"),
    ("{ field: Case.A, operation: less_than, value: true }", "bad-value", "number"),
    ("{ field: Case.A, operation: less_or_equal, value: [1] }", "bad-value", "number"),
    ("{ field: Case.A, operation: is_blank, value: true }", "bad-value", "Remove"),
    ("{ field: Case.A, operation: changed, value: x }", "bad-value", "Remove"),
    ("{ field: Case.A, operation: increased, value: 1 }", "bad-value", "Remove"),
    ("{ field: Case.A, operation: changed_to, value: [x] }", "bad-value", "'in'"),
    ("{ field: Case.A, operation: changed_from }", "missing-key", "value"),
    ("{ field: Case.A, operation: includes, value: ';' }", "bad-value", "is_blank"),
    ("{ field: Case.A, operation: includes, value: [] }", "bad-value", "is_blank"),
    ("{ field: Case.A, operation: matches, value: 5 }", "bad-regex", "Quote"),
    ("{ field: Case.A, operation: matches, value: '' }", "bad-regex", "everything"),
    ("{ field: Case.A, operation: matches, value: '(' }", "bad-regex", "backslash"),
    ("{ field: Case.A, operation: matches, value: '(?=x)' }", "bad-regex", "not_matches"),
    (r"{ field: Case.A, operation: not_matches, value: '(a)\1' }", "bad-regex", "alternatives"),
    ("{ field: Case.A, operation: matches, value: 'a++' }", "bad-regex", "backtracks"),
    ("{ field: Case.A, operation: matches, value: '(?x)a' }", "bad-regex", "(?i)"),
    ("{ field: Status, operation: changed }", "bad-field", "'Case.Status'"),
    ("{ field: Account.Name, operation: changed }", "bad-field", "Case."),
    ("{ field: record.Status, operation: changed }", "bad-field", "'Case.Status'"),
    ("{ field: Case, operation: changed }", "bad-field", "Case.Case"),
    ("{ field: Case.A-B, operation: changed }", "bad-field", "FieldName"),
    ("{ field: Case.A.B.C.D.E.F.G, operation: changed }", "bad-field", "no further"),
    ("{ field: incident.state, operation: is_blank }", "bad-field", "incident.status"),
    ("{ field: incident.custom_fields.a b, operation: is_blank }", "bad-field", "API name"),
    ("{ field: event.typ, operation: is_blank }", "bad-field", "event.type"),
    ("{ field: event.agent, operation: changed }", "bad-value", "record"),
    (
        "{ field: event.type, operation: equals, value: acknowledged }",
        "unknown-event-type",
        "'acknowledge'",
    ),
    (
        "{ field: event.type, operation: in, value: [created, zzz] }",
        "unknown-event-type",
        "Known",
    ),
    ("{ field: event.source, operation: equals, value: slack }", "bad-value", "pagerduty"),
    ("{ all: [] }", "empty", "value"),
    ("{ all: { field: Case.A, operation: is_blank } }", "wrong-type", "list"),
    ("{ any: [5] }", "condition-shape", "all:"),
    ("{ not: [{ field: Case.A, operation: is_blank }] }", "condition-shape", "all:"),
    ("{ all: [{ field: Case.A, operation: changed }], any: [] }", "unknown-key", "nest"),
    ("5", "condition-shape", "field:"),
    ("", "condition-shape", "field:"),
]


@pytest.mark.parametrize(("condition", "code", "hinted"), BAD_CONDITIONS)
def test_a_condition_that_cannot_be_judged_is_refused(
    condition: str, code: str, hinted: str
) -> None:
    """Unknown fields, operations and values of the wrong kind are one finding each, with a fix."""
    finding = only(one_rule(when=condition))
    assert (finding.code, finding.line) == (code, 8)
    assert hinted in f"{finding.message} {finding.hint}"


def test_a_finding_points_at_the_very_column() -> None:
    """Line and column are those of the value, and the caret shows it."""
    text = one_rule(when="{ field: Case.A, operation: equal, value: x }")
    finding = only(text)
    assert (finding.line, finding.column) == (8, 39)
    shown = render(finding, text).splitlines()
    assert shown[0].startswith("rules.yaml:8:39: error: There is no operation 'equal'.")
    assert shown[1].endswith("when: { field: Case.A, operation: equal, value: x }")
    assert shown[2].index("^") == shown[1].index("equal,")
    assert shown[2].count("^") == 5
    assert shown[3] == "      fix: Did you mean 'equals'?"


BAD_FILES = [
    ("", "not-a-ruleset", "is empty"),
    ("just text", "not-a-ruleset", "mapping"),
    ("[1, 2]", "not-a-ruleset", "mapping"),
    ("name: x\nrules: []", "empty", "'rules' is empty"),
    ("name: x", "missing-key", "'rules'"),
    (one_rule(header="enabled: yes"), "wrong-type", "true or false"),
    (one_rule(header="enabled: 'true'"), "wrong-type", "true or false"),
    (one_rule(header="enabled: 1"), "wrong-type", "true or false"),
    (one_rule(header="mode: live-ish"), "bad-value", "'live' or 'shadow'"),
    (one_rule(header="enable: true"), "unknown-key", "no key 'enable'"),
    (one_rule().replace("version: 1", "version: 2"), "bad-value", "'version' must be 1"),
    (one_rule(name="5"), "wrong-type", "'name' must be text, not 5"),
    (one_rule(name="''"), "empty", "'name' is empty"),
    (one_rule(extra="    stop: on\n"), "wrong-type", "true or false"),
    (one_rule(extra="    scop: all\n"), "unknown-key", "'scop'"),
    (one_rule(run_on="slack"), "bad-value", "'salesforce' or 'pagerduty'"),
    (one_rule(extra="    object: Case\n"), "duplicate-key", "stands twice"),
    (one_rule().replace("object: Case", "object: Ca se"), "bad-value", "API name"),
    (one_rule(actions="[]"), "empty", "'actions' is empty"),
    (one_rule(actions="[reopen_incident]"), "action-shape", "one key"),
    (one_rule(actions="[{ add_note: { content: x }, reopen_incident: {} }]"), "action-shape", ""),
]


@pytest.mark.parametrize(("text", "code", "said"), BAD_FILES)
def test_a_file_that_is_no_ruleset_is_refused(text: str, code: str, said: str) -> None:
    """Every key of the file has its kind, and no other key is known."""
    finding = only(text)
    assert finding.code == code
    assert said in finding.message


def test_two_rules_of_one_name_are_refused() -> None:
    """The second of two rules with one name is the finding, and it names the first."""
    rules = WHOLE_FILE.replace("Mirror acknowledgement", "Page support on a critical case")
    finding = only(rules)
    assert (finding.code, finding.line, finding.column) == ("duplicate-rule", 27, 11)
    assert "line 7" in finding.message


def test_every_problem_of_a_file_is_found_at_once() -> None:
    """What is sound in a broken rule, and a sound rule beside it, are checked all the same."""
    text = WHOLE_FILE.replace("operation: equals, value: High", "operation: equal, value: High")
    text = text.replace("fields: { Status: Working }", "feilds: { Status: Working }")
    text = text.replace("'(?i)", "'(?=").replace("record.Subject", "recrod.Subject")
    text = text.replace("run_on: salesforce", "run_on: slack")
    text = text.replace("urgency: high", "urgncy: high")
    assert [(each.code, each.line) for each in refused(text)] == [
        ("bad-value", 9),
        ("unknown-operation", 13),
        ("bad-regex", 17),
        ("bad-template", 21),
        ("unknown-key", 22),
        ("missing-key", 34),
        ("unknown-key", 35),
    ]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ recrd.Subject }}", "There is no 'recrd'"),
        ("{{ record }}", "group of fields"),
        ("{{ incident.titel }}", "incident.titel"),
        ("{{ event.kind }}", "event.kind"),
        ("{{ links.url }}", "links.url"),
        ("{{ rule.id }}", "rule.id"),
        ("{{ record.Subject", "cannot be read"),
        ("{% if %}", "cannot be read"),
        ("{{ record.Subject | uper }}", "no filter 'uper'"),
        ("{% for a in record.B %}{% endfor %}", "no loops"),
        ("{{ cycler(1) }}", "calls nothing"),
    ],
)
def test_templates_are_checked_when_the_file_is_loaded(template: str, said: str) -> None:
    """A bad template is found at load, at the parameter that holds it."""
    finding = only(one_rule(actions=f'[{{ add_note: {{ content: "{template}" }} }}]'))
    assert (finding.code, finding.line, finding.column) == ("bad-template", 9, 38)
    assert said in finding.message


def test_templates_are_checked_wherever_text_stands() -> None:
    """Fields, lists and custom fields hold templates too."""
    for action in (
        "update_record: { fields: { A: '{{ nope }}' } }",
        "reassign_incident: { users: [a, '{{ nope }}'] }",
        "set_custom_fields: { fields: { A: ['{{ nope }}'] } }",
    ):
        assert only(one_rule(actions=f"[{{ {action} }}]")).code == "bad-template"


def write(folder: Path, **files: str) -> None:
    """Write files into a folder; `__` in a name stands for a dot."""
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")


def test_a_folder_is_read_in_file_name_order(tmp_path: Path) -> None:
    """Rulesets come in file-name order; tests, hidden and other files are left alone."""
    write(
        tmp_path,
        b__yaml=one_rule(name="B"),
        a__yml=one_rule(name="A"),
        c__test__yaml="tests: []",
        d__test__yml="tests: []",
        notes__txt="no",
        schema__json="{}",
    )
    (tmp_path / ".hidden.yaml").write_text("no", encoding="utf-8")
    rulesets, diagnostics = load_folder(tmp_path)
    assert [each.name for each in rulesets] == ["A", "B"]
    assert [each.path for each in rulesets] == [str(tmp_path / "a.yml"), str(tmp_path / "b.yaml")]
    assert diagnostics == ()


def test_one_bad_file_never_stops_the_others(tmp_path: Path) -> None:
    """Unreadable, hostile and wrong files are findings; the good ones load."""
    write(tmp_path, a__yaml=one_rule(name="A"), broken__yaml="a: [", z__yaml=one_rule(name="Z"))
    (tmp_path / "binary.yaml").write_bytes(b"name: \xff\xfe")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    with (tmp_path / "huge.yaml").open("wb") as huge:
        os.truncate(huge.fileno(), 9_000_000)
    rulesets, diagnostics = load_folder(tmp_path)
    assert [each.name for each in rulesets] == ["A", "Z"]
    assert [(Path(each.path).name, each.code) for each in diagnostics] == [
        ("binary.yaml", "unreadable"),
        ("broken.yaml", "yaml-syntax"),
        ("folder.yaml", "unreadable"),
        ("gone.yaml", "unreadable"),
        ("huge.yaml", "unreadable"),
    ]
    assert (diagnostics[0].line, diagnostics[0].column) == (1, 7)


def test_of_two_files_with_one_name_the_second_is_left_out(tmp_path: Path) -> None:
    """A ruleset's name is unique among the files."""
    write(tmp_path, a__yaml=one_rule(name="Same"), b__yaml=one_rule(name="Same"))
    rulesets, (finding,) = load_folder(tmp_path)
    assert [Path(each.path).name for each in rulesets] == ["a.yaml"]
    assert (finding.code, finding.line, finding.column) == ("duplicate-ruleset", 2, 7)
    assert "a.yaml" in finding.message


def test_a_missing_folder_is_one_finding(tmp_path: Path) -> None:
    """A folder that is not there is said, not raised."""
    rulesets, (finding,) = load_folder(tmp_path / "nowhere")
    assert rulesets == ()
    assert (finding.code, finding.severity) == ("unreadable", "error")


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    """Files saved by Windows editors load."""
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + one_rule().encode().replace(b"\n", b"\r\n"))
    rulesets, diagnostics = load_folder(tmp_path)
    assert len(rulesets) == 1
    assert diagnostics == ()
