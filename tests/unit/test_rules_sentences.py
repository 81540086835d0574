"""A rule in sentences: every operation and every action has its words, and nothing of a rule is left out."""

from pathlib import Path

import pytest

from pd_sf_rules.rules.action_schema import ACTIONS
from pd_sf_rules.rules.fields import parse_field
from pd_sf_rules.rules.loader import load_folder, load_text
from pd_sf_rules.rules.operations import OPERATIONS
from pd_sf_rules.rules.ruleset import ActionSpec, Condition, Rule, conditions_of
from pd_sf_rules.rules.sentences import Told, told

EXAMPLES = Path(__file__).resolve().parents[2] / "include" / "rulesets"
TEXT = """\
version: 1
name: R
enabled: true
rules:
  - name: Page
    object: Case
    run_on: salesforce
    scope: created_by_ruleset
    stop: true
    when:
      all:
        - { field: Case.Priority, operation: equals, value: High }
        - not: { field: Case.Origin, operation: in, value: [Web, Phone] }
        - any:
            - { field: Case.Status, operation: changed_to, value: null }
            - { field: Case.Amount__c, operation: greater_than, value: 10 }
    actions:
      - create_incident: { service: Support P1, title: "Case `{{ record.CaseNumber }}`", urgency: high }
      - update_record: { fields: { Status: Escalated } }
      - resolve_incident:
"""


def _flat(one: Told) -> list[str]:
    return [one.text, *(text for each in one.below for text in _flat(each))]


def test_a_rule_reads_as_sentences() -> None:
    """When it looks, what must hold as a nested list, and what it does in order, with every parameter given."""
    ruleset, _ = load_text(TEXT, "r.yaml")
    assert ruleset is not None
    said = told(ruleset.rules[0])
    assert said.opening == (
        "When `Case` records are created or changed in Salesforce, if this ruleset has made the pair"
    )
    assert _flat(said.when) == [
        "all of these hold:",
        "`Case.Priority` is `High`",
        "this does not hold:",
        "`Case.Origin` is one of `Web`, `Phone`",
        "any of these holds:",
        "`Case.Status` has changed to blank",
        "`Case.Amount__c` is greater than `10`",
    ]
    assert [_flat(one) for one in said.then] == [
        [
            "create an incident on service `Support P1`, titled `Case '{{ record.CaseNumber }}'`",
            "urgency `high`",
        ],
        ["update the linked record", "`Status` becomes `Escalated`"],
        ["resolve the linked incidents"],
    ]
    assert said.closing


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_has_words(operation: str) -> None:
    """No condition that a file may hold is without a sentence."""
    condition = Condition("Case.Status", parse_field("Case.Status", "Case"), operation, "x")
    rule = Rule("R", "Case", "salesforce", "all", False, condition, ())
    assert told(rule).when.text.startswith("`Case.Status` ")


@pytest.mark.parametrize("kind", ACTIONS)
def test_every_action_has_words(kind: str) -> None:
    """No action that a file may hold is without a sentence, and each of its parameters is told."""
    params = {name: f"<{name}>" for name in ACTIONS[kind].model_fields}
    rule = Rule(
        "R", "Case", "pagerduty", "all", False,
        Condition("event.type", parse_field("event.type", "Case"), "equals", "acknowledge"),
        (ActionSpec(kind, params),),
    )  # fmt: skip
    (said,) = told(rule).then
    words = " ".join(_flat(said))
    assert all(value in words for value in params.values())


def test_the_examples_read_well() -> None:
    """Each rule of the shipped rulesets has as many conditions and actions in its sentences as in its file."""
    rulesets, _ = load_folder(EXAMPLES)
    rules = [rule for ruleset in rulesets for rule in ruleset.rules]
    assert rules
    for rule in rules:
        said = told(rule)
        leaves = [text for text in _flat(said.when) if text.startswith("`")]
        assert len(leaves) == len(conditions_of(rule.when))
        assert len(said.then) == len(rule.actions)
