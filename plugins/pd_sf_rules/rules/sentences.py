"""A rule as a person would say it: when it looks, what must hold, what it does. `backticks` set off what is code."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pd_sf_rules.rules.reasons import shown
from pd_sf_rules.rules.ruleset import ActionSpec, Condition, Group, Rule, When

LONGEST = 160
"""Characters of a text parameter that are told; the file has the rest."""

_OPERATIONS: Mapping[str, str] = {
    "equals": "is",
    "not_equals": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "contains": "contains",
    "not_contains": "does not contain",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "matches": "matches the pattern",
    "not_matches": "does not match the pattern",
    "greater_than": "is greater than",
    "greater_or_equal": "is at least",
    "less_than": "is less than",
    "less_or_equal": "is at most",
    "is_blank": "is blank",
    "is_not_blank": "is not blank",
    "changed": "has changed",
    "changed_to": "has changed to",
    "changed_from": "has changed from",
    "increased": "has increased",
    "decreased": "has decreased",
    "includes": "includes",
    "excludes": "excludes",
}
_GROUPS = {"all": "all of these hold:", "any": "any of these holds:", "not": "this does not hold:"}
_PLAIN = {("when_linked", "skip"), ("scope", "all")}


@dataclass(frozen=True, slots=True)
class Told:
    """A sentence, and what stands indented below it."""

    text: str
    below: "Sequence[Told]" = ()


@dataclass(frozen=True, slots=True)
class RuleTold:
    """A whole rule: `opening` says when it looks, `when` what must hold, `then` what it does, in order."""

    name: str
    opening: str
    when: Told
    then: Sequence[Told]
    closing: str = ""


def told(rule: Rule) -> RuleTold:
    """Return a rule in sentences."""
    if rule.run_on == "salesforce":
        opening = f"When `{rule.object}` records are created or changed in Salesforce"
    else:
        opening = f"When something happens to an incident, for its linked `{rule.object}`"
    if rule.scope == "created_by_ruleset":
        opening += ", if this ruleset has made the pair"
    closing = "No later rule of this ruleset looks at the event then." if rule.stop else ""
    return RuleTold(
        rule.name, opening, _when(rule.when), [_action(a) for a in rule.actions], closing
    )


def _when(when: When) -> Told:
    if isinstance(when, Group):
        return Told(_GROUPS[when.kind], [_when(member) for member in when.members])
    return Told(_condition(when))


def _condition(condition: Condition) -> str:
    words = _OPERATIONS[condition.operation]
    field = _code(condition.name)
    if condition.expected is None:
        blank = condition.operation in {"changed_to", "changed_from"}
        return f"{field} {words}" + (" blank" if blank else "")
    return f"{field} {words} {_value(condition.expected)}"


def _action(action: ActionSpec) -> Told:
    given = {
        name: value for name, value in action.params.items() if value not in (None, {}, [], ())
    }
    given = {n: v for n, v in given.items() if not isinstance(v, str) or (n, v) not in _PLAIN}
    lead, used = _LEADS[action.kind](given)
    rest = [_parameter(name, value) for name, value in given.items() if name not in used]
    return Told(lead, [one for some in rest for one in some])


def _parameter(name: str, value: Any) -> list[Told]:
    if isinstance(value, Mapping):
        return [Told(f"{_code(key)} becomes {_value(one)}") for key, one in value.items()]
    return [Told(f"{_words(name)} {_value(value)}")]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_value(one) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{_code(k)} = {_value(v)}" for k, v in value.items())
    if isinstance(value, str):
        return _code(value)
    return _code(shown(value).strip("'"))


def _code(value: object) -> str:
    text = " ".join(str(value).replace("`", "'").split())
    return f"`{text if len(text) <= LONGEST else text[: LONGEST - 1] + '…'}`"


Lead = Callable[[Mapping[str, Any]], tuple[str, set[str]]]


def _lead(words: str, *names: str) -> Lead:
    """Return a function that puts the named parameters behind the words, one after the other."""

    def lead(given: Mapping[str, Any]) -> tuple[str, set[str]]:
        told_of = [name for name in names if name in given]
        values = " and ".join(_value(given[name]) for name in told_of)
        return f"{words} {values}".rstrip(), set(told_of)

    return lead


def _create_incident(given: Mapping[str, Any]) -> tuple[str, set[str]]:
    text = (
        f"create an incident on service {_value(given['service'])}, titled {_value(given['title'])}"
    )
    return text, {"service", "title"}


_LEADS: Mapping[str, Lead] = {
    "create_incident": _create_incident,
    "acknowledge_incident": _lead("acknowledge the linked incidents"),
    "resolve_incident": _lead("resolve the linked incidents"),
    "set_priority": _lead("set the incident's priority to", "priority"),
    "set_urgency": _lead("set the incident's urgency to", "urgency"),
    "reassign_incident": _lead("reassign the incident to", "users", "escalation_policy"),
    "run_incident_workflow": _lead("start the incident workflow", "workflow"),
    "run_response_play": _lead(
        "start the workflow that stands for the response play", "response_play"
    ),
    "add_responders": _lead("ask for help from", "users", "escalation_policies"),
    "add_note": _lead("add the note", "content"),
    "publish_status_update": _lead("publish the status update", "message"),
    "set_custom_fields": _lead("set the incident's custom fields"),
    "reopen_incident": _lead("re-open the incident"),
    "update_record": _lead("update the linked record"),
    "create_record": _lead("create a record of", "object"),
    "post_comment": _lead("post the comment", "body"),
}
