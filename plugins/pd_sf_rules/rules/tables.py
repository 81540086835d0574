"""What the rules of a bucket test of one field, as a table from its value to the rules that survive it.

One bit stands for one rule. Values fall into classes that no condition tells apart (the same text in other case, a
number between the same two limits); the tables are filled by the judges that explain, so the two cannot differ.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Literal

from pd_sf_rules.rules.compiled import Leaf, state_of
from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN, Judge, TextTest
from pd_sf_rules.rules.ruleset import Condition
from pd_sf_rules.rules.values import (
    as_number,
    comparable,
    compares_as_number,
    compares_as_text,
    folded,
)
from pd_sf_rules.rules.words import Parts

_PLAIN = frozenset({str, int, float, type(None)})
"""Types whose equal values compare alike, so that what was found for one holds for the other."""

_REMEMBERED = 1_024
_LONGEST = 200
"""How many values a table keeps, and how long a text it keeps may be."""

_EQUALITIES = ("equals", "not_equals", "in", "not_in")
_ORDERINGS = ("greater_than", "greater_or_equal", "less_than", "less_or_equal")


@dataclass(frozen=True, slots=True)
class Test:
    """A condition in a table: the rule of `bit` survives where the judge says `keeps`."""

    leaf: Leaf
    bit: int
    keeps: bool

    def fails(self, value: Any, old: Any = UNKNOWN) -> bool:
        """Tell whether the rule loses its bit for this value."""
        return self.leaf.judge(value, old) is not self.keeps


class LevelTable(dict[Any, int]):
    """Conditions on the value alone: any value may be looked up, and gives the mask of the rules that survive it.

    The first values are remembered, not all; 0 and 1 never, for Python would take false and true for them.
    `dear` is a table in which to look is no gain, for its values seldom repeat (free text), or are compared as soon
    as found (numbers). It is better `judged`.
    Of a rule of which a test needs a part of the text to be there, it is the only test for a part.
    """

    def __init__(self, tests: Sequence[Test], everybody: int) -> None:
        super().__init__()
        kinds: dict[_DecidedBy, list[Test]] = {"text": [], "part": [], "number": [], "judge": []}
        for test in tests:
            kinds[_decided_by(test.leaf)].append(test)
        self.bits = _bits(tests)
        self._everybody = everybody
        self._by_text = bool(kinds["text"] or kinds["part"])
        self._named, self._others = _texts(kinds["text"], everybody)
        self._parts = _parts(kinds["part"]) if kinds["part"] else None
        must = (test for test in kinds["part"] if must_be_there(test.leaf, keeps=test.keeps))
        self._without_parts = _without(everybody, must)
        self._numbers = _Numbers(kinds["number"], everybody) if kinds["number"] else None
        self._judges = _judges(kinds["judge"], everybody)
        only_numbers = self._numbers is not None and not self._by_text and not self._judges
        self.dear = bool(kinds["part"]) or only_numbers

    def mask(self, value: Any) -> int:
        """Return the mask for a value, which may be a list."""
        try:
            return self[value]
        except TypeError:  # no dict can hold it
            return self.judged(value)

    def __missing__(self, value: Any) -> int:
        """Return the mask for a value that is not remembered, and remember it."""
        mask = self.judged(value)
        if len(self) < _REMEMBERED:
            kind = value.__class__
            if len(value) <= _LONGEST if kind is str else kind in _PLAIN and value not in (0, 1):
                self[value] = mask
        return mask

    def judged(self, value: Any) -> int:
        """Return the mask for a value without looking whether it is remembered."""
        if self._by_text:
            text = value.casefold() if value.__class__ is str else folded(value)
            mask = self._named.get(text, self._others)
            if self._parts is not None:
                mask &= self._without_parts ^ self._parts.bits_in(text)
        else:
            mask = self._everybody
        if self._numbers is not None:
            mask &= self._numbers.survivors(value)
        if self._judges:
            for judge, if_so, if_not in self._judges:
                mask &= if_so if judge(value, UNKNOWN) else if_not
        return mask


class ChangeTable:
    """Conditions on how the value changed; `unchanged` is the mask where it did not, or where that is not known.

    Where it did change, a state that was reached or left is a matter of the one value alone.
    """

    def __init__(self, tests: Sequence[Test], everybody: int) -> None:
        self.bits = _bits(tests)
        self.unchanged = _without(everybody, (test for test in tests if test.keeps))
        self._changed = OPERATIONS["changed"].build(tests[0].leaf.kind, None)
        self._everybody = _without(
            everybody,
            (test for test in tests if _operation(test) == "changed" and not test.keeps),
        )
        self._reached = _states(
            [each for each in tests if _operation(each) == "changed_to"], everybody
        )
        self._left = _states(
            [each for each in tests if _operation(each) == "changed_from"], everybody
        )
        states = ("changed", "changed_to", "changed_from")
        self._others = [test for test in tests if _operation(test) not in states]

    def survivors(self, value: Any, old: Any) -> int:
        """Return the mask for a value that differs from the known old one."""
        if not self._changed(value, old):
            return self.unchanged
        mask = self._everybody
        if self._others:
            mask = _without(mask, (test for test in self._others if test.fails(value, old)))
        if self._reached is not None:
            mask &= self._reached.mask(value)
        if self._left is not None:
            mask &= self._left.mask(old)
        return mask


def _operation(test: Test) -> str:
    return test.leaf.condition.operation


def _states(tests: Iterable[Test], everybody: int) -> LevelTable | None:
    """Return the table of what these tests, of a state that a changed value reached or left, ask of that state."""
    asked = [Test(state_of(test.leaf), test.bit, test.keeps) for test in tests]
    return LevelTable(asked, everybody) if asked else None


def _texts(tests: Sequence[Test], everybody: int) -> tuple[dict[str, int], int]:
    """Return a mask for each folded text that equalities name, and the one for all other texts."""
    masks: dict[str, int] = {}
    of_rule: dict[int, list[Test]] = {}
    naming: dict[str, dict[int, None]] = {}
    for test in tests:
        of_rule.setdefault(test.bit, []).append(test)
        for literal in literals(test.leaf.condition):
            naming.setdefault(folded(literal), {})[test.bit] = None
    unnamed = max(naming, key=len, default="") + "\0"  # longer than each, so none of them
    others = _without(everybody, (test for test in tests if test.fails(unnamed)))
    for text, bits in naming.items():
        mask = others
        for bit in bits:
            fails = any(test.fails(text) for test in of_rule[bit])
            mask = mask & ~bit if fails else mask | bit
        masks[text] = mask
    return masks, others


class _Numbers:
    """Comparisons with numbers: a mask for each number named, for each gap between two, and for no number."""

    def __init__(self, tests: Sequence[Test], everybody: int) -> None:
        self._tests = tests
        self._everybody = everybody
        named = {as_number(each) for test in tests for each in literals(test.leaf.condition)}
        self._limits = sorted(limit for limit in named if limit is not None)
        self._places = {limit: 2 * at + 1 for at, limit in enumerate(self._limits)}
        self._masks: dict[int, int] = {}

    def survivors(self, value: Any) -> int:
        """Return the mask for a value; each class is judged when the first of its values comes."""
        number = value if value.__class__ is int else as_number(value)
        place = -1
        if number is not None:  # odd for a number named, even for a gap
            place = self._places.get(number, 0) or 2 * bisect_right(self._limits, number)
        mask = self._masks.get(place)
        if mask is None:
            failing = (test for test in self._tests if test.fails(value))
            mask = self._masks[place] = _without(self._everybody, failing)
        return mask


def _parts(tests: Iterable[Test]) -> Parts:
    """Return the parts that tests look for in a folded text, each with the bits of the rules that ask for it."""
    asked: dict[tuple[TextTest, str], int] = {}
    for test in tests:
        part_test = OPERATIONS[_operation(test)].part
        assert part_test is not None
        part = (part_test, folded(test.leaf.condition.expected))
        asked[part] = asked.get(part, 0) | test.bit
    return Parts(asked)


def looks_for_part(leaf: Leaf) -> bool:
    """Tell whether a condition is decided by whether a part stands in the text."""
    return _decided_by(leaf) == "part"


def must_be_there(leaf: Leaf, *, keeps: bool) -> bool:
    """Tell whether a rule survives such a condition where the part is there, not where it is missing."""
    return keeps is not OPERATIONS[leaf.condition.operation].negates


def _judges(tests: Iterable[Test], everybody: int) -> list[tuple[Judge, int, int]]:
    """Return (judge, mask where it holds, mask where not), once for conditions that ask the same."""
    found: dict[tuple[Any, ...], tuple[Judge, list[Test], list[Test]]] = {}
    for test in tests:
        condition = test.leaf.condition
        asked = (condition.operation, test.leaf.kind, repr(condition.expected))
        _, if_so, if_not = found.setdefault(asked, (test.leaf.judge, [], []))
        (if_not if test.keeps else if_so).append(test)
    return [
        (judge, _without(everybody, if_so), _without(everybody, if_not))
        for judge, if_so, if_not in found.values()
    ]


_DecidedBy = Literal["text", "part", "number", "judge"]


def _decided_by(leaf: Leaf) -> _DecidedBy:
    """Tell what decides a condition: a text or a number that can be looked up, a part of the text, or the judge."""
    condition, kind = leaf.condition, leaf.kind
    named = literals(condition)
    if condition.operation in _EQUALITIES:
        if all(compares_as_text(kind, each) for each in named):
            return "text"
        return "number" if all(compares_as_number(kind, each) for each in named) else "judge"
    if condition.operation in _ORDERINGS and comparable(kind, condition.expected) is as_number:
        return "number"
    looked_for = OPERATIONS[condition.operation].part is not None and kind != "multi"
    return "part" if looked_for and folded(condition.expected) else "judge"


def _without(mask: int, tests: Iterable[Test]) -> int:
    """Return the mask without the rules of these tests."""
    return mask & ~_bits(tests)


def _bits(tests: Iterable[Test]) -> int:
    return reduce(or_, (test.bit for test in tests), 0)


def literals(condition: Condition) -> tuple[Any, ...]:
    """Return the values that a condition names."""
    expected = condition.expected
    return expected if isinstance(expected, tuple) else (expected,)
