"""Whatever a rule or a record holds, it stays inside its literal."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pd_sf_rules.errors import RefusedError
from pd_sf_rules.systems.salesforce import soql
from sandbox.salesforce.soql.parser import parse_condition
from sandbox.salesforce.soql.syntax import Comparison, Membership, Text
from sandbox.world import World
from tests.contract.systems_clients import sandbox_salesforce

# A busy machine is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NASTY = st.text(alphabet=st.sampled_from("'\\\"\n\r\t\b\f\0 OR=()aé😀%_"), max_size=30) | st.text()


def _read_back(literal: str) -> str:
    """Read a SOQL text literal by SOQL's own escape rules; fails if anything is left over."""
    assert literal.startswith("'")
    simple = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "'": "'", '"': '"', "\\": "\\"}
    out, at = [], 1
    while literal[at] != "'":
        if literal[at] == "\\":
            at += 1
            out.append(simple[literal[at]])
        else:
            assert literal[at] not in "\n\r"
            out.append(literal[at])
        at += 1
    assert at == len(literal) - 1, "the literal ended before its end"
    return "".join(out)


@UNHURRIED
@given(NASTY)
def test_no_text_escapes_its_literal(text: str) -> None:
    """Reading the literal by SOQL's rules gives the very text (without NULs), with nothing behind it."""
    assert _read_back(soql.literal(text)) == text.replace("\0", "")


@UNHURRIED
@given(NASTY)
def test_a_soql_parser_sees_one_comparison(text: str) -> None:
    """An independent parser reads the condition as exactly one comparison, for any text."""
    condition = parse_condition(f"Subject = {soql.literal(text)}")
    assert isinstance(condition, Comparison)
    assert isinstance(condition.right, Text)


@UNHURRIED
@given(st.lists(NASTY, min_size=1, max_size=5))
def test_no_id_escapes_an_id_list(ids: list[str]) -> None:
    """An `IN` list of any texts is one condition over as many texts."""
    condition = parse_condition(f"Id IN {soql.id_list(ids)}")
    assert isinstance(condition, Membership)
    assert isinstance(condition.right, tuple)
    assert len(condition.right) == len(ids)


@UNHURRIED
@given(st.text())
def test_only_names_pass_as_names(text: str) -> None:
    """What is accepted as a field path consists of letters, digits, underscores and dots."""
    try:
        accepted = soql.name(text)
    except RefusedError:
        return
    assert accepted == text
    assert all(one.isascii() and (one.isalnum() or one in "_.") for one in text)
    assert text[0].isalpha()


@pytest.mark.parametrize(
    "text", ["", "Case WHERE", "Sub ject", "a..b", ".a", "a.", "1a", "Name--", "Näme", "Id\n"]
)
def test_a_bad_name_is_refused_by_name(text: str) -> None:
    """The refusal quotes the name and says what names look like."""
    with pytest.raises(RefusedError, match="API name"):
        soql.select([text], "Case", where="Id = null")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (1.5, "1.500000"),
        (Decimal("12.30"), "12.30"),
        (date(2026, 11, 1), "2026-11-01"),
        (datetime(2026, 11, 1, 1, 2, 3, 999, tzinfo=UTC), "2026-11-01T01:02:03Z"),
        (
            datetime(2026, 11, 1, 1, 2, 3, tzinfo=timezone(timedelta(hours=-5))),
            "2026-11-01T06:02:03Z",
        ),
    ],
)
def test_values_are_written_in_their_own_type(value: soql.Literal, text: str) -> None:
    """Numbers, booleans, dates and instants are not quoted; instants are UTC."""
    assert soql.literal(value) == text


def test_a_number_without_a_soql_form_is_refused() -> None:
    """Infinity and not-a-number would make a malformed query."""
    with pytest.raises(RefusedError):
        soql.literal(float("inf"))


def test_windows_are_widened_to_whole_seconds() -> None:
    """The lower bound is cut and the upper raised, so that no row at the edge is missed."""
    start = datetime(2026, 11, 1, 0, 0, 0, 400_000, tzinfo=UTC)
    assert soql.between(start, start) == (
        "SystemModstamp >= 2026-11-01T00:00:00Z AND SystemModstamp <= 2026-11-01T00:00:01Z"
    )


def test_ids_are_asked_for_once_and_in_groups() -> None:
    """Four hundred ids and a repeated one make two groups of at most 200."""
    ids = [f"500{number:012d}" for number in range(400)]
    groups = list(soql.chunks([*ids, ids[0]]))
    assert [len(group) for group in groups] == [200, 200]


def test_a_quote_in_a_value_finds_its_record(world: World) -> None:
    """The server finds exactly the record whose Subject holds quotes and backslashes."""
    subject = "It's \\ \"down\"' OR Subject != '"
    wanted = world.salesforce.create("Case", {"Subject": subject})
    world.salesforce.create("Case", {"Subject": "another"})
    client = sandbox_salesforce(world)
    query = soql.select(["Id"], "Case", where=f"Subject = {soql.literal(subject)}")
    assert [[row["Id"] for row in page] for page in client.query(query)] == [[wanted]]
