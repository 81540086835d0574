"""Texts that cross: attributed, within the other side's limit, and whole when put together."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pd_sf_rules.errors import SettingsError
from pd_sf_rules.model import Action, Event, Window
from pd_sf_rules.planning.notes import COMMENT_BYTES, NOTE_BYTES, as_comments, as_note, cut
from pd_sf_rules.planning.planner import incident_key, plan, plan_copy
from pd_sf_rules.planning.windows import (
    CLOCK_DOUBT,
    OVERLAP,
    first_start,
    given_window,
    live_window,
    next_position,
    reading,
)
from pd_sf_rules.rules.loader import load_text

LETTERS = st.text(alphabet="aé🚒\u0301 \n👩‍🚀漢", min_size=1, max_size=40)
LONG = st.builds(lambda word, times: word * times, LETTERS, st.integers(1, 900))
NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
INSTANTS = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001
    max_value=datetime(2030, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
RULES = """
version: 1
name: Both
enabled: true
rules:
  - name: First
    object: Case
    run_on: salesforce
    when: { field: Case.Priority, operation: equals, value: High }
    actions:
      - create_incident: { service: S, title: "{{ record.Subject }}" }
      - update_record: { fields: { Status: Escalated } }
  - name: Second
    object: Case
    run_on: salesforce
    when: { field: Case.Priority, operation: equals, value: High }
    actions:
      - add_note: { content: hello }
"""


@given(st.text(max_size=30).filter(lambda name: name.isprintable()), LONG)
def test_parts_fit_and_say_the_same(author: str, text: str) -> None:
    """Every part fits the byte limit, names its author, and together they are the text, letter by letter."""
    parts = as_comments(author, text)
    prefix = f"{author or 'Somebody'} (PagerDuty): "
    assert all(len(part.encode()) <= COMMENT_BYTES for part in parts)
    assert all(part.startswith(prefix) for part in parts)
    if len(parts) == 1:
        assert parts == [prefix + text]
    else:
        marks = [f"({n}/{len(parts)}) " for n in range(1, len(parts) + 1)]
        bodies = [p.removeprefix(prefix + m) for p, m in zip(parts, marks, strict=True)]
        assert "".join(bodies) == text


def test_a_note_holds_what_pagerduty_takes() -> None:
    """A comment is far smaller than a note's limit, so it crosses whole."""
    text = "🚒" * 1000
    assert as_note("Sam", text) == [f"Sam (Salesforce): {text}"]
    assert len(as_note("Sam", "x" * NOTE_BYTES)) == 2


@given(LONG, st.integers(3, 200))
def test_a_cut_text_fits_and_is_a_beginning(text: str, size: int) -> None:
    """What is cut fits, ends with an ellipsis, and never ends in half a letter."""
    short = cut(text, size)
    assert len(short.encode()) <= size
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


@pytest.mark.parametrize("blanks", [" ", "\n"])
def test_a_text_is_split_between_words(blanks: str) -> None:
    """Where a blank is near the limit, no word is torn apart."""
    words = [f"word{n}" for n in range(2000)]
    parts = as_comments("Ana", blanks.join(words))
    told = [part.split(") ", 2)[-1] if "(1/" not in part else part for part in parts]
    assert all(part.rstrip().split()[-1] in words for part in told)


@given(INSTANTS, INSTANTS, st.none() | INSTANTS)
def test_a_live_window_overlaps_and_ends_now(
    position: datetime, now: datetime, newest: datetime | None
) -> None:
    """It looks back from the cursor, and from the newest stamp where stamps may be behind the clock."""
    window = live_window(position, now, newest)
    assert window.moves_cursor
    assert window.end == now
    begins = window.start + OVERLAP
    assert min(position, now) - CLOCK_DOUBT <= begins <= min(position, now)
    if newest is not None and min(position, now) - newest <= CLOCK_DOUBT:
        assert begins == min(position, now, newest)
    assert reading(window).end == now + CLOCK_DOUBT


@given(INSTANTS, st.none() | INSTANTS)
def test_a_first_start_counts_from_the_newest_stamp_on(
    began: datetime, newest: datetime | None
) -> None:
    """What comes after the newest stamp there is counts as new, though the clock says that it is old."""
    start = first_start(began, newest)
    assert began - CLOCK_DOUBT <= start <= began
    if newest is not None and began - CLOCK_DOUBT <= newest:
        assert start == min(newest, began)


@given(INSTANTS, st.none() | INSTANTS)
def test_the_cursor_never_passes_what_was_held_back(end: datetime, held: datetime | None) -> None:
    """It goes to the window's end, or stays at the oldest row that was left for later."""
    position = next_position(Window(end - OVERLAP, end), held)
    assert position <= end
    assert held is None or position <= held


def test_a_given_window_leaves_the_cursor_alone() -> None:
    """A backfill reads its own window, not beyond now, and refuses one that ends before it starts."""
    hour = timedelta(hours=1)
    assert given_window(NOW - hour, None, NOW) == Window(NOW - hour, NOW, moves_cursor=False)
    assert given_window(NOW - hour, NOW + hour, NOW).end == NOW
    with pytest.raises(SettingsError, match="before it starts"):
        given_window(NOW, NOW - hour, NOW)


def event(number: int = 1) -> Event:
    """A change of a Case."""
    return Event(
        f"salesforce:default:500:{number}", "default", "salesforce", "updated", NOW, "Pat", "Case", "500"
    )  # fmt: skip


def planned(number: int = 1, text: str = RULES) -> tuple[Action, ...]:
    """The plan when every rule of the file matches."""
    ruleset, problems = load_text(text, "both.yaml")
    assert ruleset is not None, problems
    return plan(event(number), [(ruleset, one) for one in ruleset.rules])


def test_a_plan_keeps_the_order_written_and_has_ids_of_its_own() -> None:
    """Actions come rule by rule; each id is unique and the same whenever it is planned again."""
    actions = planned()
    assert [(one.rule, one.position, one.kind) for one in actions] == [
        ("First", 0, "create_incident"),
        ("First", 1, "update_record"),
        ("Second", 0, "add_note"),
    ]
    assert len({one.id for one in actions}) == 3
    assert [one.id for one in planned()] == [one.id for one in actions]
    assert {one.id for one in planned(2)}.isdisjoint(one.id for one in actions)


def test_an_edited_file_does_not_plan_an_event_twice() -> None:
    """The id names event, ruleset, rule and place, not the file's version: a replan repeats nothing."""
    edited = planned(text=RULES.replace("hello", "goodbye"))
    assert [one.id for one in edited] == [one.id for one in planned()]
    assert {one.ruleset_version for one in edited} != {one.ruleset_version for one in planned()}


def test_the_incident_key_names_the_record() -> None:
    """The key depends on integration and record alone, unless the action may create beside an open incident."""
    first, *_ = planned()
    other, *_ = planned(2)
    assert incident_key(first, "500") == incident_key(other, "500") == "pdsf-default-500"
    assert incident_key(first, "501") != incident_key(first, "500")
    beside = RULES.replace("service: S", "service: S, when_linked: any_open")
    keys = {incident_key(planned(n, beside)[0], "500") for n in (1, 2)}
    assert len(keys) == 2
    assert all(key.startswith("pdsf-default-500-") for key in keys)


def test_a_copy_is_planned_once() -> None:
    """A comment has one action, under an id of its own, however often it is read."""
    (first,) = plan_copy(event(), "copy_comment_to_note")
    (again,) = plan_copy(event(), "copy_comment_to_note")
    assert first == again
    assert first.kind == "copy_comment_to_note"
    assert first.record_id == "500"
