"""Which action of a pair goes next: never past what must come first, and never waiting for what does not matter."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pd_sf_rules.planning.kinds import (
    NOTE_COPIES,
    WRITES_TO,
    needs_incident,
    needs_record,
)
from pd_sf_rules.planning.order import Pair, group_by_pair, next_actions

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
KINDS = sorted(WRITES_TO)


@dataclass(frozen=True, slots=True)
class Step:
    """An open action as ordering sees it. `due` is whether its next try may be made now."""

    event_id: str
    rule: str
    kind: str
    state: str = "pending"
    due: bool = True
    number: int = 0
    ruleset: str = "Rules"
    record_id: str | None = None
    incident_id: str | None = None
    lease_until: datetime | None = None


def lane(step: Step) -> str:
    """Which queue of its pair an action stands in."""
    return "notes" if step.kind in NOTE_COPIES else WRITES_TO[step.kind]


def first(
    *steps: Step, pair: Pair[Step] | None = None, mine: Callable[[Step], bool] = bool
) -> Step | None:
    """The action of one pair that goes now."""
    whole = pair or Pair[Step](has_incident=True, has_record=True)
    whole.actions = list(steps)
    chosen = next_actions([whole], NOW, may_run=mine, is_due=lambda step: step.due)
    return chosen[0] if chosen else None


STEPS = st.lists(
    st.builds(
        Step,
        event_id=st.sampled_from(["salesforce:1", "salesforce:2", "pagerduty:3"]),
        rule=st.sampled_from(["a", "b"]),
        kind=st.sampled_from(KINDS),
        state=st.sampled_from(["pending", "pending", "claimed", "failed"]),
        due=st.booleans(),
        lease_until=st.sampled_from([NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)]),
    ),
    max_size=8,
).map(
    lambda steps: [
        replace(step, number=number)
        for number, step in enumerate(sorted(steps, key=lambda one: one.event_id))
    ]
)
PAIRS = st.builds(Pair[Step], has_incident=st.booleans(), has_record=st.booleans())


@given(STEPS, PAIRS)
def test_what_goes_is_free(steps: list[Step], pair: Pair[Step]) -> None:
    """An action that goes is due and not failed, and nobody else holds its lease."""
    step = first(*steps, pair=pair)
    if step is not None:
        assert step.state != "failed"
        assert step.state == "claimed" or step.due
        assert step.state != "claimed" or (step.lease_until or NOW) <= NOW


@given(STEPS, PAIRS)
def test_nothing_of_its_rule_stands_before_it(steps: list[Step], pair: Pair[Step]) -> None:
    """An action goes only when every earlier action of its rule for that event is done."""
    step = first(*steps, pair=pair)
    if step is not None:
        before = steps[: step.number]
        assert not [b for b in before if (b.event_id, b.rule) == (step.event_id, step.rule)]


@given(STEPS, PAIRS)
def test_no_event_overtakes_another_on_its_way_to_one_system(
    steps: list[Step], pair: Pair[Step]
) -> None:
    """Before it stands no action of an earlier event for the same system that is under way or waits to be tried."""
    step = first(*steps, pair=pair)
    if step is None:
        return
    rules_failed = {(s.event_id, s.rule) for s in steps if s.state == "failed"}
    for before in steps[: step.number]:
        if before.event_id == step.event_id or lane(before) != lane(step):
            continue
        if (before.event_id, before.rule) in rules_failed:
            continue
        waits_for_creation = needs_incident(before.kind) or needs_record(before.kind)
        assert waits_for_creation, f"{step} overtook {before}"


@given(STEPS, PAIRS)
def test_a_pair_stands_still_only_for_a_reason(steps: list[Step], pair: Pair[Step]) -> None:
    """Where no action goes, the first one is failed, under way or not due."""
    if first(*steps, pair=pair) is None and steps:
        head = steps[0]
        under_way = head.state == "claimed" and (head.lease_until or NOW) > NOW
        not_due = head.state == "pending" and not head.due
        assert head.state == "failed" or under_way or not_due


@given(st.lists(STEPS, max_size=4))
def test_pairs_do_not_wait_for_each_other(several: list[list[Step]]) -> None:
    """What goes of one pair is the same whatever else is open."""
    alone = [first(*steps, pair=Pair()) for steps in several]
    together = next_actions(
        [Pair(list(steps)) for steps in several], NOW, may_run=bool, is_due=lambda s: s.due
    )
    assert together == [step for step in alone if step is not None]


@given(STEPS, PAIRS)
def test_everything_gets_done_in_the_end(steps: list[Step], pair: Pair[Step]) -> None:
    """When nothing fails, carrying out one action after the other ends with none left, each once."""
    open_now = [replace(step, state="pending", due=True) for step in steps]
    done: list[int] = []
    while open_now:
        step = first(*open_now, pair=pair)
        assert step is not None
        done.append(step.number)
        open_now.remove(step)
        if step.kind == "create_incident":
            pair.has_incident = True
        if step.kind == "create_record":
            pair.has_record = True
    assert sorted(done) == [step.number for step in steps]


def test_a_failed_action_holds_back_its_rule_alone() -> None:
    """The rest of its rule for that event waits; another rule of the same event goes."""
    failed = Step("salesforce:1", "a", "create_incident", state="failed")
    rest = Step("salesforce:1", "a", "update_record", number=1)
    other = Step("salesforce:1", "b", "update_record", number=2)
    assert first(failed, rest) is None
    assert first(failed, rest, other) is other


def test_the_same_rule_goes_on_for_a_later_event() -> None:
    """A failure belongs to its event: the next event of the pair is not held back by it."""
    failed = Step("salesforce:1", "a", "update_record", state="failed")
    later = Step("salesforce:2", "a", "update_record", number=1)
    assert first(failed, later) is later


def test_a_waiting_action_holds_back_later_events_for_its_system_only() -> None:
    """An older value is not overtaken; what goes to the other system does not wait."""
    waiting = Step("salesforce:1", "a", "update_record", due=False)
    newer = Step("salesforce:2", "a", "update_record", number=1)
    elsewhere = Step("salesforce:2", "b", "add_note", number=2)
    assert first(waiting, newer) is None
    assert first(waiting, newer, elsewhere) is elsewhere


@pytest.mark.parametrize("state", ["failed", "pending"])
def test_what_needs_the_incident_waits_for_its_creation(state: str) -> None:
    """While create_incident is failing or waits, a note of another rule waits too; with an open incident it goes."""
    create = Step("salesforce:1", "a", "create_incident", state=state, due=False)
    note = Step("salesforce:1", "b", "add_note", number=1)
    assert first(create, note, pair=Pair()) is None
    assert first(create, note) is note
    known = replace(note, incident_id="Q1")
    assert first(create, known, pair=Pair()) is known


def test_without_a_creation_nothing_is_waited_for() -> None:
    """An action without any link goes at once, to be skipped with its reason."""
    note = Step("salesforce:1", "b", "add_note")
    assert first(note, pair=Pair()) is note


def test_copies_have_a_lane_of_their_own() -> None:
    """A copy that waits delays no resolve, and a waiting resolve delays no copy, but copies keep their order."""
    copy = Step("notes:1", "copy", "copy_comment_to_note", due=False)
    later = Step("notes:2", "copy", "copy_note_to_comment", number=1)
    resolve = Step("salesforce:3", "a", "resolve_incident", number=2)
    assert first(copy, later) is None
    assert first(copy, later, resolve) is resolve


def test_what_another_run_would_do_is_done_first_when_it_stands_in_the_way() -> None:
    """An older action of the other direction is carried out rather than overtaken, and left alone otherwise."""

    def mine(step: Step) -> bool:
        return step.event_id.startswith("salesforce:")

    older = Step("pagerduty:1", "a", "update_record")
    newer = Step("salesforce:2", "b", "update_record", number=1)
    elsewhere = Step("salesforce:2", "b", "add_note", number=1)
    assert first(older, newer, mine=mine) is older
    assert first(older, elsewhere, mine=mine) is elsewhere
    assert first(older, mine=mine) is None


def test_grouping_keeps_order() -> None:
    """Actions of a pair stay in their order."""
    steps = [Step(f"salesforce:{n}", "a", "add_note", number=n) for n in range(6)]
    pairs = group_by_pair(steps, lambda step: str(step.number % 2))
    assert [step.number for step in pairs["0"].actions] == [0, 2, 4]
    assert [step.number for step in pairs["1"].actions] == [1, 3, 5]
