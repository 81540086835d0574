"""Pruning forgets what is old and settled, and never what keeps things from being done twice."""

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import text, update

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import (
    Ledger,
    actions,
    cursors,
    events,
    expectations,
    links,
    maintenance,
    notes,
    open_ledger,
    pruning,
    rulesets,
    runs,
    snapshots,
    tables,
)
from pd_sf_rules.ledger.notes import KnownNote
from pd_sf_rules.ledger.runs import Run
from pd_sf_rules.model import Link
from tests.integration.ledger_rows import NOW, an_action, an_event

pytest_plugins = ["tests.integration.ledger_databases"]

BEFORE = NOW - timedelta(days=90)
LONG_AGO = BEFORE - timedelta(days=30)
PAGERDUTY: dict[str, Any] = {"source": "pagerduty", "object": None, "record_id": None}


def _add(
    ledger: Ledger, event_id: str, *states: str, at: datetime = LONG_AGO, **facts: Any
) -> None:
    """An event of that time with one action in each of the states, everything dated alike."""
    event = an_event(event_id, occurred_at=at, **facts)
    ids = [f"{event_id}-{state}" for state in states]
    planned = [
        an_action(
            action_id,
            event_id=event_id,
            integration=event.integration,
            mode="shadow" if state == "shadow" else "live",
        )
        for action_id, state in zip(ids, states, strict=True)
    ]
    with ledger.begin() as c:
        events.add_event(c, event)
        events.mark_evaluated(c, event, [], run_id="run-1")
        actions.add_actions(c, planned, now=at)
        for action_id, state in zip(ids, states, strict=True):
            c.execute(
                update(tables.actions).where(tables.actions.c.id == action_id).values(state=state)
            )
        c.execute(
            update(tables.events).where(tables.events.c.id == event_id).values(received_at=at)
        )


def _left(ledger: Ledger) -> set[str]:
    with ledger.read() as c:
        return {event.id for event in events.find_events(c, limit=10_000)}


def test_only_old_and_settled_events_go(ledger: Ledger) -> None:
    """Applied, skipped and shadow actions go with their event; anything open or young keeps it whole."""
    _add(ledger, "plain")
    _add(ledger, "done", "applied", "skipped", "shadow")
    _add(ledger, "young", "applied", at=BEFORE + timedelta(seconds=1))
    for state in ("pending", "claimed", "failed"):
        _add(ledger, f"open-{state}", "applied", state)
    _add(ledger, "touched", "applied")
    with ledger.begin() as c:
        events.add_event(c, an_event("waiting", occurred_at=LONG_AGO))
        c.execute(update(tables.events).values(received_at=LONG_AGO))
        c.execute(
            update(tables.actions)
            .where(tables.actions.c.id == "touched-applied")
            .values(updated_at=NOW)
        )
    gone = maintenance.prune(ledger, before=BEFORE)
    assert (gone["events"], gone["actions"]) == (2, 3)
    assert _left(ledger) == {
        "young",
        "open-pending",
        "open-claimed",
        "open-failed",
        "touched",
        "waiting",
    }
    with ledger.read() as c:
        assert len(actions.find_actions(c, event_id="open-failed")) == 2
    assert maintenance.prune(ledger, before=BEFORE)["events"] == 0


def test_forgotten_event_is_not_taken_in_again(ledger: Ledger) -> None:
    """A backfill over pruned times finds its events refused, of that source and object, and no newer ones."""
    _add(ledger, "old", "applied", **PAGERDUTY)
    maintenance.prune(ledger, before=BEFORE)
    second = timedelta(seconds=1)
    with ledger.begin() as c:
        assert events.forgotten_until(c, "default", "pagerduty") == LONG_AGO
        assert events.forgotten_until(c, "default", "salesforce", "Case") is None
        again = an_event("old", occurred_at=LONG_AGO, **PAGERDUTY)
        assert not events.add_event(c, again)
        assert events.add_event(c, an_event("new", occurred_at=LONG_AGO + second, **PAGERDUTY))
        assert events.add_event(c, an_event("case", occurred_at=LONG_AGO))
        other = an_event("other", occurred_at=LONG_AGO, integration="other", **PAGERDUTY)
        assert events.add_event(c, other)


def test_events_that_a_cursor_may_read_again_stay(ledger: Ledger) -> None:
    """A cursor that was held up keeps everything from a day before it; moved on, it lets go."""
    with ledger.begin() as c:
        cursors.start_cursor(c, "default", "pagerduty", LONG_AGO + timedelta(hours=36))
        cursors.start_cursor(c, "default", "salesforce:Case", NOW)
    _add(ledger, "behind", "applied", **PAGERDUTY)
    _add(ledger, "near", "applied", at=LONG_AGO + timedelta(hours=13), **PAGERDUTY)
    _add(ledger, "elsewhere", "applied", at=LONG_AGO + timedelta(hours=13), integration="other")
    maintenance.prune(ledger, before=BEFORE)
    assert _left(ledger) == {"near"}
    with ledger.begin() as c:
        cursors.move_cursor(c, "default", "pagerduty", NOW)
    maintenance.prune(ledger, before=BEFORE)
    assert _left(ledger) == set()


def test_stream_that_nobody_reads_any_more_holds_nothing_back(ledger: Ledger) -> None:
    """The cursor of an object that left the rules long ago does not keep the whole ledger from pruning."""
    with ledger.begin() as c:
        for stream, at in (
            ("salesforce:Gone__c", LONG_AGO - timedelta(days=9)),
            ("pagerduty", NOW),
        ):
            cursors.start_cursor(c, "default", stream, at)
        c.execute(
            update(tables.cursors)
            .where(tables.cursors.c.stream == "salesforce:Gone__c")
            .values(moved_at=LONG_AGO)
        )
    _add(ledger, "old", "applied", **PAGERDUTY)
    maintenance.prune(ledger, before=BEFORE)
    assert _left(ledger) == set()


def test_what_idempotency_needs_stays_for_ever(ledger: Ledger) -> None:
    """Links, snapshots, cursors and note ids of any age survive."""
    link = Link("default", "Case", "500A", "P1", "", LONG_AGO)
    note = KnownNote("default", "pagerduty", "N1", None, "P1", "d", None, LONG_AGO, "ours")
    with ledger.begin() as c:
        links.add_link(c, link)
        notes.add_note(c, note)
        snapshots.merge_snapshot(
            c, "default", "salesforce", "Case", "500A", {"Status": "New"}, now=LONG_AGO
        )
        cursors.start_cursor(c, "default", "salesforce:Case", LONG_AGO)
    maintenance.prune(ledger, before=datetime.now(UTC) + timedelta(days=1))
    with ledger.read() as c:
        assert links.all_links(c, "default") == [link]
        assert notes.known_notes(c, "default", "pagerduty", ["N1"]) == {"N1"}
        assert snapshots.get_snapshots(c, "default", "salesforce", "Case", ["500A"])
        assert cursors.get_cursor(c, "default", "salesforce:Case") is not None


def test_awaited_effects_go_when_they_can_no_longer_come(ledger: Ledger) -> None:
    """Old expectations of settled actions go, seen or not; of open actions, or young, they stay."""
    _add(ledger, "e", "applied", "failed")
    with ledger.begin() as c:
        for action_id, at in (("e-applied", LONG_AGO), ("e-failed", LONG_AGO), ("e-young", NOW)):
            expectations.expect(
                c, "default", "pagerduty", action_id, {"note": "d"}, action_id=action_id, now=at
            )
    assert maintenance.prune(ledger, before=BEFORE)["expectations"] == 1
    with ledger.read() as c:
        left = expectations.open_expectations(
            c, "default", "pagerduty", ["e-applied", "e-failed", "e-young"]
        )
    assert {one.action_id for one in left} == {"e-failed", "e-young"}


def test_ruleset_versions_in_use_stay(ledger: Ledger) -> None:
    """The last good version of each file stays at any age, and those that kept actions were made by."""
    _add(ledger, "kept", "failed")
    with ledger.begin() as c:
        for number, version in enumerate(("0123456789ab", "older", "last")):
            at = LONG_AGO + timedelta(minutes=number)
            rulesets.remember(c, "a.yaml", "A", version, f"text of {version}", at)
    assert maintenance.prune(ledger, before=BEFORE)["ruleset_versions"] == 1
    with ledger.read() as c:
        assert rulesets.last_good(c, "a.yaml") == ("last", "text of last")
        assert rulesets.text_of(c, "0123456789ab") is not None
        assert rulesets.text_of(c, "older") is None


def test_old_runs_go(ledger: Ledger) -> None:
    """Runs that started before the bound are forgotten."""
    with ledger.begin() as c:
        for run_id, at in (("old", LONG_AGO), ("new", NOW)):
            runs.save_run(c, Run(run_id, "default", "salesforce", None, None, {}, at))
    assert maintenance.prune(ledger, before=BEFORE)["runs"] == 1
    with ledger.read() as c:
        assert [run.run_id for run in runs.recent_runs(c)] == ["new"]


def test_thousands_go_in_small_transactions(ledger: Ledger) -> None:
    """More events than one transaction takes are all pruned."""
    with ledger.begin() as c:
        for number in range(1100):
            at = LONG_AGO + timedelta(seconds=number)
            events.add_event(c, an_event(f"e{number}", occurred_at=at), state="baseline")
        c.execute(update(tables.events).values(received_at=LONG_AGO))
    assert maintenance.prune(ledger, before=BEFORE)["events"] == 1100
    assert _left(ledger) == set()


def test_stats_say_what_is_there(ledger: Ledger) -> None:
    """Rows, states, the oldest open work, cursors, size and revision, as JSON."""
    _add(ledger, "e", "applied", "failed")
    with ledger.begin() as c:
        events.add_event(c, an_event("waiting", occurred_at=NOW))
        cursors.start_cursor(c, "default", "pagerduty", NOW)
    stats = maintenance.stats(ledger)
    assert json.loads(json.dumps(stats)) == stats
    assert stats["database"] == ledger.name
    assert stats["revision"] == ledger.revision()
    assert stats["bytes"] > 10_000
    assert stats["rows"]["actions"] == 2
    assert stats["events"] == {"evaluated": 1, "pending": 1}
    assert stats["actions"] == {"applied": 1, "failed": 1}
    assert stats["oldest_pending_event"] == NOW.isoformat()
    assert stats["oldest_open_action"] == LONG_AGO.isoformat()
    assert stats["cursors"] == {"default/pagerduty": NOW.isoformat()}


def test_sound_ledger_has_no_damage(ledger: Ledger) -> None:
    """A sound ledger is reported as such on both databases."""
    _add(ledger, "e", "applied")
    assert maintenance.damage(ledger) == []


def test_damage_is_found(tmp_path: Any) -> None:
    """An index that lost its rows, or an action without its event, is told; so is an unreadable page."""
    opened = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    for number in range(50):
        _add(opened, f"e{number}", "applied")
    with opened.begin() as c:
        c.execute(text("PRAGMA defer_foreign_keys = ON"))
        c.execute(text("PRAGMA writable_schema = ON"))
        root = "SELECT rootpage FROM sqlite_schema WHERE name = 'ix_events_occurred'"
        c.execute(
            text(f"UPDATE sqlite_schema SET rootpage = ({root}) WHERE name = 'ix_actions_state'")
        )
    opened.close()
    reopened = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    assert any("ix_actions_state" in line for line in _told(reopened))
    reopened.close()


def _told(ledger: Ledger) -> list[str]:
    try:
        return maintenance.damage(ledger)
    except ConfigError as error:
        return [str(error)]


@pytest.mark.parametrize("offset", [0, 5])
def test_bound_may_have_any_offset(ledger: Ledger, offset: int) -> None:
    """`before` is an instant: the same one in another zone prunes the same."""
    _add(ledger, "old")
    _add(ledger, "young", at=BEFORE)
    bound = BEFORE.astimezone(timezone(timedelta(hours=offset)))
    assert maintenance.prune(ledger, before=bound)["events"] == 1
    assert _left(ledger) == {"young"}


def test_others_write_while_much_is_forgotten(
    ledger: Ledger, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two small transactions the ledger is free: a writer that waits for nobody gets in each time.

    What it finds then is whole: no action without its event, and nothing forgotten that would be taken in again.
    """
    number = 1000
    with ledger.begin() as c:
        many = [
            an_event(f"e{n}", occurred_at=LONG_AGO + timedelta(seconds=n)) for n in range(number)
        ]
        for event in many:
            events.add_event(c, event, state="baseline")
        actions.add_actions(
            c, [an_action(f"a{n}", event_id=f"e{n}") for n in range(0, number, 10)], now=LONG_AGO
        )
        c.execute(update(tables.events).values(received_at=LONG_AGO))
        c.execute(update(tables.actions).values(state="applied"))
    other = open_ledger(f"{ledger_url}?timeout=0" if "sqlite" in ledger_url else ledger_url)
    left = [number]

    def meanwhile(_seconds: float) -> None:
        with other.begin() as c:
            cursors.start_cursor(c, "default", f"writer:{len(left)}", NOW)
            left.append(len(events.find_events(c, limit=number)))
            kept = {action.event_id for action in actions.find_actions(c, limit=number)}
            assert kept <= events.known_ids(c, kept)
            assert not any(events.add_event(c, event) for event in many[: number - left[-1]])

    monkeypatch.setattr(time, "sleep", meanwhile)
    assert maintenance.prune(ledger, before=BEFORE)["events"] == number
    other.close()
    assert left[-1] == 0
    assert all(0 <= before - after <= pruning.BATCH for before, after in pairwise(left))
    assert len(left) > number / pruning.BATCH
