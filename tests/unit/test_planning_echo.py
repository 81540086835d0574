"""News or reflection: rows and log entries beside what was last seen and what our own writes should look like."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pd_sf_rules.model import Change, LogEntry, Values
from pd_sf_rules.planning.echo import (
    MATCH_WITHIN,
    Expected,
    effects_of,
    entry_value,
    is_birth_echo,
    judge_row,
    match_entry,
)
from pd_sf_rules.planning.values import text_digest
from pd_sf_rules.planning.windows import CLOCK_DOUBT

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
OURS, ANA = "PUSYNC1", "PUANA01"
START = NOW - timedelta(hours=1)
BEFORE = START - timedelta(days=1)
FIELDS = ("Status", "Priority", "Subject")
VALUES = st.sampled_from([None, "", "New", "Working", "High", 1, 1.0, True])
ROWS = st.dictionaries(st.sampled_from(FIELDS), VALUES)


def change(values: Values, *, created_at: datetime = NOW, modified_at: datetime = NOW) -> Change:
    """A row of a Case as a pull reads it."""
    return Change("Case", "500", NOW, created_at, modified_at, "Pat", values)


def expected(effect: str, value: Any = None, number: int = 1, at: datetime = NOW) -> Expected:
    """An effect of ours that is still to be seen."""
    return Expected(number, "500", effect, value, f"action {number}", at)


def entry(
    word: str = "acknowledge", agent_id: str = OURS, at: datetime = NOW, **more: Any
) -> LogEntry:
    """A log entry by a user."""
    detail = {"agent_type": "user_reference", **more.pop("detail", {})}
    return LogEntry(
        "R1", word, f"{word}_log_entry", at, "somebody", agent_id, "Q1", more.pop("incident", {}), detail
    )  # fmt: skip


@pytest.mark.parametrize(
    ("created_at", "modified_at", "kind"),
    [
        (NOW, NOW, "created"),
        (START, START, "created"),
        (BEFORE, NOW, "updated"),
        (BEFORE, START, "updated"),
        (BEFORE, BEFORE, "baseline"),
    ],
)
def test_a_row_never_seen(created_at: datetime, modified_at: datetime, kind: str) -> None:
    """Made since the start it is created, touched since it is updated, else it pages nobody."""
    row = change({"Status": "New"}, created_at=created_at, modified_at=modified_at)
    verdict = judge_row(row, None, (), started_at=START)
    assert verdict.kind == kind
    assert verdict.old == ({"Status": None} if kind == "created" else {})


@given(ROWS)
def test_a_row_that_is_as_it_was_is_unchanged(values: dict[str, Any]) -> None:
    """An overlap re-read or a moved timestamp is no news."""
    assert judge_row(change(values), values, (), started_at=START).kind == "unchanged"


@given(ROWS, ROWS)
def test_old_values_are_those_last_seen(snapshot: dict[str, Any], values: dict[str, Any]) -> None:
    """Without writes of ours, an updated row carries the known old value of every field, and only of known ones."""
    verdict = judge_row(change(values), snapshot, (), started_at=START)
    if verdict.kind == "updated":
        assert verdict.old == {path: snapshot[path] for path in values if path in snapshot}
    else:
        assert verdict.kind == "unchanged"


@given(ROWS, ROWS)
def test_our_own_values_are_an_echo(snapshot: dict[str, Any], written: dict[str, Any]) -> None:
    """A row that differs from what was seen by nothing but our own writes is never an event."""
    ours = [expected(path, value, number) for number, (path, value) in enumerate(written.items())]
    row = change({**snapshot, **written})
    assert judge_row(row, snapshot, ours, started_at=START).kind in {"echo", "unchanged"}


def test_a_persons_edit_beside_our_write_is_news() -> None:
    """Where one field is ours and another is not, ours counts as seen and the other has changed."""
    seen = {"Status": "New", "Priority": "Low"}
    row = change({"Status": "Working", "Priority": "High"})
    verdict = judge_row(row, seen, [expected("Status", "Working")], started_at=START)
    assert verdict.kind == "updated"
    assert verdict.old == {"Status": "Working", "Priority": "Low"}
    assert [one.effect for one in verdict.met] == ["Status"]


def test_another_value_in_our_field_is_news() -> None:
    """What automation or a person made of our value is an event."""
    row = change({"Status": "Escalated"})
    ours = [expected("Status", "Working")]
    assert judge_row(row, {"Status": "New"}, ours, started_at=START).kind == "updated"


def test_a_field_that_was_not_watched_before_has_not_changed() -> None:
    """A field that only a new rule names has no old value, so its first reading is no event."""
    row = change({"Status": "New", "Priority": "High"})
    assert judge_row(row, {"Status": "New"}, (), started_at=START).kind == "unchanged"


def test_our_entry_meets_its_expectation_once() -> None:
    """An entry by our user takes the first expectation of its type and time."""
    awaited = [
        expected("resolve"),
        expected("acknowledge", number=2),
        expected("acknowledge", number=3),
    ]
    found = match_entry(entry(), awaited, our_user_id=OURS)
    assert found is not None
    assert found.id == 2


@pytest.mark.parametrize(
    "other",
    [
        entry(agent_id=ANA),
        entry("resolve"),
        entry(at=NOW + CLOCK_DOUBT + timedelta(seconds=1)),
        entry(at=NOW - CLOCK_DOUBT - timedelta(seconds=1)),
        entry(agent_id="", at=NOW + MATCH_WITHIN + timedelta(seconds=1)),
        entry(agent_id="", at=NOW - MATCH_WITHIN - timedelta(seconds=1)),
    ],
)
def test_what_somebody_else_did_is_news(other: LogEntry) -> None:
    """Another person, another type or another time is not our doing."""
    assert match_entry(other, [expected("acknowledge")], our_user_id=OURS) is None


def test_a_note_is_ours_by_its_text() -> None:
    """An annotation meets the expectation of its own text alone, whatever its white space."""
    note = entry("annotate", detail={"note": "hello  world\n"})
    assert entry_value(note) == text_digest("hello world")
    mine = [expected("annotate", text_digest("hello world"))]
    assert match_entry(note, mine, our_user_id=OURS) is mine[0]
    other = [expected("annotate", text_digest("something else"))]
    assert match_entry(note, other, our_user_id=OURS) is None


def test_a_priority_is_ours_by_its_value() -> None:
    """A change to another priority than ours is news, a cleared one that does not tell matches."""
    row = entry("priority_change", detail={"priority_id": "P1"})
    assert match_entry(row, [expected("priority_change", "P1")], our_user_id=OURS) is not None
    assert match_entry(row, [expected("priority_change", "P2")], our_user_id=OURS) is None


BORN = {"incident_key": "pdsf-default-500", "created_at": NOW.isoformat()}


@pytest.mark.parametrize(
    ("row", "ours"),
    [
        (entry("trigger", incident=BORN), True),
        (entry("assign", incident=BORN), True),
        (entry("assign", agent_id=ANA, incident=BORN), False),
        (entry("acknowledge", incident=BORN), False),
        (entry("trigger", at=NOW + timedelta(seconds=30), incident=BORN), False),
        (entry("trigger", incident=BORN | {"incident_key": "somebody-elses"}), False),
        (entry("trigger", incident=BORN | {"incident_key": None}), False),
        (entry("trigger", incident={}), False),
    ],
)
def test_the_birth_of_our_own_incidents_is_known_by_the_key(row: LogEntry, *, ours: bool) -> None:
    """Even without a ledger, the first entries of an incident that we made are no news."""
    assert is_birth_echo(row, our_user_id=OURS) is ours


@given(st.sampled_from(["acknowledge", "assign", "annotate", "other"]), st.text(max_size=5))
def test_without_expectations_nothing_is_an_echo(word: str, note: str) -> None:
    """Where we wrote nothing, every entry is news."""
    row = replace(entry(word), detail={"note": note})
    assert match_entry(row, [], our_user_id=OURS) is None


@pytest.mark.parametrize(
    ("changes", "effects"),
    [
        ({"status": "acknowledged"}, {"acknowledge", "assign"}),
        ({"status": "resolved"}, {"resolve"}),
        ({"status": "resolved", "resolution": "done"}, {"resolve", "annotate"}),
        ({"status": "triggered"}, {"reopen", "trigger", "unacknowledge", "assign"}),
        ({"priority_id": "P1", "urgency": "low"}, {"priority_change", "urgency_change"}),
        ({"assignee_ids": [ANA]}, {"assign"}),
        ({"escalation_policy_id": "PE"}, {"escalate", "delegate", "assign"}),
        ({}, set()),
    ],
)
def test_each_update_announces_its_entries(changes: dict[str, Any], effects: set[str]) -> None:
    """What an incident update of ours will show in the log is known before it goes out."""
    assert set(effects_of(changes)) == effects
