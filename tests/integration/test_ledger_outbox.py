"""The outbox keeps every planned action once, in its order, and where it stands."""

from dataclasses import fields

import pytest

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import Ledger, actions, events
from pd_sf_rules.ledger.backlog import waits_of
from pd_sf_rules.model import Action
from tests.integration.ledger_rows import NOW, an_action, an_event, later, plan

pytest_plugins = ["tests.integration.ledger_databases"]


def test_action_comes_back_as_it_was_planned(ledger: Ledger) -> None:
    """Every part of an action survives the ledger, the order of its params too."""
    action = an_action(
        params={"zeta": "{{ record.Subject }}", "alpha": [1, None, {"ü": True}]},
        scope="created_by_ruleset",
        incident_id="PABC",
    )
    with ledger.begin() as c:
        events.add_event(c, an_event())
        assert actions.add_actions(c, [action], run_id="run-1", now=NOW) == {"action-1"}
    with ledger.read() as c:
        stored = actions.get_action(c, "action-1")
        assert actions.get_action(c, "no-such") is None
    assert stored is not None
    assert {f.name: getattr(stored, f.name) for f in fields(Action)} == {
        f.name: getattr(action, f.name) for f in fields(Action)
    }
    assert list(stored.params) == ["zeta", "alpha"]
    assert (stored.state, stored.attempt, stored.event_occurred_at) == ("pending", 0, NOW)
    assert (stored.created_at, stored.updated_at, stored.run_id) == (NOW, NOW, "run-1")
    assert not stored.in_doubt


def test_plan_is_taken_in_once(ledger: Ledger) -> None:
    """Planning the same event twice adds only what is new, and leaves what is under way alone."""
    with ledger.begin() as c:
        plan(c, "a")
        actions.claim(c, ["a"], owner="me", now=NOW, lease_seconds=60)
        again = actions.add_actions(c, [an_action("a"), an_action("b")], now=later(5))
        stored = actions.get_actions(c, ["a", "b"])
    assert again == {"b"}
    assert {i: s.state for i, s in stored.items()} == {"a": "claimed", "b": "pending"}


def test_plan_for_an_unknown_event_is_refused_whole(ledger: Ledger) -> None:
    """No action without its event: the error names the event, and nothing of the plan stays."""
    planned = [an_action("b"), an_action("c", event_id="event-9")]
    with ledger.begin() as c:
        plan(c)
    with pytest.raises(SyncError, match="event-9"), ledger.begin() as c:
        actions.add_actions(c, planned)
    with ledger.read() as c:
        assert actions.find_actions(c) == []


def test_open_actions_come_in_the_order_they_are_due(ledger: Ledger) -> None:
    """Events by time and arrival, then rulesets, rules and actions as they were planned, whatever their ids."""
    with ledger.begin() as c:
        events.add_event(c, an_event("late", occurred_at=later(20)))
        events.add_event(c, an_event("early", occurred_at=later(10)))
        events.add_event(c, an_event("early-too", occurred_at=later(10)))
        actions.add_actions(
            c,
            [
                an_action("9", event_id="early", ruleset="B", position=0),
                an_action("8", event_id="early", ruleset="B", position=1),
                an_action("7", event_id="early", ruleset="A", position=0),
            ],
        )
        actions.add_actions(c, [an_action("1", event_id="late")])
        actions.add_actions(c, [an_action("5", event_id="early-too")])
    with ledger.read() as c:
        assert [a.id for a in actions.open_actions(c, "default")] == ["9", "8", "7", "5", "1"]


def test_open_actions_are_those_that_still_need_something(ledger: Ledger) -> None:
    """Pending, claimed and failed ones; not applied, skipped or shadow, nor another integration's."""
    with ledger.begin() as c:
        ids = plan(c, "pending", "claimed", "failed", "applied", "skipped")
        actions.add_actions(
            c, [an_action("shadow", mode="shadow"), an_action("away", integration="other")]
        )
        actions.claim(c, ids[1:], owner="me", now=NOW, lease_seconds=60)
        actions.record_outcome(c, "failed", state="failed", now=NOW, message="no")
        actions.record_outcome(c, "applied", state="applied", now=NOW)
        actions.record_outcome(c, "skipped", state="skipped", now=NOW)
    with ledger.read() as c:
        due = [a.id for a in actions.open_actions(c, "default")]
        shadow = actions.get_action(c, "shadow")
    assert due == ["pending", "claimed", "failed"]
    assert shadow is not None
    assert shadow.state == "shadow"


def test_open_actions_are_narrowed_and_told_without_their_bodies(ledger: Ledger) -> None:
    """A record's or an incident's only, and without requests and answers, where thousands may be read."""
    with ledger.begin() as c:
        plan(c, "a")
        actions.add_actions(
            c, [an_action("b", record_id="500X"), an_action("i", record_id=None, incident_id="P1")]
        )
        actions.claim(c, ["a", "b"], owner="me", now=NOW, lease_seconds=60)
        for one in ("a", "b"):
            actions.mark_sent(c, one, request={"title": one}, now=NOW)
            actions.record_outcome(
                c, one, state="failed", now=NOW, message="no", answer={"done": [one]}
            )
    with ledger.read() as c:
        mine = actions.open_actions(c, "default", about=("500X", {"P1", "P2"}), bodies=False)
        full = actions.open_actions(c, "default", state="failed")
    assert [(one.id, one.state, one.message) for one in mine] == [
        ("b", "failed", "no"),
        ("i", "pending", ""),
    ]
    assert [(one.request, one.answer) for one in mine] == [(None, None), (None, None)]
    assert [one.request for one in full] == [{"title": "a"}, {"title": "b"}]


def test_what_waits_is_counted(ledger: Ledger) -> None:
    """How many, the oldest and the first that says why, without what waits for somebody or for its pair."""
    with ledger.begin() as c:
        plan(c, "a")
        for at, one in enumerate(("b", "c", "d"), start=1):
            ruleset = "resting" if one == "d" else "Critical cases"
            actions.add_actions(c, [an_action(one, ruleset=ruleset)], now=later(-at))
        actions.claim(c, ["b", "c"], owner="me", now=NOW, lease_seconds=60)
        for one, kind in (("b", "transient"), ("c", "unlinked")):
            actions.record_outcome(
                c, one, state="pending", now=NOW, message=f"{one} is away", error_kind=kind
            )
    with ledger.read() as c:
        waits = waits_of(c, "default", but={"unlinked"}, paused={"resting"})
        none = waits_of(c, "other", but=set(), paused=set())
    assert (waits.count, waits.oldest, waits.message) == (2, later(-1), "b is away")
    assert (none.count, none.oldest, none.message) == (0, None, "")


def test_actions_are_found_by_what_they_are_about(ledger: Ledger) -> None:
    """By event, state, record, incident, run, integration and time, last touched first."""
    with ledger.begin() as c:
        plan(c, "a", "b", "c")
        actions.add_actions(c, [an_action("d", record_id="500X", incident_id="P1")], now=NOW)
        actions.claim(c, ["b"], owner="me", now=later(5), lease_seconds=60)
        actions.record_outcome(
            c, "b", state="failed", now=later(9), message="no", run_id="run-7", target="P9"
        )
    with ledger.read() as c:

        def found(**wanted: object) -> list[str]:
            return [a.id for a in actions.find_actions(c, **wanted)]  # type: ignore[arg-type]

        assert found() == ["b", "c", "d", "a"]
        assert found(limit=2) == ["b", "c"]
        assert found(event_id="event-1", state="failed") == ["b"]
        assert found(record_id="500X") == found(incident_id="P1") == ["d"]
        assert found(run_id="run-7") == found(since=later(1)) == ["b"]
        assert found(integration="other") == []


def test_creation_under_way_is_seen(ledger: Ledger) -> None:
    """`in_flight` is true while an action of the kind is claimed or in doubt, for the object it makes."""

    def creating(name: str | None) -> bool:
        with ledger.read() as c:
            return actions.in_flight(c, "default", kind="create_record", object=name)

    with ledger.begin() as c:
        plan(c)
        other = an_action("o", kind="create_record", params={"object": "Outage__c"})
        actions.add_actions(c, [an_action("c", kind="create_record", params={}), other])
    assert not creating("Case")
    with ledger.begin() as c:
        actions.claim(c, ["c"], owner="me", now=NOW, lease_seconds=60)
    assert creating("Case")
    assert creating(None)
    assert not creating("Outage__c")
    with ledger.begin() as c:
        actions.mark_sent(c, "c", request={}, now=NOW)
        actions.record_outcome(c, "c", state="pending", now=NOW, error_kind="uncertain")
        actions.claim(c, ["o"], owner="me", now=NOW, lease_seconds=60)
    assert creating("Case")
    assert creating("Outage__c")
    with ledger.begin() as c:
        actions.record_outcome(c, "c", state="applied", now=NOW)
    assert not creating("Case")
