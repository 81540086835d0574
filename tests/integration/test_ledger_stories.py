"""What explain, simulate and status ask of the ledger, on both databases."""

from pd_sf_rules.ledger import Ledger, actions, attempts, events, links, rulesets, snapshots
from pd_sf_rules.ledger.backlog import queue_of
from pd_sf_rules.ledger.events import StoredEvent
from pd_sf_rules.model import Link
from tests.integration.ledger_rows import NOW, an_event, later, plan

pytest_plugins = ["tests.integration.ledger_databases"]


def test_each_attempt_is_kept_with_its_answer(ledger: Ledger) -> None:
    """A retried action has one row an attempt, with request, words and times; claims alone leave none."""
    with ledger.begin() as c:
        plan(c, "a", "b")
        actions.claim(c, ["a", "b"], owner="me", now=NOW, lease_seconds=60)
        actions.mark_sent(c, "a", request={"title": "one"}, now=later(1))
        actions.record_outcome(
            c,
            "a",
            state="pending",
            now=later(2),
            message="busy",
            error_kind="transient",
            run_id="r1",
        )
        actions.claim(c, ["a"], owner="me", now=later(3), lease_seconds=60)
        actions.mark_sent(c, "a", request={"title": "two"}, now=later(4))
        actions.record_outcome(
            c, "a", state="applied", now=later(5), target="Q1", answer={"id": "Q1"}, run_id="r2"
        )
    with ledger.read() as c:
        found = attempts.attempts_of(c, ["a", "b"])
    assert list(found) == ["a"]
    first, second = found["a"]
    assert (first.attempt, first.state, first.message) == (1, "pending", "busy")
    assert (first.error_kind, first.answer, first.target) == ("transient", None, None)
    assert (first.request, first.sent_at, first.ended_at) == ({"title": "one"}, later(1), later(2))
    assert (second.attempt, second.state, second.run_id) == (2, "applied", "r2")
    assert (second.answer, second.target) == ({"id": "Q1"}, "Q1")


def test_a_terse_outcome_keeps_no_bodies(ledger: Ledger) -> None:
    """Asked to be brief, the ledger keeps that it was done, when and to what, without request and answer."""
    with ledger.begin() as c:
        plan(c, "a")
        actions.claim(c, ["a"], owner="me", now=NOW, lease_seconds=60)
        actions.mark_sent(c, "a", request={"title": "one"}, now=later(1))
        actions.record_outcome(
            c, "a", state="applied", now=later(2), target="Q1", answer={"id": "Q1"}, terse=True
        )
        (kept,) = attempts.attempts_of(c, ["a"])["a"]
        stands = actions.get_action(c, "a")
    assert (kept.request, kept.answer, kept.target, kept.sent_at) == (None, None, "Q1", later(1))
    assert stands is not None
    assert (stands.request, stands.answer, stands.state) == (None, None, "applied")


def test_an_outcome_that_does_not_count_is_no_attempt(ledger: Ledger) -> None:
    """What comes after a final outcome, or from a lost claim, leaves no row."""
    with ledger.begin() as c:
        plan(c, "a")
        actions.claim(c, ["a"], owner="me", now=NOW, lease_seconds=60)
        assert not actions.record_outcome(c, "a", state="failed", now=NOW, owner="somebody else")
        assert actions.record_outcome(c, "a", state="applied", now=NOW)
        assert not actions.record_outcome(c, "a", state="failed", now=NOW)
        assert [one.state for one in attempts.attempts_of(c, ["a"])["a"]] == ["applied"]


def test_actions_of_an_event_come_in_their_order(ledger: Ledger) -> None:
    """As planned, whatever was touched last."""
    with ledger.begin() as c:
        plan(c, "z", "a", "m")
        actions.claim(c, ["z"], owner="me", now=later(9), lease_seconds=60)
        found = actions.actions_of_events(c, ["event-1", "event-2"])
    assert [one.id for one in found["event-1"]] == ["z", "a", "m"]
    assert list(found) == ["event-1"]


def test_judged_events_in_pages(ledger: Ledger) -> None:
    """Every judged event of the window once, oldest first; echoes, notes and others' events are left out."""
    with ledger.begin() as c:
        for number in range(7):
            event = an_event(f"e{number}", occurred_at=later(number // 2))
            events.add_event(c, event)
            events.mark_evaluated(c, event, [])
        events.add_event(c, an_event("echo"), state="echo")
        events.add_event(c, an_event("waiting"))
        events.add_event(c, an_event("notes:default:1"), state="evaluated")
        other = an_event("other", integration="elsewhere")
        events.add_event(c, other, state="evaluated")
    seen: list[str] = []
    last: StoredEvent | None = None
    with ledger.read() as c:
        while page := events.judged_events(
            c, "default", since=NOW, until=later(2), after=last, limit=2
        ):
            seen += [event.id for event in page]
            last = page[-1]
    assert seen == ["e0", "e1", "e2", "e3", "e4", "e5"]


def test_snapshots_by_what_they_hold(ledger: Ledger) -> None:
    """A number finds its record, a text that merely contains it does not, and wildcards mean themselves."""
    values = {
        "r1": {"CaseNumber": "00001027", "Subject": "x"},
        "r2": {"CaseNumber": "00001028", "Subject": "00001027"},
        "r3": {"CaseNumber": "0000102%"},
    }
    with ledger.begin() as c:
        for record_id, held in values.items():
            snapshots.merge_snapshot(c, "default", "salesforce", "Case", record_id, held, now=NOW)
        incident = {"number": 12}
        snapshots.merge_snapshot(c, "default", "pagerduty", "incident", "Q1", incident, now=NOW)
        longer = {"number": 123}
        snapshots.merge_snapshot(c, "default", "pagerduty", "incident", "Q2", longer, now=NOW)

        def found(system: str, name: str, value: object) -> list[str]:
            hits = snapshots.find_by_value(c, system, (name,), value)  # type: ignore[arg-type]
            return [one.target_id for one in hits]

        assert found("salesforce", "CaseNumber", "00001027") == ["r1"]
        assert found("salesforce", "CaseNumber", "0000102%") == ["r3"]
        assert found("pagerduty", "number", 12) == ["Q1"]
        assert found("pagerduty", "number", 1) == []
        assert [one.object for one in snapshots.seen_as(c, "salesforce", "r1")] == ["Case"]


def test_links_with_their_past(ledger: Ledger) -> None:
    """Removed links are found by record or incident, with the time they were removed."""
    with ledger.begin() as c:
        links.add_link(c, Link("default", "Case", "r1", "Q1", "A", NOW))
        links.add_link(c, Link("default", "Case", "r2", "Q2", "A", later(1)))
        links.remove_link(c, "default", "Case", "r1", "Q1", now=later(9))
        (past,) = links.find_links(c, record_ids=["r1"])
        assert (past.link.incident_id, past.removed_at) == ("Q1", later(9))
        assert [one.link.record_id for one in links.find_links(c, incident_ids=["Q2"])] == ["r2"]
        assert len(links.find_links(c)) == 2
        assert links.find_links(c, integration="elsewhere") == []


def test_versions_of_rulesets_by_hash(ledger: Ledger) -> None:
    """Texts are found by version, the path seen last telling where it stood."""
    with ledger.begin() as c:
        rulesets.remember(c, "old.yaml", "A", "v1", "text", NOW)
        rulesets.remember(c, "new.yaml", "A", "v1", "text", later(5))
        found = rulesets.versions_of(c, ["v1", "v2"])
    assert list(found) == ["v1"]
    assert (found["v1"].path, found["v1"].text, found["v1"].first_seen) == (
        "new.yaml",
        "text",
        later(5),
    )


def test_the_queue_is_counted(ledger: Ledger) -> None:
    """Pending events, and open live actions by state, of one integration."""
    with ledger.begin() as c:
        plan(c, "a", "b", "c")
        actions.claim(c, ["a", "b"], owner="me", now=NOW, lease_seconds=60)
        actions.record_outcome(c, "a", state="applied", now=NOW)
        actions.record_outcome(c, "b", state="failed", now=NOW, error_kind="refused")
        queue = queue_of(c, "default")
        assert (queue.pending_events, queue.oldest_event) == (1, NOW)
        assert dict(queue.actions) == {("failed", "refused"): 1, ("pending", ""): 1}
        assert (queue.count("failed"), queue.oldest_action) == (1, NOW)
        empty = queue_of(c, "elsewhere")
        assert (empty.pending_events, empty.oldest_event, dict(empty.actions)) == (0, None, {})
