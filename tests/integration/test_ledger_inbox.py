"""The inbox keeps every event once, in order, with what was decided about it."""

import json
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select, update

from pd_sf_rules.errors import ConfigError, SyncError
from pd_sf_rules.ledger import Ledger, events, tables
from pd_sf_rules.model import ConditionTrace, Event, Verdict
from pd_sf_rules.rules.evaluator import compile_rules
from pd_sf_rules.rules.loader import load_text
from tests.integration.ledger_rows import NOW, an_event, later
from tests.unit.rule_texts import one_rule

pytest_plugins = ["tests.integration.ledger_databases"]

VERDICT = Verdict(
    ruleset="Critical cases",
    ruleset_version="0123456789ab",
    mode="live",
    rule="Page support",
    matched=True,
    reason="Priority is High.",
    conditions=(ConditionTrace("Case.Priority", "equals", "High", "High", None, held=True),),
)


def test_event_comes_back_as_it_went_in(ledger: Ledger) -> None:
    """Every fact of an event survives the ledger: text, numbers, null, nested detail, any script."""
    event = an_event(
        incident_id="PABC",
        record={"Subject": 'Ärger "mit" 火 \U0001f525 \x00', "Amount": 12.5, "Parent.Name": None},
        old={"Subject": "", "IsClosed": False},
        incident={"status": "triggered", "number": 7},
        old_incident={"status": "resolved"},
        detail={"assignees": ["PU1", "PU2"], "note": {"content": "x"}},
        linked_by=("Critical cases",),
    )
    with ledger.begin() as c:
        assert events.add_event(c, event, run_id="run-1")
    with ledger.read() as c:
        stored = events.get_event(c, event.id)
        pending = events.pending_events(c, "default", "salesforce", limit=10)
    assert pending == [event]
    assert stored is not None
    assert {f.name: getattr(stored, f.name) for f in fields(Event)} == {
        f.name: getattr(event, f.name) for f in fields(Event)
    }
    assert (stored.state, stored.run_id, stored.verdicts) == ("pending", "run-1", ())
    assert stored.received_at.tzinfo is not None


def test_event_id_is_taken_in_once(ledger: Ledger) -> None:
    """A second event of the same id changes nothing, whatever it says."""
    with ledger.begin() as c:
        assert events.add_event(c, an_event(agent="first"))
        assert not events.add_event(c, an_event(agent="second"), state="echo")
    with ledger.read() as c:
        stored = events.get_event(c, "event-1")
    assert stored is not None
    assert (stored.agent, stored.state) == ("first", "pending")


def test_pending_events_come_oldest_first_and_by_arrival_within_an_instant(ledger: Ledger) -> None:
    """Order is (occurred_at, arrival), whatever offset the stamps had; `limit` keeps the oldest."""
    east = timezone(timedelta(hours=5, minutes=30))
    with ledger.begin() as c:
        events.add_event(c, an_event("b", occurred_at=later(10)))
        events.add_event(c, an_event("a", occurred_at=later(10).astimezone(east)))
        events.add_event(c, an_event("z", occurred_at=later(9)))
        events.add_event(c, an_event("other", integration="other", occurred_at=later(1)))
        events.add_event(c, an_event("page", source="pagerduty", occurred_at=later(1)))
        events.add_event(c, an_event("echo", occurred_at=later(1)), state="echo", echo_of="x")
        events.add_event(c, an_event("silent", occurred_at=later(1)), state="baseline")
    with ledger.read() as c:
        ids = [e.id for e in events.pending_events(c, "default", "salesforce", limit=10)]
        oldest = [e.id for e in events.pending_events(c, "default", "salesforce", limit=1)]
    assert ids == ["z", "b", "a"]
    assert oldest == ["z"]


def test_verdicts_are_written_once(ledger: Ledger) -> None:
    """The first process to judge an event wins; a second one learns that it came too late."""
    with ledger.begin() as c:
        events.add_event(c, an_event())
        judged = an_event(incident={"status": "triggered"})
        assert events.mark_evaluated(c, judged, [VERDICT], run_id="run-1")
        assert not events.mark_evaluated(c, an_event(), [], run_id="run-2")
    with ledger.read() as c:
        stored = events.get_event(c, "event-1")
        assert events.pending_events(c, "default", "salesforce", limit=10) == []
    assert stored is not None
    assert (stored.state, stored.run_id) == ("evaluated", "run-1")
    assert stored.incident == {"status": "triggered"}
    assert stored.verdicts[0]["reason"] == "Priority is High."
    assert stored.verdicts[0]["conditions"][0]["field"] == "Case.Priority"
    assert stored.evaluated_at is not None


def test_replay_may_judge_again(ledger: Ledger) -> None:
    """With `again` an evaluated event gets the new verdicts."""
    with ledger.begin() as c:
        events.add_event(c, an_event())
        events.mark_evaluated(c, an_event(), [], run_id="run-1")
        assert events.mark_evaluated(c, an_event(), [VERDICT], run_id="run-2", again=True)
        stored = events.get_event(c, "event-1")
    assert stored is not None
    assert (stored.run_id, len(stored.verdicts)) == ("run-2", 1)


def test_an_evaluation_is_read_back_as_verdicts(ledger: Ledger) -> None:
    """A transcript says what its verdicts said: on both databases, of any text, with the rules that matched named."""
    text = one_rule(when="{ field: Case.Subject, operation: contains, value: \U0001f525 }")
    ruleset, _ = load_text(text, "a.yaml")
    assert ruleset is not None
    event = an_event(record={"Subject": 'Ärger "mit" 火 \U0001f525 \x00'}, old={"Subject": None})
    said = compile_rules([ruleset]).evaluate(event)
    with ledger.begin() as c:
        events.add_event(c, event)
        assert events.mark_evaluated(c, event, said)
        stored = events.get_event(c, "event-1")
        matched = c.scalar(select(tables.events.c.matched))
    assert stored is not None
    assert json.dumps(list(stored.verdicts)) == json.dumps([asdict(one) for one in said.verdicts])
    assert stored.verdicts[0]["conditions"][0]["value"] == event.record["Subject"]
    assert matched == f"{ruleset.name} / {ruleset.rules[0].name}"


def test_verdicts_that_a_newer_version_kept_name_their_event(ledger: Ledger) -> None:
    """A row of a format to come is one clear error with the event's id and what to do."""
    with ledger.begin() as c:
        events.add_event(c, an_event())
        events.mark_evaluated(c, an_event(), [])
        c.execute(update(tables.events).values(verdicts={"format": 3}))
        with pytest.raises(ConfigError, match=r"^Event event-1: .*format 3.*newer version"):
            events.get_event(c, "event-1")


def test_known_ids_of_any_number(ledger: Ledger) -> None:
    """A list far longer than one statement takes is answered whole."""
    with ledger.begin() as c:
        for number in range(0, 2000, 100):
            events.add_event(c, an_event(f"e{number}"))
    with ledger.read() as c:
        known = events.known_ids(c, (f"e{number}" for number in range(40_000)))
        assert events.known_ids(c, []) == set()
    assert known == {f"e{number}" for number in range(0, 2000, 100)}


def test_events_are_found_by_what_they_are_about(ledger: Ledger) -> None:
    """By integration, record, incident and time, newest first or oldest first; both bounds count."""
    with ledger.begin() as c:
        for second in range(5):
            events.add_event(c, an_event(f"case-{second}", occurred_at=later(second)))
        events.add_event(c, an_event("page", source="pagerduty", record_id=None, incident_id="P1"))
        events.add_event(c, an_event("away", integration="other", record_id="500X"))
    with ledger.read() as c:
        record = events.find_events(c, record_id="500000000000001AAA", limit=3)
        window = events.find_events(
            c, integration="default", since=later(1), until=later(3), oldest_first=True
        )
        assert [e.id for e in events.find_events(c, incident_id="P1")] == ["page"]
        assert [e.id for e in events.find_events(c, integration="other")] == ["away"]
    assert [e.id for e in record] == ["case-4", "case-3", "case-2"]
    assert [e.id for e in window] == ["case-1", "case-2", "case-3"]


def test_naive_time_is_refused(ledger: Ledger) -> None:
    """A datetime without an offset is nobody's instant: it is refused, and nothing is written."""
    with pytest.raises(SyncError, match="timezone-aware"), ledger.begin() as c:
        events.add_event(c, an_event(occurred_at=datetime(2026, 3, 1)))  # noqa: DTZ001
    with ledger.read() as c:
        assert events.find_events(c) == []


def test_times_come_back_as_utc(ledger: Ledger) -> None:
    """An instant with an offset comes back as the same instant in UTC, to the microsecond."""
    stamp = NOW.astimezone(timezone(timedelta(hours=-8)))
    with ledger.begin() as c:
        events.add_event(c, an_event(occurred_at=stamp))
        stored = events.get_event(c, "event-1")
    assert stored is not None
    assert stored.occurred_at == NOW
    assert stored.occurred_at.tzinfo == UTC
