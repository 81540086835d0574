"""Whether a condition tree can hold at all: a careful "no" where its conditions exclude each other, else "maybe".

A tree is written out as alternatives of plain conjunctions. Within one, a field that must equal one of a few values
is tried with each of them; numbers and dates are held against their bounds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Source
from pd_sf_rules.rules.fields import EVENT_TYPES
from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN
from pd_sf_rules.rules.possible_values import Literal, candidates, may_hold, old_value
from pd_sf_rules.rules.ruleset import Condition, Group, When
from pd_sf_rules.rules.values import as_text, blank, comparable, equality

MAX_ALTERNATIVES = 200

_LOWER = {"greater_than": True, "greater_or_equal": False}
_UPPER = {"less_than": True, "less_or_equal": False}


Conjunction = tuple[Literal, ...]


def why_never(when: When, run_on: Source) -> str:
    """Return why no event of that side can fit the tree, "" where one may."""
    reason = ""
    for alternative in alternatives(when):
        conflict = _conflict(alternative, run_on)
        if not conflict:
            return ""
        reason = reason or conflict
    return reason


def both_can_hold(one: When, other: When, run_on: Source) -> bool:
    """Tell whether one event may fit both trees."""
    return not why_never(Group("all", (one, other)), run_on)


def alternatives(when: When) -> Iterator[Conjunction]:
    """Yield conjunctions of which at least one holds if the tree does; one empty one where there are too many."""
    listed = _written_out(when, negated=False)
    yield from [()] if listed is None else listed


def _written_out(when: When, *, negated: bool) -> list[Conjunction] | None:
    """Return the tree as a list of conjunctions, None where there would be too many."""
    if isinstance(when, Condition):
        return [(Literal(when, negated),)]
    if when.kind == "not":
        return _written_out(when.members[0], negated=not negated)
    members = [_written_out(member, negated=negated) for member in when.members]
    every = (when.kind == "all") is not negated
    return _product(members) if every else _union(members)


def _union(members: Iterable[list[Conjunction] | None]) -> list[Conjunction] | None:
    found: list[Conjunction] = []
    for member in members:
        if member is None or len(found) + len(member) > MAX_ALTERNATIVES:
            return None
        found += member
    return found


def _product(members: Iterable[list[Conjunction] | None]) -> list[Conjunction] | None:
    found: list[Conjunction] = [()]
    for member in members:
        if member is None or len(found) * len(member) > MAX_ALTERNATIVES:
            return None
        found = [(*left, *right) for left in found for right in member]
    return found


def _conflict(literals: Conjunction, run_on: Source) -> str:
    """Return why the literals cannot all hold, "" where they may."""
    by_field: dict[str, list[Literal]] = {}
    for literal in literals:
        by_field.setdefault(literal.condition.name, []).append(literal)
    for name, about in by_field.items():
        conflict = _other_side(about, run_on) or _field_conflict(name, about, run_on)
        if conflict:
            return conflict
    return _creation_conflict(by_field, run_on)


def _other_side(about: Sequence[Literal], run_on: Source) -> str:
    """Return the conflict of asking the other side's field for a change."""
    side = about[0].condition.ref.side
    if side != ("incident" if run_on == SALESFORCE else "record"):
        return ""
    for literal in about:
        if not literal.negated and OPERATIONS[literal.condition.operation].needs_old:
            name, operation = literal.condition.name, literal.condition.operation
            return f"'{name} {operation}' asks the other side for a change, which it never reports"
    return ""


def _field_conflict(name: str, about: Sequence[Literal], run_on: Source) -> str:
    """Return why the literals about one field exclude each other."""
    values = candidates(name, about, run_on)
    if values is None:
        return _bounds_conflict(about) or _moves_conflict(about)
    old = old_value(about)
    if any(all(may_hold(literal, value, old) for literal in about) for value in values):
        return ""
    return f"{_said(about)} cannot hold together" if len(about) > 1 else _impossible(about[0])


def _impossible(literal: Literal) -> str:
    condition = literal.condition
    return f"'{_words(condition)}' holds for no value that '{condition.name}' can have here"


def _bounds_conflict(about: Sequence[Literal]) -> str:
    """Return the conflict of a lower with an upper bound."""
    for low in about:
        for high in about:
            if low.operation in _LOWER and high.operation in _UPPER and _cross(low, high):
                return f"{_said((low, high))} cannot hold together"
    return ""


def _cross(low: Literal, high: Literal) -> bool:
    convert = comparable("unknown", low.condition.expected)
    floor, ceiling = convert(low.condition.expected), convert(high.condition.expected)
    if floor is None or ceiling is None:
        return False
    strict = _LOWER[low.operation] or _UPPER[high.operation]
    bounds: Any = (floor, ceiling)
    return bool(bounds[0] > bounds[1] or (strict and bounds[0] == bounds[1]))


def _moves_conflict(about: Sequence[Literal]) -> str:
    """Return the conflict of two changes that one event cannot make."""
    if {"increased", "decreased"} <= {literal.operation for literal in about}:
        return f"'{about[0].condition.name}' cannot both increase and decrease"
    left = [literal for literal in about if literal.operation == "changed_from"]
    for literal in left[1:]:
        first = left[0].condition.expected
        same = blank(first) and blank(literal.condition.expected)
        if not same and (
            blank(first) or not equality("unknown", first)(literal.condition.expected)
        ):
            return f"{_said((left[0], literal))} cannot hold together"
    return ""


def _creation_conflict(by_field: Mapping[str, Sequence[Literal]], run_on: Source) -> str:
    """Return the conflict of a creation with an old value that is not blank."""
    if run_on == PAGERDUTY:
        return ""
    types = by_field.get("event.type", ())
    possible = [
        each for each in EVENT_TYPES[run_on] if all(may_hold(lit, each, UNKNOWN) for lit in types)
    ]
    if possible != ["created"]:
        return ""
    for literal in (each for about in by_field.values() for each in about):
        name, asked = literal.operation, literal.condition.expected
        if name in ("increased", "decreased") or (name == "changed_from" and not blank(asked)):
            return f"on a creation the old value is blank, so '{_words(literal.condition)}' fails"
    return ""


def _said(about: Iterable[Literal]) -> str:
    """Return literals in words, joined by "and"."""
    words = [("not " if each.negated else "") + _words(each.condition) for each in about]
    return " and ".join(f"'{each}'" for each in dict.fromkeys(words))


def _words(condition: Condition) -> str:
    expected = condition.expected
    if isinstance(expected, tuple):
        shown = "[" + ", ".join(as_text(each) for each in expected) + "]"
    else:
        shown = "" if expected is None else as_text(expected)
    return f"{condition.name} {condition.operation} {shown}".strip()
