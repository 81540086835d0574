"""The values that a field can have if some of its conditions hold, and what others may say about them.

A value that `equals` asks for stands for all its spellings (5, 5.0 and "05" for a number; any case for a text), so a
condition is only taken to fail where it fails for every one of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pd_sf_rules.model import Source
from pd_sf_rules.rules.fields import EVENT_TYPES
from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN
from pd_sf_rules.rules.patterns import compile_pattern
from pd_sf_rules.rules.ruleset import Condition
from pd_sf_rules.rules.values import as_instant, as_number, as_text, blank, is_id

KNOWN_VALUES: Mapping[str, tuple[Any, ...]] = {
    "incident.status": (None, "triggered", "acknowledged", "resolved"),
    "incident.urgency": (None, "high", "low"),
}

_OPPOSITE = {
    "equals": "not_equals",
    "in": "not_in",
    "contains": "not_contains",
    "matches": "not_matches",
    "is_blank": "is_not_blank",
    "includes": "excludes",
}
_OPPOSITE |= {negative: plain for plain, negative in _OPPOSITE.items()}
_EQUALITIES = ("equals", "not_equals", "in", "not_in", "changed_to", "changed_from")
_ORDERINGS = ("greater_than", "greater_or_equal", "less_than", "less_or_equal")


@dataclass(frozen=True, slots=True)
class Literal:
    """A condition, or its negation."""

    condition: Condition
    negated: bool = False

    @property
    def operation(self) -> str:
        """The operation that must hold; "" for a negation that no operation says."""
        name = self.condition.operation
        return _OPPOSITE.get(name, "") if self.negated else name

    @property
    def expected(self) -> tuple[Any, ...]:
        """The values asked for."""
        value = self.condition.expected
        return value if isinstance(value, tuple) else (value,)


def candidates(name: str, about: Sequence[Literal], run_on: Source) -> Sequence[Any] | None:
    """Return the only values the field may have, None where any value may do."""
    closed = {"event.type": EVENT_TYPES[run_on], "event.source": (run_on,), **KNOWN_VALUES}
    if name in closed:
        return closed[name]
    for literal in about:
        if literal.operation in ("equals", "in", "changed_to"):
            return literal.expected
        if literal.operation == "is_blank":
            return (None,)
    return None


def old_value(about: Sequence[Literal]) -> Any:
    """Return the old value that a changed_from asks for, UNKNOWN if none does."""
    asked = [each.condition.expected for each in about if each.operation == "changed_from"]
    return asked[0] if asked else UNKNOWN


def may_hold(literal: Literal, value: Any, old: Any) -> bool:
    """Tell whether a literal may hold for a field of this value, in any of its spellings."""
    condition = literal.condition
    operation = OPERATIONS[condition.operation]
    if operation.needs_old:
        if literal.negated:
            return True
        if condition.operation == "changed_to":
            asked = Literal(Condition("", condition.ref, "equals", condition.expected))
            return _both_blank(value, condition.expected) or may_hold(asked, value, UNKNOWN)
        if old is UNKNOWN:
            return True
    kind = condition.ref.kind("", {})
    held = operation.build(kind, condition.expected)(value, old)
    return held is not literal.negated or not _decisive(literal, value)


def _both_blank(value: Any, expected: Any) -> bool:
    return blank(value) and blank(expected)


def _decisive(literal: Literal, value: Any) -> bool:
    """Tell whether a condition that fails for a value fails for every spelling of it."""
    name = literal.condition.operation
    if blank(value) or name in ("is_blank", "is_not_blank"):
        return True
    if isinstance(value, bool):
        return not _by_pattern(literal) or _fails_in_any_case(literal, value)
    if as_instant(value) is not None:
        return all(as_instant(each) is not None for each in literal.expected)
    if as_number(value) is not None:
        return _decisive_for_number(literal, as_number(value))
    if ";" in value or is_id(value):
        return name in _ORDERINGS
    return not _by_pattern(literal) or _fails_in_any_case(literal, value)


def _decisive_for_number(literal: Literal, number: float | None) -> bool:
    """Tell it for a number: only other numbers can be held against it."""
    name, asked = literal.condition.operation, [as_number(each) for each in literal.expected]
    if None in asked or name not in _EQUALITIES + _ORDERINGS:
        return False
    return name in _ORDERINGS or (number in asked) is (
        literal.operation in ("not_equals", "not_in")
    )


def _by_pattern(literal: Literal) -> bool:
    return literal.condition.operation in ("matches", "not_matches")


def _fails_in_any_case(literal: Literal, value: Any) -> bool:
    """Tell whether a pattern that must be found is not there in any letter case; the other way round nobody knows."""
    if literal.operation != "matches":
        return False
    return not compile_pattern(f"(?i:{literal.condition.expected})")(as_text(value))
