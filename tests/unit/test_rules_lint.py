"""What lint says about rules that load but are wrong or doubtful together."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pd_sf_rules.model import Event
from pd_sf_rules.rules.compiled import compile_rule, subject_of
from pd_sf_rules.rules.contradictions import why_never
from pd_sf_rules.rules.diagnostics import (
    Diagnostic,
    did_you_mean,
    render,
    render_github,
    render_human,
    render_json,
    to_github,
)
from pd_sf_rules.rules.fields import EVENT_TYPES, FieldTypes
from pd_sf_rules.rules.lint import IntegrationFacts, Integrations, lint_rulesets
from pd_sf_rules.rules.loader import load_files, load_folder, load_text
from pd_sf_rules.rules.ruleset import Rule, Ruleset, When
from tests.unit.rule_strategies import EVENTS, PATIENT, TREES, TYPES, conjunctions
from tests.unit.rule_texts import WHOLE_FILE, one_rule

DEFAULT = {"default": IntegrationFacts(response_plays={"Old play": "New workflow"})}


def found(*texts: str) -> tuple[Diagnostic, ...]:
    """Return what lint says about files that load."""
    rulesets = []
    for at, text in enumerate(texts):
        ruleset, diagnostics = load_text(text, f"{at}.yaml")
        assert ruleset is not None, diagnostics
        rulesets.append(ruleset)
    return lint_rulesets(rulesets, DEFAULT)


def rules(*bodies: str, name: str = "Two") -> str:
    """Return a file of rules; each body is `run_on | when | actions`, in YAML's flow style."""
    text = f"name: {name}\nrules:\n"
    for at, body in enumerate(bodies):
        run_on, when, actions = body.split(" | ")
        text += (
            f"  - name: R{at + 1}\n    object: Case\n    run_on: {run_on}\n"
            f"    when: {when}\n    actions: [{actions}]\n"
        )
    return text


def test_a_sound_file_has_no_findings() -> None:
    """The documented example is clean."""
    assert found(WHOLE_FILE) == ()


def test_an_unknown_integration_is_an_error() -> None:
    """The integration must be one of those there are; a near name is offered."""
    (finding,) = found(one_rule(header="integration: defualt"))
    assert (finding.severity, finding.code) == ("error", "unknown-integration")
    assert (finding.line, finding.column) == (3, 14)
    assert finding.hint == "Did you mean 'default'?"
    ruleset, _ = load_text(one_rule(header="integration: defualt"), "x")
    assert ruleset is not None
    assert lint_rulesets([ruleset]) == ()
    (missing,) = lint_rulesets([ruleset], {})
    assert "Known integrations: none." in missing.hint


def test_a_response_play_must_be_mapped() -> None:
    """PagerDuty removed response plays: the integration file says which workflow replaces one."""
    assert found(one_rule(actions="[{ run_response_play: { response_play: Old play } }]")) == ()
    (finding,) = found(one_rule(actions="[{ run_response_play: { response_play: Old plan } }]"))
    assert (finding.severity, finding.code) == ("error", "unmapped-response-play")
    assert (finding.line, finding.column) == (9, 53)
    assert finding.hint == "Did you mean 'Old play'?"
    (other,) = found(one_rule(actions="[{ run_response_play: { response_play: Zzz } }]"))
    assert "response_plays of the integration 'default'" in other.hint


def all_of(*conditions: str) -> str:
    """Return an all: group; each condition is `field operation value`."""
    return "{ all: [" + ", ".join(_condition(each) for each in conditions) + "] }"


def _condition(words: str) -> str:
    field, operation, *value = words.split(" ", 2)
    given = f", value: {value[0]}" if value else ""
    return f"{{ field: {field}, operation: {operation}{given} }}"


NEVER = [
    all_of("Case.A equals x", "Case.A equals y"),
    all_of("Case.A equals x", "Case.A is_blank"),
    all_of("Case.A equals x", "Case.A not_equals X"),
    all_of("Case.A in [x, y]", "Case.A in [z]"),
    all_of("Case.A in [x, y]", "Case.A not_in [y, x, z]"),
    all_of("Case.A equals x", "Case.A changed_to y"),
    all_of("Case.A equals abc", "Case.A contains z"),
    all_of("Case.A equals abc", "Case.A matches '^b'"),
    all_of("Case.A is_blank", "Case.A is_not_blank"),
    all_of("Case.A is_blank", "Case.A contains x"),
    all_of("Case.A is_blank", "Case.A greater_than 1"),
    all_of("Case.A equals 5", "Case.A greater_than 5"),
    all_of("Case.A greater_than 5", "Case.A less_than 5"),
    all_of("Case.A greater_or_equal 6", "Case.A less_or_equal 5"),
    all_of("Case.A greater_than 5", "Case.A less_or_equal 5"),
    all_of("Case.A greater_or_equal 5", "Case.A less_than 5"),
    all_of("Case.A greater_than 2026-02-01", "Case.A less_than 2026-01-01"),
    all_of("Case.A increased", "Case.A decreased"),
    all_of("Case.A changed_from x", "Case.A changed_from y"),
    all_of("Case.A changed_from x", "Case.A equals x"),
    all_of("event.type equals created", "Case.A changed_from x"),
    all_of("event.type equals created", "Case.A decreased"),
    all_of("event.type equals created", "event.type equals updated"),
    _condition("event.type equals acknowledge"),
    _condition("event.source equals pagerduty"),
    _condition("incident.status changed"),
    _condition("incident.status equals closed"),
    _condition("incident.urgency in [medium]"),
    "{ all: [" + _condition("Case.A equals x") + ", { any: [" + _condition("Case.A is_blank")
    + ", " + _condition("Case.A equals y") + "] }] }",
    "{ all: [" + _condition("Case.A equals x") + ", { not: " + _condition("Case.A equals X") + "}]}",
    "{ not: { any: [" + _condition("Case.A is_blank") + ", " + _condition("Case.A is_not_blank")
    + "] } }",
]  # fmt: skip


@pytest.mark.parametrize("when", NEVER)
def test_a_rule_that_can_never_match_is_warned_about(when: str) -> None:
    """Conditions that exclude each other are found through all, any and not."""
    (finding,) = found(one_rule(when=when))
    assert (finding.severity, finding.code) == ("warning", "never-matches")
    assert (finding.line, finding.column) == (8, 5)
    assert "'Only rule' can never match" in finding.message


MAYBE = [
    all_of("Case.A equals x", "Case.A equals X"),
    all_of("Case.A equals 5", "Case.A equals '5'"),
    all_of("Case.A in [x, y]", "Case.A not_equals x"),
    all_of("Case.A equals x", "Case.A changed"),
    all_of("Case.A changed_from x", "Case.A changed_to y"),
    all_of("Case.A changed_from null", "Case.A equals x"),
    all_of("Case.A changed_from x", "Case.A is_blank"),
    all_of("Case.A greater_or_equal 5", "Case.A less_or_equal 5"),
    all_of("Case.A greater_than 2026-01-01", "Case.A less_than 5"),
    all_of("Case.A greater_than 5", "Case.A less_than 2026-01-01"),
    all_of("Case.A greater_than 5", "Case.A less_than 6"),
    all_of("event.type equals created", "Case.A changed_from null"),
    all_of("event.type not_equals updated", "Case.A changed"),
    all_of("Case.A is_blank", "Case.B equals x", "incident.status is_blank"),
    all_of("Case.A is_blank", "Case.A not_contains x"),
    "{ any: [" + _condition("event.type equals acknowledge") + ", "
    + _condition("Case.A equals x") + "] }",
    "{ not: " + all_of("Case.A equals x", "Case.A equals y") + " }",
    "{ not: " + all_of("Case.A increased", "incident.status changed") + " }",
    "{ all: [" + ", ".join(
        "{ any: [" + ", ".join(_condition(f"Case.F{a} equals {b}") for b in range(9)) + "] }"
        for a in range(9)) + "] }",
]  # fmt: skip


@pytest.mark.parametrize("when", MAYBE)
def test_a_rule_that_may_match_is_left_alone(when: str) -> None:
    """No warning where some event could fit, or where it cannot be told."""
    assert found(one_rule(when=when)) == ()


@settings(PATIENT, max_examples=60)
@given(TREES | conjunctions(), EVENTS, TYPES, st.data())
def test_a_rule_that_never_matches_never_does(
    when: When, event: Event, types: FieldTypes, picked: st.DataObject
) -> None:
    """Whatever event comes, and whatever the types of the fields: a rule warned about does not match."""
    kind = picked.draw(st.sampled_from(EVENT_TYPES[event.source]))
    old = dict.fromkeys(event.record) if kind == "created" else event.old
    status = picked.draw(st.sampled_from([None, "triggered", "acknowledged", "resolved"]))
    event = dataclasses.replace(
        event, type=kind, old=old, incident={**event.incident, "status": status}
    )
    if why_never(when, event.source):
        rule = Rule("r", event.object or "", event.source, "all", False, when, ())
        ruleset = Ruleset("p", "n", "v", "", True, event.integration, "live", (rule,))
        compiled = compile_rule(ruleset, rule, types)
        assert not compiled.holds(subject_of(event, {rule.object: event.record}, rule.object))


def test_pagerduty_rules_have_their_own_event_types() -> None:
    """What can never be on one side is fine on the other."""
    acknowledge = _condition("event.type equals acknowledge")
    assert found(one_rule(when=acknowledge, run_on="pagerduty")) == ()
    assert found(one_rule(when=_condition("incident.status changed"), run_on="pagerduty")) == ()
    (finding,) = found(one_rule(when=_condition("Case.A changed"), run_on="pagerduty"))
    assert "asks the other side for a change" in finding.message


CLOSE = "{ update_record: { fields: { Status: Closed } } }"
OPEN = "{ create_record: { fields: { Subject: '{{ incident.title }}' } } }"
PAGE = "{ create_incident: { service: S, title: T } }"
WRITE_X = "{ update_record: { fields: { F: x } } }"
WRITE_Y = "{ update_record: { fields: { F: y, G: z } } }"


def test_two_rules_that_write_one_field_are_warned_about() -> None:
    """Two rules one event can fit, each writing its own value: the later one is named."""
    one = f"salesforce | {_condition('Case.A equals x')} | {WRITE_X}"
    two = f"salesforce | {_condition('Case.B equals x')} | {WRITE_Y}"
    (finding,) = found(rules(one, two))
    assert (finding.severity, finding.code, finding.line) == ("warning", "write-conflict", 12)
    assert "both 'R2' and 'R1' write Case.F," in finding.message
    (across,) = found(rules(one, name="A"), rules(two, name="B"))
    assert across.path == "1.yaml"
    assert "'R1' of 'A'" in across.message


@pytest.mark.parametrize(
    "second",
    [
        f"salesforce | {_condition('Case.B equals x')} | {WRITE_X}",
        f"salesforce | {_condition('Case.A equals y')} | {WRITE_Y}",
        f"pagerduty | {_condition('Case.B equals x')} | {WRITE_Y}",
        f"salesforce | {_condition('Case.B equals x')} | {{ update_record: {{ fields: {{ G: y }} }} }}",
    ],
    ids=["same value", "excluded", "other direction", "other field"],
)
def test_rules_that_cannot_disagree_are_left_alone(second: str) -> None:
    """The same value, conditions that exclude each other, or another field: no conflict."""
    assert found(rules(f"salesforce | {_condition('Case.A equals x')} | {WRITE_X}", second)) == ()


def test_stop_ends_a_conflict() -> None:
    """A first rule with stop keeps the second from judging the same event."""
    one = f"salesforce | {_condition('Case.A equals x')} | {WRITE_X}"
    two = f"salesforce | {_condition('Case.B equals x')} | {WRITE_Y}"
    text = rules(one, two)
    stopped = text.replace("  - name: R1\n", "  - name: R1\n    stop: true\n")
    assert len(found(text)) == 1
    assert found(stopped) == ()


def test_incident_sides_conflict_too() -> None:
    """Two priorities for one incident are a conflict."""
    (finding,) = found(
        rules(
            f"salesforce | {_condition('Case.A equals x')} | {{ set_priority: {{ priority: P1 }} }}",
            f"salesforce | {_condition('Case.B equals x')} | {{ set_priority: {{ priority: P2 }} }}",
        )
    )
    assert "incident.priority" in finding.message


def test_one_rule_that_writes_a_field_twice_is_warned_about() -> None:
    """Only the last value would stay."""
    (finding,) = found(one_rule(actions=f"[{WRITE_X}, {WRITE_Y}]"))
    assert (finding.code, finding.line) == ("write-conflict", 9)
    assert "writes Case.F twice" in finding.message


def test_rules_that_feed_each_other_are_warned_about() -> None:
    """A writes what B waits for, and B writes what A waits for, each time differently."""
    there = f"salesforce | {_condition('Case.Status changed')} | {{ add_note: {{ content: x }} }}"
    back = (
        f"pagerduty | {_condition('event.type equals annotate')} |"
        " { update_record: { fields: { Status: '{{ incident.status }}' } } }"
    )
    (finding,) = found(rules(there, back))
    assert (finding.severity, finding.code, finding.line) == ("warning", "loop", 3)
    assert "R1 → R2 → R1" in finding.message


def test_a_rule_that_feeds_itself_is_warned_about() -> None:
    """A template that writes the field whose change it waits for goes on for ever."""
    action = "{ update_record: { fields: { N: '{{ record.N + 1 }}' } } }"
    (finding,) = found(rules(f"salesforce | {_condition('Case.N changed')} | {action}"))
    assert (finding.code, "R1 → R1" in finding.message) == ("loop", True)


def test_two_constants_that_alternate_are_a_loop() -> None:
    """One rule sets x on y, the other y on x."""
    (finding,) = found(
        rules(
            f"salesforce | {_condition('Case.F changed_to y')} | {WRITE_X}",
            f"salesforce | {_condition('Case.F changed_to x')} | {WRITE_Y}",
        )
    )
    assert finding.code == "loop"


@pytest.mark.parametrize(
    "bodies",
    [
        [f"salesforce | {_condition('Case.F equals x')} | {WRITE_X}"],
        [
            f"salesforce | {_condition('Case.F changed_to x')} | {WRITE_Y}",
            f"salesforce | {_condition('Case.G changed_to q')} | {WRITE_X}",
        ],
        [
            f"salesforce | {_condition('Case.Status changed_to Closed')} | {{ resolve_incident: }}",
            f"pagerduty | {_condition('event.type equals resolve')} | {CLOSE}",
        ],
        [
            f"salesforce | {_condition('event.type equals created')} | {PAGE}",
            f"pagerduty | {_condition('event.type equals trigger')} | {OPEN}",
        ],
        [f"salesforce | {_condition('Case.F changed')} | {{ add_note: {{ content: x }} }}"],
    ],
    ids=["same value", "no such value", "settles", "guarded", "one way"],
)
def test_what_settles_is_no_loop(bodies: list[str]) -> None:
    """Rules that write what is there already, or that nothing feeds, are left alone."""
    assert [each for each in found(rules(*bodies)) if each.code == "loop"] == []


def test_a_comment_on_something_else_than_a_case_is_warned_about() -> None:
    """CaseComment belongs to Case."""
    text = one_rule(actions="[{ post_comment: { body: B } }]").replace("Case", "Opportunity")
    (finding,) = found(text)
    assert finding.code == "comment-target"


def test_a_folder_and_single_files_are_linted_alike(tmp_path: Path) -> None:
    """Errors of loading and of lint come together, by file and line."""
    (tmp_path / "a.yaml").write_text(one_rule(name="Same"), encoding="utf-8")
    (tmp_path / "b.yaml").write_text(one_rule(name="Same", run_on="slack"), encoding="utf-8")
    (tmp_path / "c.yaml").write_text(one_rule(header="integration: nope"), encoding="utf-8")
    everything = linted(load_folder(tmp_path), DEFAULT)
    assert [each.code for each in everything] == ["bad-value", "unknown-integration"]
    assert linted(load_files([tmp_path / "b.yaml"]), DEFAULT) == everything[:1]
    assert [each.code for each in linted(load_folder(tmp_path), None)] == ["bad-value"]


def linted(
    loaded: tuple[Sequence[Ruleset], Sequence[Diagnostic]], integrations: Integrations | None
) -> list[Diagnostic]:
    """What loading and lint find together, as `pdsf lint` prints it."""
    rulesets, diagnostics = loaded
    return [*diagnostics, *lint_rulesets(rulesets, integrations)]


FINDING = Diagnostic(
    "a,b:c.yaml", 2, 4, "100% wrong:\nreally.", "Mend it.", severity="warning", code="x-y"
)


def test_findings_for_people_show_the_place() -> None:
    """The excerpt, the caret, the hint and the counts."""
    shown = render_human([FINDING], {"a,b:c.yaml": "one: 1\nto\tu: é2\n"})
    assert shown.splitlines() == [
        "a,b:c.yaml:2:4: warning: 100% wrong:\ufffdreally. [x-y]",
        "    2 | to u: é2",
        "      |    ^",
        "      fix: Mend it.",
        "",
        "0 errors, 1 warning.",
    ]
    assert render_human([]) == "No problems found."


def test_a_long_line_is_shown_around_the_column() -> None:
    """The excerpt of a minified file stays readable, and a place outside of it shows none."""
    text = "x" * 500 + " here " + "y" * 500
    lines = render(Diagnostic("f", 1, 502, "m"), text).splitlines()
    assert len(lines[1]) < 130
    assert lines[1][lines[2].index("^") :].startswith("here")
    assert render(Diagnostic("f", 9, 1, "m"), text) == "f:9:1: error: m"


def test_findings_for_scripts_are_json() -> None:
    """All findings with counts."""
    answer = json.loads(render_json([FINDING]))
    assert (answer["errors"], answer["warnings"]) == (0, 1)
    assert answer["diagnostics"] == [
        {
            "path": "a,b:c.yaml",
            "line": 2,
            "column": 4,
            "message": "100% wrong:\nreally.",
            "hint": "Mend it.",
            "severity": "warning",
            "code": "x-y",
        }
    ]


def test_findings_for_github_are_escaped() -> None:
    """A workflow command is one line, with its properties escaped."""
    assert to_github(FINDING) == (
        "::warning file=a%2Cb%3Ac.yaml,line=2,col=4,title=x-y::100%25 wrong:%0Areally. Mend it."
    )
    assert render_github([FINDING, FINDING]).count("\n") == 1


def test_near_names_are_offered_and_far_ones_not() -> None:
    """Did you mean: caseless, and silent where nothing is near."""
    assert did_you_mean("Equls", ["equals", "in"]) == "Did you mean 'equals'?"
    assert did_you_mean("CASE", ["Case"]) == "Did you mean 'Case'?"
    assert did_you_mean("zzz", ["equals"]) == ""
