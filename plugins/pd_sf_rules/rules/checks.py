"""What a rule's values mean together: fields, operations and their values, patterns, templates.

It turns a structurally valid rule into the frozen Rule, and reports what it could not use.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal

from pd_sf_rules.rules import fields, templates, values
from pd_sf_rules.rules.action_schema import ACTIONS, params_of
from pd_sf_rules.rules.diagnostics import did_you_mean
from pd_sf_rules.rules.operations import OPERATIONS, Operation
from pd_sf_rules.rules.patterns import PatternError, compile_pattern
from pd_sf_rules.rules.ruleset import ActionSpec, Condition, Group, Rule, When
from pd_sf_rules.rules.schema import Action, AllOf, Not, RuleModel
from pd_sf_rules.rules.schema import Condition as ConditionModel
from pd_sf_rules.rules.template_errors import TemplateError
from pd_sf_rules.rules.wording import Finding
from pd_sf_rules.rules.yaml_tree import Node, Path, locate

Report = Callable[[Finding], None]

_CLOSED_VALUES = {
    "type": (fields.ALL_EVENT_TYPES, "event type", "unknown-event-type"),
    "source": (("salesforce", "pagerduty"), "event source", "bad-value"),
}


def checked_rule(model: RuleModel, path: Path, root: Node, report: Report) -> Rule:
    """Return the rule; each thing that cannot be used is reported once, at its place in the file."""
    when = _when(model.when, (*path, "when"), model.object, root, report)
    actions = tuple(
        _action(action, (*path, "actions", at), model.object, root, report)
        for at, action in enumerate(model.actions)
    )
    return Rule(
        name=model.name,
        object=model.object,
        run_on=model.run_on,
        scope=model.scope,
        stop=model.stop,
        when=when,
        actions=actions,
        line=locate(root, path)[0],
    )


def check_parts(
    rule: Any, path: Path, broken: Collection[Path], root: Node, report: Report
) -> None:
    """Check what is sound in a rule that is not: each condition and action that no finding is about.

    `rule` is the rule's plain data, `broken` holds the paths of the findings.
    """
    if not isinstance(rule, dict):
        return

    def sound(part: Path) -> bool:
        return not any(each[: len(part)] == part for each in broken)

    object_name = rule.get("object")
    if isinstance(object_name, str) and sound((*path, "object")):
        for place, leaf in _leaves(rule.get("when"), (*path, "when")):
            if sound(place) and isinstance(leaf, dict):
                _condition(ConditionModel.model_validate(leaf), place, object_name, root, report)
    actions = rule.get("actions")
    for at, action in enumerate(actions if isinstance(actions, list) else ()):
        place = (*path, "actions", at)
        if sound(place):
            _action(Action.model_validate(action), place, str(object_name), root, report)
        else:
            _check_templates(action, place, report)


def _leaves(when: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield what stands where a condition can stand, with its path."""
    if not isinstance(when, dict) or not {"all", "any", "not"} & set(when):
        yield path, when
        return
    for kind in ("all", "any"):
        members = when.get(kind)
        for at, member in enumerate(members if isinstance(members, list) else ()):
            yield from _leaves(member, (*path, kind, at))
    if "not" in when:
        yield from _leaves(when["not"], (*path, "not"))


def _when(model: Any, path: Path, object_name: str, root: Node, report: Report) -> When:
    """Return a condition or group with everything below it."""
    if isinstance(model, ConditionModel):
        return _condition(model, path, object_name, root, report)
    if isinstance(model, Not):
        inner = _when(model.not_, (*path, "not"), object_name, root, report)
        return Group("not", (inner,))
    kind: Literal["all", "any"] = "all" if isinstance(model, AllOf) else "any"
    members = tuple(
        _when(member, (*path, kind, at), object_name, root, report)
        for at, member in enumerate(getattr(model, kind))
    )
    return Group(kind, members)


def _condition(
    model: ConditionModel, path: Path, object_name: str, root: Node, report: Report
) -> Condition:
    """Return one condition, its field parsed and its value checked against its operation."""
    ref = fields.FieldRef("record", "")
    try:
        ref = fields.parse_field(model.field, object_name)
    except fields.FieldError as error:
        report(Finding((*path, "field"), str(error), error.hint, "bad-field"))
    operation = OPERATIONS.get(model.operation)
    if operation is None:
        hint = did_you_mean(model.operation, OPERATIONS) or f"Known: {', '.join(OPERATIONS)}."
        message = f"There is no operation '{model.operation}'."
        report(Finding((*path, "operation"), message, hint, "unknown-operation"))
    else:
        found = _value_finding(model, operation, path) or _closed_finding(model, ref, path)
        if found:
            report(found)
        if operation.needs_old and ref.side == "event":
            message = f"'{model.field}' has no earlier value, so '{operation.name}' never holds."
            hint = "Test a field of the record or of the incident."
            report(Finding((*path, "operation"), message, hint, "bad-value"))
    expected = tuple(model.value) if isinstance(model.value, list) else model.value
    return Condition(model.field, ref, model.operation, expected, locate(root, path)[0])


def _value_finding(model: ConditionModel, operation: Operation, path: Path) -> Finding | None:
    """Return what is wrong with a value for its operation, None if it fits."""
    given = "value" in model.model_fields_set
    where = (*path, "value")
    if operation.takes == "nothing":
        if not given:
            return None
        message = f"'{operation.name}' takes no value."
        return Finding(where, message, "Remove 'value'.", "bad-value", on_key=True)
    if not given:
        hint = "Add 'value: …'."
        return Finding(path, f"'{operation.name}' needs a value.", hint, "missing-key")
    problem = _VALUE_CHECKS[operation.takes](model.value)
    if problem is None:
        return None
    message, hint = problem
    code = "bad-regex" if operation.takes == "pattern" else "bad-value"
    return Finding(where, f"'{operation.name}' {message}", hint, code)


_Problem = tuple[str, str] | None
_BLANK: _Problem = ("is never true of a blank value.", "Use is_blank or is_not_blank.")


def _scalar_problem(value: Any) -> _Problem:
    if isinstance(value, list):
        return "takes one value, not a list.", "Use 'in' (or 'includes') for several values."
    return _BLANK if values.blank(value) else None


def _state_problem(value: Any) -> _Problem:
    return _scalar_problem(value) if isinstance(value, list) else None


def _text_problem(value: Any) -> _Problem:
    if isinstance(value, bool):
        return "takes text, not true or false.", "Use 'equals', or quote the text."
    if isinstance(value, list):
        return "takes one text, not a list.", "Write one condition for each, in an any: group."
    return _BLANK if values.blank(value) else None


def _list_problem(value: Any) -> _Problem:
    if not isinstance(value, list):
        return "takes a list.", "Write it like [A, B], or use 'equals' for one value."
    if not value:
        return "takes a list of at least one value.", "Add a value."
    return _BLANK if any(values.blank(each) for each in value) else None


def _list_or_text_problem(value: Any) -> _Problem:
    for each in value if isinstance(value, list) else [value]:
        problem = _text_problem(each)
        if problem:
            return problem
        if not values.parts(each):
            return _BLANK
    return None if value else _BLANK


def _ordered_problem(value: Any) -> _Problem:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if numeric or values.as_instant(value) is not None or values.as_time(value) is not None:
        return None
    if values.as_number(value) is not None:
        return f"takes a number, and {value!r} is text.", "Write the number without quotes."
    hint = "Write a number like 10, a date like 2026-01-31, or a time like '12:30'."
    return "takes a number, a date or a time.", hint


def _pattern_problem(value: Any) -> _Problem:
    if not isinstance(value, str):
        return "takes a regular expression as text.", "Quote it."
    if value == "":
        return "takes a regular expression.", "An empty one would match everything."
    try:
        compile_pattern(value)
    except PatternError as error:
        return f"cannot use this pattern: {error}", error.hint
    return None


_VALUE_CHECKS: dict[str, Callable[[Any], _Problem]] = {
    "scalar": _scalar_problem,
    "state": _state_problem,
    "text": _text_problem,
    "list": _list_problem,
    "list_or_text": _list_or_text_problem,
    "ordered": _ordered_problem,
    "pattern": _pattern_problem,
}


def _closed_finding(model: ConditionModel, ref: fields.FieldRef, path: Path) -> Finding | None:
    """Return the finding for a value that no event can have (`event.type equals created_at`)."""
    if ref.side != "event" or ref.path not in _CLOSED_VALUES:
        return None
    if model.operation not in ("equals", "not_equals", "in", "not_in"):
        return None
    known, noun, code = _CLOSED_VALUES[ref.path]
    listed = model.value if isinstance(model.value, list) else [model.value]
    for at, value in enumerate(listed):
        text = values.as_text(value)
        if text.casefold() not in known:
            hint = did_you_mean(text, known) or f"Known: {', '.join(known)}."
            where = (*path, "value", at) if isinstance(model.value, list) else (*path, "value")
            return Finding(where, f"There is no {noun} '{text}'.", hint, code)
    return None


def _action(model: Any, path: Path, object_name: str, root: Node, report: Report) -> ActionSpec:
    """Return one action with its defaults, its templates checked."""
    kind = next(name for name in ACTIONS if name in model.model_fields_set)
    params = params_of(getattr(model, kind))
    if kind == "create_record":
        params.setdefault("object", object_name)
    _check_templates({kind: params}, path, report)
    return ActionSpec(kind, params, locate(root, path)[0])


def _check_templates(action: Any, path: Path, report: Report) -> None:
    """Report every text of an action that is no usable template."""
    for inner, text in _texts(action):
        try:
            templates.check(text)
        except TemplateError as error:
            report(Finding((*path, *inner), error.message, error.hint, "bad-template"))


def _texts(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield every text in an action's parameters with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _texts(inner, (*path, at))
