"""What becomes of a storm: it is told of once, costs the sync nothing while it waits, and is decided as a whole."""

from datetime import timedelta
from typing import Any

import pytest

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import storms as stored
from pd_sf_rules.ledger import waiting
from pd_sf_rules.pipeline import summary
from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.pipeline.storms import decide, held_storms
from pd_sf_rules.planning.decisions import DISCARD, RELEASE, SUMMARY
from tests.integration.pipeline_world import PAGE, PAGE_NEW, PipelineWorld, rule

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

STORM = "Rules of a.yaml / Page"
FEW = {"incidents_per_rule": {"count": 3, "minutes": 10}}
ESCALATE = {"update_record": {"fields": {"Status": "Escalated"}}}
NOTE = {"add_note": {"content": "Seen by the sync: {{ record.Subject }}"}}


def _load(world: PipelineWorld, number: int, *doing: Any, **limits: Any) -> None:
    """A data load of that many matching Cases under a rule that pages and then does `doing`; one pass over it."""
    world.settings(limits=limits or FEW)
    world.rules(rule("Page", PAGE_NEW["when"], PAGE, *doing))
    world.sync()
    for count in range(number):
        world.case(f"Case {count}")
    world.sync("salesforce")


def _alerts(world: PipelineWorld) -> list[str]:
    """The states of the incidents on the sync's own service."""
    return [one["status"] for one in world.incidents() if one["service"]["id"] == "POPSYNC"]


def _pages(world: PipelineWorld) -> list[dict[str, Any]]:
    return [one for one in world.incidents() if one["service"]["summary"] == "Support P1"]


def _decide(world: PipelineWorld, decision: Any) -> str:
    with world.run() as run:
        return decide(run, STORM, decision, who="Ana")


def test_the_rest_of_a_held_rule_is_held_with_it(both_worlds: PipelineWorld) -> None:
    """A later pass has nothing to look at, though each held page has two actions behind it."""
    world = both_worlds
    _load(world, 10, ESCALATE, NOTE)
    with world.run() as run:
        (storm,) = held_storms(run)
    assert (storm.held, storm.incidents, len(storm.first(4))) == (21, 7, 4)
    with world.ledger.read() as c:
        due = waiting.due_actions(
            c, "default", "salesforce", now=utc_now(), eager=True, released=False, limit=100
        )
    assert due == []
    assert [one["Status"] for one in world.cases()].count("Escalated") == 3


def test_a_discarded_storm_does_nothing_at_all(world: PipelineWorld) -> None:
    """Neither the page nor what the rule would have done after it happens to a discarded record."""
    _load(world, 6, ESCALATE)
    assert _decide(world, DISCARD) == "6 action(s) discarded."
    with world.silence():
        world.sync()
    assert [one["Status"] for one in world.cases()].count("Escalated") == 3


def test_a_summary_does_in_pagerduty_once_what_the_rule_does_next(
    both_worlds: PipelineWorld,
) -> None:
    """Every record is updated, one note is added, and the other notes say why they were skipped."""
    world = both_worlds
    _load(world, 10, NOTE, ESCALATE)
    said = _decide(world, SUMMARY)
    world.settle(3)
    (shared,) = [one for one in _pages(world) if one["id"] in said]
    assert world.notes(shared["id"]) == ["Seen by the sync: Case 3"]
    assert {one["Status"] for one in world.cases()} == {"Escalated"}
    skipped = [one.message for one in world.actions("add_note") if one.state == "skipped"]
    assert len(skipped) == 6
    assert set(skipped) == {
        f"Done once for all: incident {shared['id']} is the summary of a storm."
    }
    assert _alerts(world) == ["resolved"]


def test_a_summary_that_was_interrupted_goes_on(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends in the middle leaves one incident; asked again the rest is linked to the same one."""
    _load(world, 10, NOTE)
    monkeypatch.setattr(summary, "BATCH", 2)
    settle, calls = summary._stands_for, []

    def dies(*given: Any) -> None:
        calls.append(given)
        if len(calls) == 5:
            raise KeyboardInterrupt
        settle(*given)

    monkeypatch.setattr(summary, "_stands_for", dies)
    with pytest.raises(KeyboardInterrupt):
        _decide(world, SUMMARY)
    monkeypatch.setattr(summary, "_stands_for", settle)
    assert 0 < len(world.links()) - 3 < 7
    world.sync()
    _decide(world, SUMMARY)
    world.settle(3)
    assert len(_pages(world)) == 4
    assert len(world.links()) == 10
    assert sum(len(world.notes(one["id"])) for one in _pages(world)) == 4


def test_an_alert_that_was_lost_is_sent_by_a_later_pass(world: PipelineWorld) -> None:
    """While the Events API is down nobody is told; the next pass tells, and no pass tells twice."""
    down = world.fault("server_error", "pagerduty", "POST", "/v2/enqueue", times=None)
    _load(world, 6)
    assert _alerts(world) == []
    world.sandbox.faults.remove(down)
    before = world.sandbox.traffic.last_number()
    world.sync()
    world.sync()
    assert _alerts(world) == ["triggered"]
    assert len(world.writes(after=before, path="/v2/enqueue")) == 1


def test_a_clearing_that_was_lost_is_sent_by_a_later_pass(world: PipelineWorld) -> None:
    """A decision stands though the Events API is down; its alert is resolved by a later pass."""
    _load(world, 6)
    down = world.fault("server_error", "pagerduty", "POST", "/v2/enqueue", times=None)
    _decide(world, DISCARD)
    assert _alerts(world) == ["triggered"]
    world.sandbox.faults.remove(down)
    world.sync()
    assert _alerts(world) == ["resolved"]
    with world.ledger.read() as c:
        assert stored.stored_storms(c, "default") == []


def test_what_was_released_is_not_held_again_by_a_rate_limit(world: PipelineWorld) -> None:
    """A 429 in the middle of a release delays it: no second storm, no second question, one page a record."""
    _load(world, 12)
    _decide(world, RELEASE)
    world.fault("rate_limited", "pagerduty", "POST", "/incidents$", after=4, reset_seconds=1)
    world.settle(3)
    assert len(_pages(world)) == 12
    assert len({one.record_id for one in world.links()}) == 12
    with world.run() as run:
        assert held_storms(run) == []


def test_news_goes_out_before_a_release(world: PipelineWorld) -> None:
    """A page of another rule does not wait behind the pages of a released storm."""
    low = rule("Low", {"field": "Case.Priority", "operation": "equals", "value": "Low"}, PAGE)
    world.settings(limits=FEW)
    world.rules(PAGE_NEW, low)
    world.sync()
    for count in range(8):
        world.case(f"Case {count}")
    world.sync()
    _decide(world, RELEASE)
    world.case("News", Priority="Low")
    world.sync()
    titles = [one["title"] for one in _pages(world)]
    assert titles.index("News") == 3
    assert len(titles) == 9


def test_a_release_leaves_the_reserve_of_the_minute_for_news(world: PipelineWorld) -> None:
    """With 90 % of PagerDuty's minute used a pass stops releasing; what it did not send goes out afterwards."""
    world.settings(limits=FEW | {"api_reserve_percent": 50})
    world.rules(PAGE_NEW)
    world.sync()
    for count in range(30):
        world.case(f"Case {count}")
    world.sync()
    world.sandbox.pagerduty.limits.per_minute = 60
    _decide(world, RELEASE)
    with world.run() as run:
        run.pagerduty.get("log_entries", {"limit": 1})
        apply(run, "salesforce", release_seconds=5)
        usage = run.pagerduty.usage()
    sent = len(_pages(world)) - 3
    assert usage.used is not None
    assert sent < 27
    assert usage.used <= 32
    world.sandbox.pagerduty.limits.per_minute = 0
    world.sync()
    assert len(_pages(world)) == 30


def test_an_outage_caught_up_is_no_storm(world: PipelineWorld) -> None:
    """Sixty pages over four hours go out when an outage of four hours ends; in ten minutes they are a storm."""
    world.rules(PAGE_NEW)
    world.sync()
    for count in range(60):
        world.case(f"Case {count}")
        world.clock.pass_(minutes=4)
    world.sync()
    assert len(_pages(world)) == 60
    world.clock.pass_(minutes=11)
    for count in range(40):
        world.case(f"Load {count}")
    world.sync()
    assert len(_pages(world)) == 85
    with world.run() as run:
        assert [one.incidents for one in held_storms(run)] == [15]


def test_old_news_counts_when_it_goes_out(world: PipelineWorld) -> None:
    """Changes of days ago that were missed page like a data load: the breaker counts them together."""
    world.clock.ahead -= timedelta(days=3)
    world.settings(start_from="2020-01-01T00:00:00Z")
    world.rules(PAGE_NEW)
    for count in range(40):
        world.case(f"Case {count}")
        world.clock.pass_(minutes=30)
    world.clock.ahead += timedelta(days=2)
    world.sync("salesforce")
    assert len(_pages(world)) == 25


def test_a_summary_that_is_refused_leaves_everything_held(world: PipelineWorld) -> None:
    """PagerDuty's refusal of the summary is raised; nothing was linked, and the storm can be decided otherwise."""
    _load(world, 6, ESCALATE)
    world.fault("answer", "pagerduty", "POST", "/incidents$", status=400, body={"error": {}})
    with pytest.raises(SyncError):
        _decide(world, SUMMARY)
    assert len(world.links()) == 3
    assert _decide(world, DISCARD) == "6 action(s) discarded."
