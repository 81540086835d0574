"""Tests of one condition in one call: for plain texts and numbers, which most values are, without a look at the rest.

Whatever else a field holds goes to the condition's judge, so that only the way is shorter, never the answer another.
"""

from collections.abc import Callable, Mapping
from operator import eq, ge, gt, le, lt
from typing import Any

from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN, Judge
from pd_sf_rules.rules.ruleset import Condition
from pd_sf_rules.rules.values import Kind, as_number, comparable, compares_as_text, folded

Holds = Callable[[tuple[Any, ...]], bool]

_ORDERINGS: Mapping[str, Callable[[Any, Any], bool]] = {
    "greater_than": gt,
    "greater_or_equal": ge,
    "less_than": lt,
    "less_or_equal": le,
}


def direct(condition: Condition, kind: Kind, judge: Judge, place: int) -> Holds:
    """Return the test of a condition on a subject whose values stand at `place`, and earlier ones behind them."""
    path, operation = condition.ref.path, OPERATIONS[condition.operation]
    expected = condition.expected
    if operation.needs_old:
        return _change(judge, path, place)
    if operation.name in _ORDERINGS and comparable(kind, expected) is as_number:
        limit = as_number(expected)
        if limit is not None:
            return _number(_ORDERINGS[operation.name], limit, judge, path, place)
    if operation.name == "equals" and compares_as_text(kind, expected) and folded(expected):
        return _text(eq, folded(expected), judge, path, place)
    part = None if operation.negates or kind == "multi" else operation.part
    if part is str.startswith and folded(expected):
        return _beginning(folded(expected), judge, path, place)
    if part is not None and folded(expected):
        return _text(part, folded(expected), judge, path, place)
    return lambda subject: judge(subject[place].get(path), UNKNOWN)


def _text(
    holds: Callable[[str, str], bool], wanted: str, judge: Judge, path: str, place: int
) -> Holds:
    """Return the test of a folded text; `wanted` is not empty, so that a blank text fails by itself."""

    def test(subject: tuple[Any, ...]) -> bool:
        value = subject[place].get(path)
        if value.__class__ is str:
            return holds(value.casefold(), wanted)
        return judge(value, UNKNOWN)

    return test


def _beginning(wanted: str, judge: Judge, path: str, place: int) -> Holds:
    """Return the test of how a folded text begins: no sign folds to nothing, so as many signs of it will do."""
    length = len(wanted)

    def test(subject: tuple[Any, ...]) -> bool:
        value = subject[place].get(path)
        if value.__class__ is str:
            folded_start: str = value[:length].casefold()
            return folded_start.startswith(wanted)
        return judge(value, UNKNOWN)

    return test


def _number(
    holds: Callable[[Any, Any], bool], limit: float, judge: Judge, path: str, place: int
) -> Holds:
    """Return the test of a whole number against a limit."""

    def test(subject: tuple[Any, ...]) -> bool:
        value = subject[place].get(path)
        if value.__class__ is int:
            return holds(value, limit)
        return judge(value, UNKNOWN)

    return test


def _change(judge: Judge, path: str, place: int) -> Holds:
    """Return the test of a change; the same text has not changed, whatever the kind of the field."""
    before = place + 1

    def test(subject: tuple[Any, ...]) -> bool:
        value = subject[place].get(path)
        old = subject[before].get(path, UNKNOWN)
        if old.__class__ is str and value == old:
            return False
        return judge(value, old)

    return test
