"""Which rules of a bucket an event can match, found by a few look-ups instead of one test per rule.

One bit stands for one rule. Each field that rules test has a table from its value to the mask of the rules that
survive it, and an event is one AND per field. A rule of the `all` kind loses its bit when a condition fails; a rule of
the `any` kind enters upside down: it loses its bit when a condition holds, and is turned over at the end. The tables
are filled by the same judges that explain, so the two cannot differ.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pd_sf_rules.rules.compiled import CompiledRule, Leaf, Subjects
from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN
from pd_sf_rules.rules.ruleset import Condition, When
from pd_sf_rules.rules.values import (
    as_number,
    as_text,
    comparable,
    compares_as_number,
    compares_as_text,
)

SMALLEST = 8
"""Below so many rules, testing one after the other is as fast."""

_REMEMBERED = 512
_EQUALITIES = ("equals", "not_equals", "in", "not_in")
_ORDERINGS = ("greater_than", "greater_or_equal", "less_than", "less_or_equal")


@dataclass(frozen=True, slots=True)
class _Test:
    """A condition in a table: the rule of `bit` survives where the judge says `keeps`."""

    leaf: Leaf
    bit: int
    keeps: bool

    def fails(self, value: Any, old: Any = UNKNOWN) -> bool:
        """Tell whether the rule loses its bit for this value."""
        return self.leaf.judge(value, old) is not self.keeps


class BucketIndex:
    """The tables of one bucket."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._everybody = (1 << len(rules)) - 1
        self._turned = 0
        self._partial = 0
        tests: dict[tuple[str, str, str], list[_Test]] = {}
        for at, compiled in enumerate(rules):
            bit = 1 << at
            leaves, any_of, whole = _flat(compiled)
            self._turned |= bit if any_of else 0
            self._partial |= 0 if whole else bit
            for leaf, negated in leaves:
                ref = leaf.condition.ref
                about = compiled.rule.object if ref.side == "record" else ""
                test = _Test(leaf, bit, keeps=any_of is negated)
                tests.setdefault((ref.side, about, ref.path), []).append(test)
        shared = rules[0].rule.object  # the event's and the incident's fields are the same for all
        self._tables = [
            _Table(about or shared, held, self._everybody)
            for (_side, about, _path), held in tests.items()
        ]

    def candidates(self, subjects: Subjects) -> Iterator[tuple[int, bool]]:
        """Yield the positions of the rules that may match, and whether that still has to be confirmed."""
        mask = self._everybody
        for table in self._tables:
            mask &= table.survivors(subjects)
        mask ^= self._turned
        while mask:
            low = mask & -mask
            yield low.bit_length() - 1, bool(low & self._partial)
            mask ^= low


def _flat(compiled: CompiledRule) -> tuple[list[tuple[Leaf, bool]], bool, bool]:
    """Return the conditions that decide a rule on their own, each perhaps negated.

    Then whether one of them is enough (`any`), and whether they are all there is. A rule whose `any` holds more than
    plain conditions has none: it is always a candidate.
    """
    when, leaves = compiled.rule.when, iter(compiled.leaves)
    if isinstance(when, Condition) or when.kind == "not":
        members: tuple[When, ...] = (when,)
        any_of = False
    else:
        members, any_of = when.members, when.kind == "any"
    plain: list[tuple[Leaf, bool]] = []
    whole = True
    for member in members:
        held = [next(leaves) for _ in range(_size(member))]
        if isinstance(member, Condition):
            plain.append((held[0], False))
        elif member.kind == "not" and isinstance(member.members[0], Condition):
            plain.append((held[0], True))
        else:
            whole = False
    return ([], False, False) if any_of and not whole else (plain, any_of, whole)


def _size(when: When) -> int:
    """Return how many conditions a tree has."""
    return 1 if isinstance(when, Condition) else sum(_size(member) for member in when.members)


class _Table:
    """Everything that the rules of a bucket test of one field."""

    def __init__(self, object_name: str, tests: Sequence[_Test], everybody: int) -> None:
        self._object = object_name
        self._read = tests[0].leaf.read
        kinds = _sorted(tests)
        self._changes = kinds["change"]
        self._unchanged = _clear(everybody, (test.bit for test in self._changes if test.keeps))
        self._texts = _TextClasses(kinds["text"], everybody) if kinds["text"] else None
        self._numbers = _NumberClasses(kinds["number"], everybody) if kinds["number"] else None
        self._scanned = kinds["scan"]
        self._everybody = everybody
        self._remembered: dict[Any, int] = {}

    def survivors(self, subjects: Subjects) -> int:
        """Return the mask of the rules that this field does not rule out."""
        value, old = self._read(subjects.of(self._object))
        key = value if type(value) is str else (type(value), value)
        try:
            mask = self._remembered.get(key)
        except TypeError:  # a list, which no dict can hold
            mask = self._level(value)
        if mask is None:
            mask = self._remember(key, self._level(value))
        if not self._changes:
            return mask
        if old is UNKNOWN or (old == value and type(old) is type(value)):
            return mask & self._unchanged
        failing = (test.bit for test in self._changes if test.fails(value, old))
        return _clear(mask, failing)

    def _level(self, value: Any) -> int:
        """Return the mask of the rules whose conditions on the value alone let them survive."""
        mask = self._everybody
        if self._texts:
            mask &= self._texts.survivors(value)
        if self._numbers:
            mask &= self._numbers.survivors(value)
        return _clear(mask, (test.bit for test in self._scanned if test.fails(value)))

    def _remember(self, key: Any, mask: int) -> int:
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = mask
        return mask


class _TextClasses:
    """Equalities that a value's caseless text alone decides: a mask for each text named, one for all others."""

    def __init__(self, tests: Sequence[_Test], everybody: int) -> None:
        self._other = _clear(everybody, (test.bit for test in tests if test.fails("\0")))
        self._named: dict[str, int] = {}
        of_rule: dict[int, list[_Test]] = {}
        naming: dict[str, dict[int, None]] = {}
        for test in tests:
            of_rule.setdefault(test.bit, []).append(test)
            for literal in _literals(test.leaf.condition):
                naming.setdefault(as_text(literal).casefold(), {})[test.bit] = None
        for text, bits in naming.items():
            mask = self._other
            for bit in bits:
                fails = any(test.fails(text) for test in of_rule[bit])
                mask = mask & ~bit if fails else mask | bit
            self._named[text] = mask

    def survivors(self, value: Any) -> int:
        """Return the mask for a value."""
        return self._named.get(as_text(value).casefold(), self._other)


class _NumberClasses:
    """Comparisons with numbers: a mask for each number named, for each gap between two, and for no number."""

    def __init__(self, tests: Sequence[_Test], everybody: int) -> None:
        self._tests = tests
        self._everybody = everybody
        named = {as_number(each) for test in tests for each in _literals(test.leaf.condition)}
        self._limits = sorted(limit for limit in named if limit is not None)
        self._masks: dict[int, int] = {}

    def survivors(self, value: Any) -> int:
        """Return the mask for a value; each class is judged when the first of its values comes."""
        place = self._place(as_number(value))
        mask = self._masks.get(place)
        if mask is None:
            failing = (test.bit for test in self._tests if test.fails(value))
            mask = self._masks[place] = _clear(self._everybody, failing)
        return mask

    def _place(self, number: float | None) -> int:
        if number is None:
            return -1
        at = bisect_left(self._limits, number)
        return 2 * at + (at < len(self._limits) and self._limits[at] == number)


Decided = Literal["change", "text", "number", "scan"]


def _sorted(tests: Sequence[_Test]) -> dict[Decided, list[_Test]]:
    """Return the tests by what decides them."""
    kinds: dict[Decided, list[_Test]] = {"change": [], "text": [], "number": [], "scan": []}
    for test in tests:
        kinds[_decided_by(test.leaf)].append(test)
    return kinds


def _decided_by(leaf: Leaf) -> Decided:
    """Tell what decides a condition: a change, a text or a number that can be looked up, or only the judge."""
    condition, kind = leaf.condition, leaf.kind
    literals = _literals(condition)
    if OPERATIONS[condition.operation].needs_old:
        return "change"
    if condition.operation in _EQUALITIES:
        if all(compares_as_text(kind, each) for each in literals):
            return "text"
        return "number" if all(compares_as_number(kind, each) for each in literals) else "scan"
    if condition.operation in _ORDERINGS and comparable(kind, condition.expected) is as_number:
        return "number"
    return "scan"


def _clear(mask: int, bits: Iterator[int]) -> int:
    """Return the mask without these bits."""
    cleared = 0
    for bit in bits:
        cleared |= bit
    return mask & ~cleared


def _literals(condition: Condition) -> tuple[Any, ...]:
    expected = condition.expected
    return expected if isinstance(expected, tuple) else (expected,)
