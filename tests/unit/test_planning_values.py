"""When two values are the same, and how things are named."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pd_sf_rules.planning.values import digest, instant, nested, same_value, text_digest

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(max_size=20),
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(SCALARS)
def test_same_value_is_reflexive(value: Any) -> None:
    """Every value is the same as itself."""
    assert same_value(value, value)


@given(SCALARS, SCALARS)
def test_same_value_is_symmetric(left: Any, right: Any) -> None:
    """The order of the two readings does not matter."""
    assert same_value(left, right) == same_value(right, left)


@given(st.text(max_size=30))
def test_outer_blanks_and_line_ends_do_not_count(text: str) -> None:
    """Salesforce trims text and has its own line ends."""
    assert same_value(text, f"  {text}\n")
    assert same_value(text.replace("\r", ""), text.replace("\r", "").replace("\n", "\r\n"))


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1)), OFFSETS)  # noqa: DTZ001
def test_one_instant_has_many_spellings(naive: datetime, offset: timezone) -> None:
    """Instants compare as instants, whatever their offset and its spelling."""
    stamp = naive.replace(tzinfo=UTC)
    elsewhere = stamp.astimezone(offset).isoformat()
    compact = elsewhere[:-3] + elsewhere[-2:]
    assert instant(elsewhere) == instant(compact) == stamp
    assert same_value(elsewhere, stamp.isoformat())
    assert same_value(compact, stamp.isoformat().replace("+00:00", "Z"))


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (None, "", True),
        (None, "   ", True),
        (None, 0, False),
        (None, False, False),
        ("5", 5.0, True),
        ("5.00", 5, True),
        ("five", 5, False),
        (True, "true", True),
        (True, "True", True),
        (False, "true", False),
        (False, 0, True),
        ("High", "high", False),
        ("500SB0000000001", "500SB0000000001YAA", True),
        ("500SB0000000001", "500SB0000000002YAA", False),
        ("500SB0000000001", "500sb0000000001YAA", False),
        ("2026-11-23", "2026-11-23", True),
        ("2026-11-23T07:00:00.000+0000", "2026-11-23T07:00:00Z", True),
        ("2026-11-23T07:00:00.000+0000", "2026-11-23T08:00:00Z", False),
        ("2026-99-99T07:00:00Z", "2026-99-99T07:00:00Z", True),
    ],
)
def test_same_value_table(left: Any, right: Any, *, same: bool) -> None:
    """Blank is null, numbers have many spellings, text keeps its case, and ids have two lengths."""
    assert same_value(left, right) is same


@given(st.text(max_size=40))
def test_an_instant_is_aware_or_none(text: str) -> None:
    """Whatever the text, reading it never raises and never gives a naive time."""
    stamp = instant(text)
    assert stamp is None or stamp.tzinfo is UTC


@given(st.lists(st.text(max_size=8), max_size=4), st.lists(st.text(max_size=8), max_size=4))
def test_digests_tell_parts_apart(left: list[str], right: list[str]) -> None:
    """Different parts have different names, however their texts would join."""
    assert (digest(*left) == digest(*right)) == (left == right)


def test_digests_are_the_same_in_every_process() -> None:
    """A name depends on the parts alone: not on hash seeds, not on the order of keys."""
    code = "from pd_sf_rules.planning.values import digest; print(digest('a', {'x': 1, 'b': None}))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {digest("a", {"b": None, "x": 1})}


@given(st.text(max_size=60))
def test_text_digests_do_not_see_white_space(text: str) -> None:
    """A note is known again whatever trimming and line ends the other side applies."""
    assert text_digest(text) == text_digest("  " + "\r\n".join(text.split()) + " ")


def test_nested_paths_become_a_tree() -> None:
    """Dotted paths become objects; a parent that is a value itself gives way."""
    values = {"Account": "001", "Account.Type": "Enterprise", "Subject": "x"}
    assert nested(values) == {"Account": {"Type": "Enterprise"}, "Subject": "x"}


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,3}(\.[a-z]{1,3}){0,2}", fullmatch=True), st.integers())
)
def test_nesting_never_fails(values: dict[str, int]) -> None:
    """Any set of paths can be nested, and the result is JSON."""
    assert json.loads(json.dumps(nested(values))) is not None
