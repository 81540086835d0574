"""Every operation against the value semantics of the rule language."""

import itertools
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN, remark
from pd_sf_rules.rules.values import (
    Kind,
    as_instant,
    blank,
    compares_as_text,
    kind_of,
    record_id,
)
from tests.unit.rule_strategies import PATIENT

SHORT = "0015g00000ABcDe"
LONG = "0015g00000ABcDeAAL"


def judged(
    operation: str, value: Any, expected: Any = None, old: Any = UNKNOWN, kind: Kind = "unknown"
) -> bool:
    """Judge one value by one operation."""
    return OPERATIONS[operation].build(kind, expected)(value, old)


def checksummed(short: str) -> str:
    """Return the 18 characters of a 15-character id, by Salesforce's published algorithm."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    blocks = [short[at : at + 5] for at in (0, 5, 10)]
    return short + "".join(
        alphabet[int("".join("1" if c.isupper() else "0" for c in reversed(block)), 2)]
        for block in blocks
    )


EQUAL: list[tuple[Kind, Any, Any, bool]] = [
    ("unknown", "High", "high", True),
    ("text", "HIGH", "high", True),
    ("text", "Straße", "STRASSE", True),
    ("unknown", "High", "Low", False),
    ("unknown", None, "High", False),
    ("unknown", "", "High", False),
    ("unknown", 5, 5.0, True),
    ("unknown", 5, "5", True),
    ("unknown", 5.0, "5", True),
    ("unknown", "5", 5, True),
    ("unknown", "05", 5, True),
    ("text", "05", 5, False),
    ("number", "5.0", 5, True),
    ("number", 5, "5", True),
    ("number", True, 1, False),
    ("unknown", True, 1, False),
    ("unknown", 1, True, False),
    ("unknown", True, True, True),
    ("unknown", False, False, True),
    ("unknown", "TRUE", True, True),
    ("unknown", False, True, False),
    ("boolean", False, False, True),
    ("boolean", True, "true", True),
    ("boolean", 1, True, False),
    ("unknown", "NO", "no", True),
    ("unknown", False, "no", False),
    ("unknown", "2026-01-01T00:00:00.000+0000", "2026-01-01T00:00:00Z", True),
    ("unknown", "2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00Z", True),
    ("datetime", "2026-01-01T00:00:00.000+0000", "2026-01-01", True),
    ("datetime", "2026-01-01T00:00:01.000+0000", "2026-01-01", False),
    ("date", "2026-01-01", "2026-01-01", True),
    ("date", "2026-01-01", "2026-01-02", False),
    ("text", "2026-01-01T00:00:00.000+0000", "2026-01-01T00:00:00Z", False),
    ("time", "12:30:00.000Z", "12:30", True),
    ("id", LONG, SHORT, True),
    ("id", SHORT, LONG, True),
    ("id", SHORT.swapcase(), SHORT, False),
    ("id", LONG.lower(), LONG, True),
    ("unknown", LONG, SHORT, True),
    ("unknown", SHORT, LONG, True),
    ("unknown", SHORT + "aal", SHORT, False),
    ("unknown", "implementations", "implementationsABC", False),
    ("text", LONG, SHORT, False),
    ("unknown", "abcdefghijklmno", "ABCDEFGHIJKLMNO", True),
    ("id", "None", "NONE", True),
    ("id", LONG.lower(), SHORT, False),
    ("unknown", 5.5, "5.5", True),
    ("unknown", True, "true", True),
    ("unknown", False, "false", True),
    ("unknown", "12:30", "12:30", True),
    ("time", "24:00:00.000Z", "24:00", False),
    ("multi", "B;A", "A;B", True),
    ("multi", "A; b", "B;A", True),
    ("multi", "A;B;C", "A;B", False),
]


@pytest.mark.parametrize(("kind", "value", "expected", "holds"), EQUAL)
def test_equality_follows_the_kind_of_the_field(
    kind: Kind, value: Any, expected: Any, holds: bool
) -> None:
    """equals, in and their negations compare by the field's kind, else by the value's own type."""
    assert judged("equals", value, expected, kind=kind) is holds
    assert judged("not_equals", value, expected, kind=kind) is not holds
    assert judged("in", value, ("nothing like it", expected), kind=kind) is holds
    assert judged("not_in", value, ("nothing like it", expected), kind=kind) is not holds


TEXTS: list[tuple[str, Any, Any, bool]] = [
    ("contains", "Total OUTAGE", "outage", True),
    ("contains", "Total OUTAGE", "out age", False),
    ("contains", 12345, "234", True),
    ("contains", 12345, 234, True),
    ("contains", None, "x", False),
    ("starts_with", "Outage in EU", "OUTAGE", True),
    ("starts_with", "OUTAGE in EU", "outage", True),
    ("starts_with", "An outage", "outage", False),
    ("starts_with", "", "x", False),
    ("ends_with", "in EU", "eu", True),
    ("ends_with", "in eu", "EU", True),
    ("ends_with", "EU in", "eu", False),
    ("ends_with", None, "x", False),
    ("matches", "An outage", r"\boutage\b", True),
    ("matches", "An OUTAGE", r"\boutage\b", False),
    ("matches", "An OUTAGE", r"(?i)\boutage\b", True),
    ("matches", "outages", r"^outage$", False),
    ("matches", None, r".*", False),
    ("matches", "", r".*", False),
    ("matches", 42, r"^4\d$", True),
    ("matches", "lone \ud800 surrogate", r"lone .+ surrogate", True),
]


@pytest.mark.parametrize(("operation", "value", "expected", "holds"), TEXTS)
def test_text_operations(operation: str, value: Any, expected: Any, holds: bool) -> None:
    """Text is searched without regard to case, patterns with it, and blank holds no text."""
    assert judged(operation, value, expected) is holds


NEGATIONS = {
    "not_equals": "equals",
    "not_in": "in",
    "not_contains": "contains",
    "not_matches": "matches",
    "excludes": "includes",
    "is_not_blank": "is_blank",
}
SCALARS = st.one_of(
    st.none(),
    st.just(""),
    st.booleans(),
    st.integers(-1000, 1000),
    st.floats(-1e6, 1e6),
    st.text(max_size=12),
    st.sampled_from(["2026-01-01", "2026-01-01T00:00:00.000+0000", "12:30", SHORT, LONG, "A;B"]),
)
KINDS: st.SearchStrategy[Kind] = st.sampled_from(
    ["text", "multi", "boolean", "number", "date", "datetime", "time", "id", "unknown"]
)


@settings(PATIENT, max_examples=80)
@given(SCALARS, SCALARS.filter(lambda value: not blank(value)), KINDS)
@example("AB", "a", "unknown")
def test_a_negation_is_true_exactly_where_the_plain_operation_is_false(
    value: Any, expected: Any, kind: Kind
) -> None:
    """not_X is the negation of X, and so holds for a blank field."""
    text = str(expected)
    wanted = {"not_in": (expected,), "not_matches": r"\w", "not_contains": text, "excludes": text}
    for negative, plain in NEGATIONS.items():
        asked = wanted.get(negative, expected)
        assert judged(negative, value, asked, kind=kind) is not judged(
            plain, value, asked, kind=kind
        )
        if blank(value) and negative != "is_not_blank":
            assert judged(negative, value, asked, kind=kind)


ORDER: list[tuple[Kind, Any, Any, str]] = [
    ("unknown", 9, 10, "<"),
    ("unknown", 10, 10, "="),
    ("unknown", 10.5, 10, ">"),
    ("unknown", "9", 10, "<"),
    ("number", "11", 10, ">"),
    ("number", 1e12, 10, ">"),
    ("unknown", "2026-01-01T00:00:00.000+0000", "2026-01-01T00:00:01Z", "<"),
    ("datetime", "2026-01-01T05:00:00.000+0200", "2026-01-01T03:00:00Z", "="),
    ("date", "2026-02-01", "2026-01-31", ">"),
    ("datetime", "2026-01-31T00:00:01.000+0000", "2026-01-31", ">"),
    ("time", "12:30:00.000Z", "12:31", "<"),
    ("unknown", "12:30", "12:31", "<"),
    ("unknown", "23:59:59Z", "12:31", ">"),
    ("time", "24:00", "12:31", ""),
    ("time", "12:60", "12:31", ""),
    ("time", "12:30:60", "12:31", ""),
    ("time", "23:59:59", "23:59:59", "="),
    ("number", "9" * 99, 1, ">"),
    ("number", "9" * 100, 1, ""),
    ("number", "1e999", 1, ""),
    ("unknown", None, 10, ""),
    ("unknown", "", 10, ""),
    ("unknown", "soon", 10, ""),
    ("unknown", True, 0, ""),
    ("number", 5, "2026-01-01", ""),
    ("date", "tomorrow", "2026-01-01", ""),
    ("number", None, -1, ""),
]


@pytest.mark.parametrize(("kind", "value", "expected", "order"), ORDER)
def test_orderings(kind: Kind, value: Any, expected: Any, order: str) -> None:
    """Numbers order as numbers, dates as instants; blank and incomparable values are in no order."""
    assert judged("greater_than", value, expected, kind=kind) is (order == ">")
    assert judged("less_than", value, expected, kind=kind) is (order == "<")
    assert judged("greater_or_equal", value, expected, kind=kind) is (order in (">", "="))
    assert judged("less_or_equal", value, expected, kind=kind) is (order in ("<", "="))


@settings(PATIENT, max_examples=60)
@given(st.floats(-1e9, 1e9), st.integers(-1000, 1000))
def test_exactly_one_order_holds_for_numbers(value: float, expected: int) -> None:
    """Of less, equal and greater exactly one holds for any two numbers."""
    held = [judged(name, value, expected) for name in ("less_than", "equals", "greater_than")]
    assert sum(held) == 1
    assert judged("greater_or_equal", value, expected) is (held[1] or held[2])
    assert judged("less_or_equal", value, expected) is (held[0] or held[1])


@pytest.mark.parametrize(
    ("value", "holds"),
    [(None, True), ("", True), ([], True), (" ", False), (0, False), (False, False), ("x", False)],
)
def test_blank_is_null_and_empty_text(value: Any, holds: bool) -> None:
    """null and empty text are blank; zero, false and a space are not."""
    assert judged("is_blank", value) is holds
    assert judged("is_not_blank", value) is not holds


@pytest.mark.parametrize("value", [None, "", []])
def test_a_blank_field_holds_nothing_not_even_blank_text(value: Any) -> None:
    """No operation but is_blank and the negations is true of a blank field, whatever is expected."""
    for name in ("equals", "contains", "starts_with", "ends_with", "includes"):
        assert not judged(name, value, ""), name
        assert not judged(name, value, "", kind="text"), name
    assert not judged("in", value, ("", "x"))
    assert not judged("in", value, ("", "x"), kind="text")
    assert not judged("matches", value, "^$")


REMARKS = [
    ("equals", "x", "y", UNKNOWN, ""),
    ("equals", "x", None, UNKNOWN, "the field is blank"),
    ("not_equals", "x", None, UNKNOWN, "the field is blank, which this operation accepts"),
    ("excludes", "x", "", UNKNOWN, "the field is blank, which this operation accepts"),
    ("is_blank", None, None, UNKNOWN, ""),
    ("is_not_blank", None, None, UNKNOWN, ""),
    ("changed", None, None, UNKNOWN, "no old value is known"),
    ("changed", None, None, "x", ""),
    ("changed_to", "x", None, "y", ""),
    ("changed_to", "x", "x", UNKNOWN, "no old value is known"),
    ("greater_than", 5, "soon", UNKNOWN, "the value cannot be ordered"),
    ("greater_than", 5, 6, UNKNOWN, ""),
    ("greater_than", 5, None, UNKNOWN, "the field is blank"),
    ("contains", "x", "soon", UNKNOWN, ""),
]


@pytest.mark.parametrize(("operation", "expected", "value", "old", "said"), REMARKS)
def test_a_remark_says_what_the_values_do_not(
    operation: str, expected: Any, value: Any, old: Any, said: str
) -> None:
    """Blank fields, unknown old values and what has no order are told in the trace."""
    assert remark(operation, "unknown", expected, value, old) == said


CHANGES: list[tuple[Kind, Any, Any, bool]] = [
    ("unknown", "New", "Working", True),
    ("unknown", "New", "New", False),
    ("unknown", "New", "NEW", False),
    ("unknown", None, "New", True),
    ("unknown", "New", None, True),
    ("unknown", None, "", False),
    ("unknown", None, [], False),
    ("unknown", "", ["x"], True),
    ("unknown", ["x", "Y"], ["y", "x"], False),
    ("unknown", 5, 5.0, False),
    ("unknown", 1, True, True),
    ("unknown", 0, None, True),
    ("unknown", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000+0000", False),
    ("datetime", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000+0000", False),
    ("id", SHORT, LONG, False),
    ("multi", "A;B", "B;A", False),
    ("multi", "A;B", "A", True),
    ("text", "5", "5.0", True),
    ("number", "5", "5.0", False),
]


@pytest.mark.parametrize(("kind", "old", "new", "differs"), CHANGES)
def test_changed_compares_as_equals_does(kind: Kind, old: Any, new: Any, differs: bool) -> None:
    """changed holds where old and new value are not equal for that kind of field."""
    assert judged("changed", new, old=old, kind=kind) is differs
    if not blank(new):
        assert judged("changed_to", new, new, old, kind) is differs
    if not blank(old):
        assert judged("changed_from", new, old, old, kind) is differs


@pytest.mark.parametrize(
    ("operation", "old", "new", "expected", "holds"),
    [
        ("changed_to", "New", "Closed", "closed", True),
        ("changed_to", "New", "Working", "Closed", False),
        ("changed_to", "Closed", "Closed", "Closed", False),
        ("changed_to", None, "Closed", "Closed", True),
        ("changed_to", "Closed", None, None, True),
        ("changed_to", "Closed", "Open", None, False),
        ("changed_to", None, "", "", False),
        ("changed_from", "New", "Closed", "new", True),
        ("changed_from", "Working", "Closed", "New", False),
        ("changed_from", "New", "New", "New", False),
        ("changed_from", "New", None, "New", True),
        ("changed_from", None, "New", None, True),
        ("changed_from", None, "New", "Old", False),
    ],
)
def test_changed_to_and_from(
    operation: str, old: Any, new: Any, expected: Any, holds: bool
) -> None:
    """changed_to looks at the new value of a change, changed_from at the old one; blank may be asked for."""
    assert judged(operation, new, expected, old) is holds


@pytest.mark.parametrize(
    ("kind", "old", "new", "move"),
    [
        ("unknown", 1, 2, "up"),
        ("unknown", 2, 1.5, "down"),
        ("unknown", 2, 2, ""),
        ("unknown", None, 2, ""),
        ("unknown", 2, None, ""),
        ("number", "9", "10", "up"),
        ("unknown", "2026-01-01", "2026-02-01", "up"),
        ("datetime", "2026-01-01T00:00:00.000+0000", "2025-01-01T00:00:00Z", "down"),
        ("unknown", "Low", "High", ""),
        ("unknown", 1, "High", ""),
        ("unknown", "Low", 1, ""),
        ("unknown", False, True, ""),
        ("time", "12:00:00.000Z", "13:00:00.000Z", "up"),
    ],
)
def test_increased_and_decreased(kind: Kind, old: Any, new: Any, move: str) -> None:
    """A number or date moves up or down; from or to blank it does neither."""
    assert judged("increased", new, old=old, kind=kind) is (move == "up")
    assert judged("decreased", new, old=old, kind=kind) is (move == "down")


@pytest.mark.parametrize("value", ["x", None, 5, "2026-01-01"])
def test_nothing_counts_as_changed_without_a_known_old_value(value: Any) -> None:
    """A record seen for the first time has no old value, so no change operation holds."""
    for name in ("changed", "changed_to", "changed_from", "increased", "decreased"):
        assert not judged(name, value, value, UNKNOWN), name
        assert "no old value" in remark(name, "unknown", value, value, UNKNOWN)


@pytest.mark.parametrize(
    ("value", "expected", "holds"),
    [
        ("A;B;C", "b", True),
        ("A", "A", True),
        ("A;B;C", ["X", "C"], True),
        ("A;B;C", ["X", "Y"], False),
        ("A;B;C", "A;C", True),
        ("A;B;C", "A;X", False),
        ("AB;C", "A", False),
        (["A", "B"], "B", True),
        (None, "A", False),
        ("", ["A"], False),
        ("2;3", 2, True),
    ],
)
def test_multi_select_operations(value: Any, expected: Any, holds: bool) -> None:
    """includes holds for one of the listed values (`A;B` asks for both), excludes for none of them."""
    assert judged("includes", value, expected) is holds
    assert judged("excludes", value, expected) is not holds


def test_contains_on_a_multi_select_looks_for_a_value_not_for_letters() -> None:
    """On a field known as multi-select, contains does not find "A" within "AB"."""
    assert not judged("contains", "AB;C", "A", kind="multi")
    assert judged("contains", "AB;A", "a", kind="multi")
    assert judged("contains", "AB;C", "A", kind="text")


@settings(PATIENT, max_examples=40)
@given(st.text("abcXYZ019", min_size=14, max_size=14).map("5".__add__))
def test_both_spellings_of_an_id_are_one_record(short: str) -> None:
    """15 characters equal their 18 in any case, and no other record's 15."""
    long = checksummed(short)
    assert judged("equals", long, short, kind="id")
    assert judged("equals", long, long.lower(), kind="id")
    assert judged("equals", short, long, kind="id")
    other = short.swapcase()
    assert judged("equals", other, short, kind="id") is (other == short)
    assert judged("changed", long, old=short, kind="id") is False
    assert judged("equals", short, long)
    assert record_id(long) == record_id(short)


@pytest.mark.parametrize(
    "text",
    ["", "2026", "20260101", "2026-13-01", "2026-01-01T", "2026-01-01T25:00:00Z", "2026-W01-1"],
)
def test_what_only_looks_like_a_date_is_text(text: str) -> None:
    """Only ISO 8601 calendar dates, with or without a time and an offset, are instants."""
    assert as_instant(text) is None


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("", "unknown"),
        (None, "unknown"),
        ("string", "text"),
        ("picklist", "text"),
        ("somethingNew", "text"),
        ("Boolean", "boolean"),
        ("currency", "number"),
        ("reference", "id"),
        ("multipicklist", "multi"),
        ("datetime", "datetime"),
    ],
)
def test_describe_words_have_kinds(word: str | None, kind: Kind) -> None:
    """A type word that is not listed is text; no word is unknown."""
    assert kind_of(word) == kind


@pytest.mark.parametrize(
    ("kind", "expected", "decided"),
    [
        ("text", "High", True),
        ("text", 5, True),
        ("unknown", "High", True),
        ("unknown", 5, False),
        ("unknown", True, False),
        ("unknown", "2026-01-01", False),
        ("unknown", SHORT, False),
        ("number", "5", False),
        ("id", "High", False),
    ],
)
def test_where_text_alone_decides(kind: Kind, expected: Any, decided: bool) -> None:
    """The index may look up an equality by text only where no other reading is possible."""
    assert compares_as_text(kind, expected) is decided


def test_the_edges_of_time_are_no_crash() -> None:
    """An instant that no UTC datetime can hold is text."""
    assert as_instant("0001-01-01T00:00:00+14:00") is None
    assert not judged("greater_than", "0001-01-01T00:00:00+14:00", "2026-01-01")


@settings(PATIENT, max_examples=60)
@given(SCALARS, SCALARS, SCALARS, KINDS)
def test_no_values_make_an_operation_raise(value: Any, old: Any, expected: Any, kind: Kind) -> None:
    """Whatever a record holds, an operation answers true or false, and its remark is text."""
    for name, operation in OPERATIONS.items():
        asked = (expected,) if operation.takes in ("list", "list_or_text") else expected
        asked = r"a|b" if operation.takes == "pattern" else asked
        for before in (old, UNKNOWN):
            assert judged(name, value, asked, before, kind) in (True, False)
            assert isinstance(remark(name, kind, asked, value, before), str)


def test_a_catastrophic_pattern_is_linear() -> None:
    """The classic backtracking bomb answers at once (it runs on RE2)."""
    assert not judged("matches", "a" * 100_000 + "!", r"^(a+)+$")
    assert not judged("matches", "ab" * 50_000, r"(.*)*(.*)*(.*)*z")


def test_the_table_is_the_language() -> None:
    """Every operation of the rule language is there, and nothing else."""
    words = (
        "equals not_equals in not_in contains not_contains starts_with ends_with matches"
        " not_matches greater_than greater_or_equal less_than less_or_equal is_blank is_not_blank"
        " changed changed_to changed_from increased decreased includes excludes"
    )
    assert list(OPERATIONS) == words.split()
    assert [name for name, each in OPERATIONS.items() if each.needs_old] == words.split()[16:21]
    assert all(a.summary != b.summary for a, b in itertools.combinations(OPERATIONS.values(), 2))
