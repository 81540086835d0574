"""Links, snapshots, expectations, notes, cursors, ruleset versions and runs."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import (
    Ledger,
    cursors,
    expectations,
    links,
    notes,
    rulesets,
    runs,
    snapshots,
)
from pd_sf_rules.ledger.notes import KnownNote
from pd_sf_rules.ledger.runs import Run
from pd_sf_rules.ledger.snapshots import Snapshot
from pd_sf_rules.model import Link, Source
from tests.integration.ledger_rows import NOW, later

pytest_plugins = ["tests.integration.ledger_databases"]

LINK = Link("default", "Case", "500A", "P1", "Critical cases", NOW)
CASES: tuple[str, Source, str] = ("default", "salesforce", "Case")
NOTE = KnownNote("default", "pagerduty", "N1", "500A", "P1", "digest", "action-1", NOW, "ours")


def test_pair_is_linked_once(ledger: Ledger) -> None:
    """A link that is there is not made again; both sides find it, oldest first."""
    second = replace(LINK, incident_id="P2", created_at=later(1))
    with ledger.begin() as c:
        assert links.add_link(c, second)
        assert links.add_link(c, LINK)
        assert not links.add_link(c, replace(LINK, ruleset="Another"))
        links.add_link(c, replace(LINK, integration="other"))
    with ledger.read() as c:
        assert links.links_of_records(c, "default", ["500A", "500B"]) == {"500A": [LINK, second]}
        assert links.links_of_incidents(c, "default", ["P1", "P9"]) == {"P1": [LINK]}
        assert links.all_links(c, "default") == [LINK, second]


def test_removed_link_is_gone_until_it_is_made_again(ledger: Ledger) -> None:
    """A removed link is not found any more; linking the pair again brings it back as new."""
    again = replace(LINK, ruleset="", created_at=later(9))
    with ledger.begin() as c:
        links.add_link(c, LINK)
        assert links.remove_link(c, "default", "Case", "500A", "P1")
        assert not links.remove_link(c, "default", "Case", "500A", "P1")
        assert links.links_of_records(c, "default", ["500A"]) == {}
        assert links.all_links(c, "default") == []
        assert links.add_link(c, again)
        assert links.all_links(c, "default") == [again]


def test_snapshot_is_replaced_only_by_who_read_it_last(ledger: Ledger) -> None:
    """Two readers of one version: the first save counts, the second learns that it moved."""
    seen = Snapshot("500A", {"Status": "New"}, NOW, 0, NOW)
    moved = replace(seen, values={"Status": "Working", "Amount": 1.5}, stamp=later(1))
    with ledger.begin() as c:
        assert snapshots.save_snapshot(c, *CASES, seen, expected_version=None, now=NOW)
        assert not snapshots.save_snapshot(c, *CASES, moved, expected_version=None, now=NOW)
        assert not snapshots.save_snapshot(c, *CASES, moved, expected_version=9, now=NOW)
        assert snapshots.save_snapshot(c, *CASES, moved, expected_version=1, now=later(2))
        assert not snapshots.save_snapshot(c, *CASES, seen, expected_version=1, now=later(3))
        found = snapshots.get_snapshots(c, *CASES, ["500A", "500B"])
        assert snapshots.get_snapshots(c, "default", "pagerduty", "Case", ["500A"]) == {}
    assert found == {"500A": replace(moved, version=2, touched_at=later(2))}


def test_written_values_are_laid_over_a_snapshot(ledger: Ledger) -> None:
    """What we wrote becomes what was last seen: other fields and the stamp stay, the version moves."""
    with ledger.begin() as c:
        snapshots.merge_snapshot(c, *CASES, "500B", {"Status": "Closed"}, now=NOW)
        seen = Snapshot("500A", {"Status": "New", "Subject": "x"}, NOW, 0, NOW)
        snapshots.save_snapshot(c, *CASES, seen, expected_version=None, now=NOW)
        snapshots.merge_snapshot(c, *CASES, "500A", {"Status": "Closed"}, now=later(5))
        found = snapshots.get_snapshots(c, *CASES, ["500A", "500B"])
    assert found["500B"] == Snapshot("500B", {"Status": "Closed"}, None, 1, NOW)
    assert found["500A"] == Snapshot("500A", {"Status": "Closed", "Subject": "x"}, NOW, 2, later(5))


def test_effect_of_ours_is_taken_once(ledger: Ledger) -> None:
    """An awaited effect explains one event only; announcing it again for a retry does not double it."""
    with ledger.begin() as c:
        for second, note in ((0, "d1"), (1, "d2")):
            expectations.expect(
                c,
                "default",
                "pagerduty",
                "P1",
                {"note": note, "acknowledge": ""},
                action_id="action-1",
                now=later(second),
            )
        awaited = expectations.open_expectations(c, "default", "pagerduty", ["P1", "P2"])
        assert {(e.effect, e.value, e.expected_at) for e in awaited} == {
            ("note", "d2", later(1)),
            ("acknowledge", "", later(1)),
        }
        first = awaited[0]
        assert expectations.consume(c, first.id, "event-7")
        assert not expectations.consume(c, first.id, "event-8")
        left = expectations.open_expectations(c, "default", "pagerduty", ["P1"])
        assert [e.id for e in left] == [awaited[1].id]
        assert expectations.forget(c, "action-1") == 1
        assert expectations.open_expectations(c, "default", "pagerduty", ["P1"]) == []


def test_effect_may_be_awaited_again_after_it_was_seen(ledger: Ledger) -> None:
    """An action that is sent a second time causes a second echo, and that one is awaited too."""
    with ledger.begin() as c:
        for event in ("event-1", "event-2"):
            expectations.expect(
                c, "default", "pagerduty", "P1", {"resolve": ""}, action_id="a", now=NOW
            )
            (awaited,) = expectations.open_expectations(c, "default", "pagerduty", ["P1"])
            assert expectations.consume(c, awaited.id, event)


def test_note_is_known_by_id_and_by_digest(ledger: Ledger) -> None:
    """A note's id is taken in once for each system; its digest is found on its target."""
    with ledger.begin() as c:
        assert notes.add_note(c, NOTE)
        assert not notes.add_note(c, replace(NOTE, origin="theirs"))
        assert notes.add_note(c, replace(NOTE, system="salesforce"))
        assert notes.add_note(c, replace(NOTE, note_id="N2", origin="theirs", action_id=None))
        assert notes.known_notes(c, "default", "pagerduty", ["N1", "N3"]) == {"N1"}
        assert notes.known_notes(c, "other", "pagerduty", ["N1"]) == set()
        on_incident = notes.note_digests(c, "default", "pagerduty", "P1")
        assert [n.note_id for n in on_incident["digest"]] == ["N1", "N2"]
        assert on_incident["digest"][0] == NOTE
        assert notes.note_digests(c, "default", "pagerduty", "500A") == {}
        assert list(notes.note_digests(c, "default", "salesforce", "500A")) == ["digest"]


def test_cursor_never_moves_back(ledger: Ledger) -> None:
    """A later position is taken, an earlier one refused, and starting again changes nothing."""
    with ledger.begin() as c:
        assert cursors.get_cursor(c, "default", "salesforce:Case") is None
        started = cursors.start_cursor(c, "default", "salesforce:Case", NOW)
        assert (started.position, started.started_at, started.extra) == (NOW, NOW, {})
        assert cursors.move_cursor(c, "default", "salesforce:Case", later(9), extra={"id": "500A"})
        assert not cursors.move_cursor(c, "default", "salesforce:Case", later(8), extra={})
        again = cursors.start_cursor(c, "default", "salesforce:Case", later(99))
        assert (again.position, again.started_at) == (later(9), NOW)
        assert again.extra == {"id": "500A"}
        assert cursors.move_cursor(c, "default", "salesforce:Case", later(9))
        cursors.start_cursor(c, "other", "pagerduty", NOW)
        assert [x.stream for x in cursors.all_cursors(c)] == ["salesforce:Case", "pagerduty"]
        assert [x.stream for x in cursors.all_cursors(c, "other")] == ["pagerduty"]


def test_stream_that_never_started_has_no_cursor_to_move(ledger: Ledger) -> None:
    """Moving it is an error that names the stream, not a silent start."""
    with pytest.raises(SyncError, match="pagerduty"), ledger.begin() as c:
        cursors.move_cursor(c, "default", "pagerduty", NOW)


def test_last_good_version_is_the_one_in_force_last(ledger: Ledger) -> None:
    """Going back to an older text makes that one the last good again."""
    with ledger.begin() as c:
        assert rulesets.last_good(c, "a.yaml") is None
        rulesets.remember(c, "a.yaml", "A", "v1", "one", NOW)
        rulesets.remember(c, "a.yaml", "A", "v2", "two \U0001f525", later(1))
        assert rulesets.last_good(c, "a.yaml") == ("v2", "two \U0001f525")
        rulesets.remember(c, "a.yaml", "A", "v1", "one", later(2))
        assert rulesets.last_good(c, "a.yaml") == ("v1", "one")
        assert rulesets.text_of(c, "v2") == "two \U0001f525"
        assert rulesets.text_of(c, "v9") is None


def test_run_is_written_at_its_start_and_again_at_its_end(ledger: Ledger) -> None:
    """One row a run and direction; the list shows the latest first."""
    run = Run("run-1", "default", "salesforce", NOW, later(60), {}, NOW)
    ended = replace(run, lineage={"counts": {"applied": 1}}, finished_at=later(61))
    other = replace(run, direction="pagerduty", started_at=later(5))
    older = replace(run, run_id="run-0", started_at=NOW - timedelta(days=1), window_start=None)
    with ledger.begin() as c:
        for one in (run, other, older, ended):
            runs.save_run(c, one)
        assert runs.get_run(c, "run-1", direction="salesforce") == ended
        assert runs.get_run(c, "run-1") == other
        assert runs.get_run(c, "run-9") is None
        assert runs.recent_runs(c) == [other, ended, older]
        assert runs.recent_runs(c, direction="salesforce", limit=1) == [ended]
        assert runs.recent_runs(c, integration="other") == []
