"""The operations of a condition: one table, serving matching and explaining both.

Each entry builds, for the kind of the field and the expected value, a judge over (value, old). `old` is UNKNOWN
where the record's earlier value is not known; then nothing counts as changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from operator import contains, ge, gt, le, lt
from typing import Any, Final, Literal

from pd_sf_rules.rules import values
from pd_sf_rules.rules.patterns import compile_pattern
from pd_sf_rules.rules.values import Kind, as_text, blank, folded

Takes = Literal["nothing", "scalar", "text", "list", "list_or_text", "ordered", "pattern", "state"]
Judge = Callable[[Any, Any], bool]
TextTest = Callable[[str, str], bool]


class _Unknown(Enum):
    """The one value that says: there is no known old value."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown.UNKNOWN


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: what its `value:` must be, whether it looks at the old value, and how it judges.

    `part` is the test of an operation that looks for a text in the field's (both without regard to case), and
    `negates` says that the operation holds where the test does not.
    """

    name: str
    takes: Takes
    needs_old: bool
    build: Callable[[Kind, Any], Judge]
    summary: str
    part: TextTest | None = None
    negates: bool = False


def _equals(kind: Kind, expected: Any) -> Judge:
    if values.compares_as_text(kind, expected):
        wanted = folded(expected)

        def judge(value: Any, _old: Any) -> bool:
            text = value if value.__class__ is str else as_text(value)
            return text.casefold() == wanted and not blank(value)

        return judge
    same = values.equality(kind, expected)
    return lambda value, _old: same(value) and not blank(value)


def _in(kind: Kind, expected: Any) -> Judge:
    if kind == "text":
        wanted = frozenset(folded(each) for each in expected)
        return lambda value, _old: folded(value) in wanted and not blank(value)
    tests = tuple(values.equality(kind, each) for each in expected)
    return lambda value, _old: not blank(value) and any(same(value) for same in tests)


def _part(holds: TextTest) -> Callable[[Kind, Any], Judge]:
    """Return the builder of a test for a part of the text, without regard to case."""

    def build(_kind: Kind, expected: Any) -> Judge:
        wanted = folded(expected)

        def judge(value: Any, _old: Any) -> bool:
            text = value if value.__class__ is str else as_text(value)
            return holds(text.casefold(), wanted) and not blank(value)

        return judge

    return build


def _contains(kind: Kind, expected: Any) -> Judge:
    if kind == "multi":  # a multi-select holds values, not characters
        return _includes(kind, expected)
    return _PART_OF(kind, expected)


def _matches(_kind: Kind, expected: Any) -> Judge:
    found = compile_pattern(expected)
    return lambda value, _old: not blank(value) and found(as_text(value))


def _includes(_kind: Kind, expected: Any) -> Judge:
    listed = expected if isinstance(expected, list | tuple) else [expected]
    wanted = tuple(values.parts(each) for each in listed)
    return lambda value, _old: not blank(value) and _any_within(wanted, values.parts(value))


def _any_within(wanted: tuple[frozenset[str], ...], held: frozenset[str]) -> bool:
    return any(each <= held for each in wanted)


def _is_blank(_kind: Kind, _expected: Any) -> Judge:
    return lambda value, _old: blank(value)


def _ordered(holds: Callable[[Any, Any], bool]) -> Callable[[Kind, Any], Judge]:
    """Return the builder of an ordering: false against blank and against what cannot be ordered."""

    def build(kind: Kind, expected: Any) -> Judge:
        convert = values.comparable(kind, expected)
        limit = convert(expected)
        if limit is None:
            return lambda _value, _old: False

        def judge(value: Any, _old: Any) -> bool:
            number = convert(value)
            return number is not None and holds(number, limit)

        return judge

    return build


def _moved(holds: Callable[[Any, Any], bool]) -> Callable[[Kind, Any], Judge]:
    """Return the builder of `increased` and `decreased`: both values known, not blank, ordered, and not the same."""

    def build(kind: Kind, _expected: Any) -> Judge:
        changed = _changed(kind, None)

        def judge(value: Any, old: Any) -> bool:
            if old is UNKNOWN or blank(old) or blank(value):
                return False
            convert = values.comparable(kind, value)
            now, before = convert(value), convert(old)
            if now is None or before is None or not holds(now, before):
                return False
            return changed(value, old)

        return judge

    return build


def _changed(kind: Kind, _expected: Any) -> Judge:
    key = values.key_of(kind)

    def judge(value: Any, old: Any) -> bool:
        if old is UNKNOWN:
            return False
        plain = value.__class__ is str and old.__class__ is str and value and old
        if not plain and (blank(value) or blank(old)):
            return blank(value) != blank(old)
        return bool(key(value) != key(old))

    return judge


def _state(kind: Kind, expected: Any) -> Callable[[Any], bool]:
    """Return the test of one value for `changed_to` and `changed_from`, where blank may be asked for."""
    if blank(expected):
        return blank
    same = values.equality(kind, expected)
    return lambda value: not blank(value) and same(value)


def _changed_to(kind: Kind, expected: Any) -> Judge:
    changed, reached = _changed(kind, None), _state(kind, expected)
    return lambda value, old: changed(value, old) and reached(value)


def _changed_from(kind: Kind, expected: Any) -> Judge:
    changed, left = _changed(kind, None), _state(kind, expected)
    return lambda value, old: changed(value, old) and left(old)


def _not(build: Callable[[Kind, Any], Judge]) -> Callable[[Kind, Any], Judge]:
    """Return the builder of the exact negation: true against blank, where the plain operation is false."""

    def negated(kind: Kind, expected: Any) -> Judge:
        judge = build(kind, expected)
        return lambda value, old: not judge(value, old)

    return negated


_ABOVE, _AT_LEAST, _BELOW, _AT_MOST = _ordered(gt), _ordered(ge), _ordered(lt), _ordered(le)
_PART_OF = _part(contains)
_BEGINS, _ENDS = _part(str.startswith), _part(str.endswith)

_TABLE = (
    Operation("equals", "scalar", False, _equals, "The field has this value."),
    Operation("not_equals", "scalar", False, _not(_equals), "Another value, or blank."),
    Operation("in", "list", False, _in, "The field has one of these values."),
    Operation("not_in", "list", False, _not(_in), "None of these values, or blank."),
    Operation("contains", "text", False, _contains, "The text is part of the field.", contains),
    Operation("not_contains", "text", False, _not(_contains), "Not part of the field, or blank.",
              contains, negates=True),
    Operation("starts_with", "text", False, _BEGINS, "The field begins with this text.", str.startswith),
    Operation("ends_with", "text", False, _ENDS, "The field ends with this text.", str.endswith),
    Operation("matches", "pattern", False, _matches, "The pattern is found in the field."),
    Operation("not_matches", "pattern", False, _not(_matches), "Not found, or blank."),
    Operation("greater_than", "ordered", False, _ABOVE, "More, or later, than this."),
    Operation("greater_or_equal", "ordered", False, _AT_LEAST, "This much or more; then or later."),
    Operation("less_than", "ordered", False, _BELOW, "Less, or earlier, than this."),
    Operation("less_or_equal", "ordered", False, _AT_MOST, "This much or less; then or earlier."),
    Operation("is_blank", "nothing", False, _is_blank, "The field is null or empty."),
    Operation("is_not_blank", "nothing", False, _not(_is_blank), "The field has some value."),
    Operation("changed", "nothing", True, _changed, "The value differs from the last one seen."),
    Operation("changed_to", "state", True, _changed_to, "Changed, and has this value now."),
    Operation("changed_from", "state", True, _changed_from, "Changed, and had this value before."),
    Operation("increased", "nothing", True, _moved(gt), "More, or later, than before."),
    Operation("decreased", "nothing", True, _moved(lt), "Less, or earlier, than before."),
    Operation("includes", "list_or_text", False, _includes, "A multi-select holds one of these."),
    Operation("excludes", "list_or_text", False, _not(_includes), "It holds none of them, or is blank."),
)  # fmt: skip

OPERATIONS: Mapping[str, Operation] = {operation.name: operation for operation in _TABLE}

_NEGATIVE: Final = ("not_equals", "not_in", "not_contains", "not_matches", "is_blank", "excludes")


Remark = Callable[[Any, Any], str]


def remark(operation: str, kind: Kind, expected: Any, value: Any, old: Any) -> str:
    """Return what a reader should know about a judgement, "" where value and verdict say it all."""
    return remarks(operation, kind, expected)(value, old)


def remarks(operation: str, kind: Kind, expected: Any) -> Remark:
    """Return the function of (value, old) that gives the remark on each judgement of a condition."""
    rule = OPERATIONS[operation]
    if rule.needs_old:
        return lambda _value, old: "no old value is known" if old is UNKNOWN else ""
    if rule.takes == "nothing":
        return lambda _value, _old: ""
    accepted = ", which this operation accepts" if operation in _NEGATIVE else ""
    of_blank = f"the field is blank{accepted}"
    if rule.takes != "ordered":
        return lambda value, _old: of_blank if blank(value) else ""
    convert = values.comparable(kind, expected)

    def of_ordered(value: Any, _old: Any) -> str:
        if blank(value):
            return of_blank
        return "the value cannot be ordered" if convert(value) is None else ""

    return of_ordered
