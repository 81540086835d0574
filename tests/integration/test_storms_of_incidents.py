"""Two thousand records that match at once page 25 times; the rest waits for one decision of a person."""

from typing import Any

import pytest

from pd_sf_rules.errors import ConfigError, SyncError
from pd_sf_rules.pipeline.storms import decide, held_storms
from pd_sf_rules.planning.decisions import DISCARD, RELEASE, SUMMARY
from tests.integration.pipeline_world import PAGE, PAGE_NEW, PipelineWorld, became, rule

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

STORM = "Rules of a.yaml / Page"


def _load(world: PipelineWorld, number: int, *rules: Any, **limits: Any) -> None:
    """A data load of that many Cases, all of which match the paging rule, and one pass over them."""
    world.settings(limits=limits)
    world.rules(*(rules or (PAGE_NEW,)))
    world.sync()
    for count in range(number):
        world.case(f"Case {count}")
    world.sync("salesforce")


def _alerts(world: PipelineWorld) -> list[dict[str, Any]]:
    """The incidents on the sync's own service."""
    return [one for one in world.incidents() if one["service"]["id"] == "POPSYNC"]


def _pages(world: PipelineWorld) -> list[dict[str, Any]]:
    """The incidents that rules made."""
    return [one for one in world.incidents() if one["service"]["summary"] == "Support P1"]


def _decide(world: PipelineWorld, decision: Any, storm: str = STORM) -> str:
    with world.run() as run:
        return decide(run, storm, decision, who="Ana")


def test_two_thousand_matching_records_page_25_times(world: PipelineWorld) -> None:
    """The rule's breaker lets 25 incidents out, holds 1,975 and raises one alert; later passes send nothing more."""
    _load(world, 2_000)
    assert len(_pages(world)) == 25
    with world.run() as run:
        (storm,) = held_storms(run)
    assert (storm.name, storm.incidents, len(storm.actions)) == (STORM, 1_975, 1_975)
    assert len(_alerts(world)) == 1
    world.sync()
    world.case("One more")
    world.sync()
    assert len(_pages(world)) == 25
    assert len(_alerts(world)) == 1


def test_released_incidents_go_out_once_and_the_alert_is_cleared(world: PipelineWorld) -> None:
    """After a release every record has its own incident, exactly one, whatever the breakers say."""
    _load(world, 40)
    assert _decide(world, RELEASE).startswith("15 action(s) released")
    world.settle(3)
    assert len(_pages(world)) == 40
    assert len({one.record_id for one in world.links()}) == 40
    assert [one["status"] for one in _alerts(world)] == ["resolved"]


def test_discarded_incidents_never_go_out(world: PipelineWorld) -> None:
    """After a discard nothing more is sent, the actions say who decided, and later records page again."""
    _load(world, 30, incidents_per_rule={"count": 5, "minutes": 10})
    assert _decide(world, DISCARD) == "25 action(s) discarded."
    with world.silence():
        world.sync()
    skipped = [one for one in world.actions() if one.state == "skipped"]
    assert {one.message for one in skipped} == {"Discarded: by Ana"}
    assert len(_pages(world)) == 5
    assert [one["status"] for one in _alerts(world)] == ["resolved"]
    world.clock.pass_(minutes=11)
    later = world.case("Later")
    world.sync()
    assert len(world.links_of(later)) == 1


def test_a_summary_is_one_incident_linked_to_every_record(both_worlds: PipelineWorld) -> None:
    """All the held records share one incident, what the rule does next reaches each, and nothing pages again."""
    world = both_worlds
    escalate = {"update_record": {"fields": {"Status": "Escalated"}}}
    page = rule("Page", PAGE_NEW["when"], PAGE, escalate)
    _load(world, 20, page, incidents_per_rule={"count": 5, "minutes": 10})
    said = _decide(world, SUMMARY)
    world.settle(3)
    assert len(_pages(world)) == 6
    (summary,) = [one for one in _pages(world) if one["id"] in said]
    assert summary["title"] == "15 records match rule 'Page' at once"
    assert sum(one.incident_id == summary["id"] for one in world.links()) == 15
    assert {one["Status"] for one in world.cases()} == {"Escalated"}
    assert [one["status"] for one in _alerts(world)] == ["resolved"]


def test_a_summary_that_fails_sends_nothing_and_can_be_asked_again(world: PipelineWorld) -> None:
    """Refused or without an answer, the records stay held; asked again it is the one incident that was made."""
    _load(world, 12, incidents_per_rule={"count": 2, "minutes": 10})
    world.fault("answer", "pagerduty", "POST", "/incidents", status=400, body={"error": {}})
    with pytest.raises(SyncError):
        _decide(world, SUMMARY)
    world.fault("reset_after", "pagerduty", "POST", "/incidents")
    with pytest.raises(SyncError):
        _decide(world, SUMMARY)
    world.sync()
    assert len(_pages(world)) == 3
    with world.run() as run:
        assert [one.incidents for one in held_storms(run)] == [10]
    _decide(world, SUMMARY)
    world.settle()
    assert len(_pages(world)) == 3
    assert len(world.links()) == 12


def test_a_storm_has_one_key_until_it_is_decided(world: PipelineWorld) -> None:
    """More of the same storm keeps the key, so that a person is asked once; after a decision there is a new one."""
    _load(world, 8, incidents_per_rule={"count": 3, "minutes": 10})
    first = _only(world)
    world.case("One more")
    world.sync()
    second = _only(world)
    assert (second.key, len(second.actions)) == (first.key, 6)
    _decide(world, DISCARD)
    world.case("Yet another")
    world.sync()
    assert _only(world).key != first.key


def _only(world: PipelineWorld) -> Any:
    with world.run() as run:
        (storm,) = held_storms(run)
    return storm


def test_the_integrations_breaker_counts_all_rules(world: PipelineWorld) -> None:
    """Two rules below their own limit are stopped together by the limit of the integration."""
    low = rule("Low", {"field": "Case.Priority", "operation": "equals", "value": "Low"}, PAGE)
    world.settings(limits={"incidents": {"count": 6, "minutes": 10}})
    world.rules(PAGE_NEW, low)
    world.sync()
    for count in range(5):
        world.case(f"High {count}")
        world.case(f"Low {count}", Priority="Low")
    world.sync()
    assert len(_pages(world)) == 6
    with world.run() as run:
        assert sum(one.incidents for one in held_storms(run)) == 4


def test_a_pair_that_goes_round_is_stopped_with_an_alarm(world: PipelineWorld) -> None:
    """A person's script toggles a Case that a rule answers each time: after the limit the pair rests, others go on."""
    answer = rule(
        "Answer", became("Case.Status", "Escalated"), {"add_note": {"content": "Escalated again"}}
    )
    world.settings(limits={"actions_per_pair": {"count": 4, "minutes": 10}})
    case_id, incident_id = world.paged(answer)
    for _ in range(6):
        world.edit(case_id, Status="Escalated")
        world.sync()
        world.edit(case_id, Status="Working")
        world.sync()
    assert len(world.notes(incident_id)) == 3
    storm = _only(world)
    assert (storm.name, storm.incidents) == (f"loop of {case_id}", 0)
    assert len(_alerts(world)) == 1
    other = world.case("Another")
    world.sync()
    assert len(world.links_of(other)) == 1
    with pytest.raises(ConfigError, match="holds no incident"):
        _decide(world, SUMMARY, storm.name)


def test_a_breaker_that_is_switched_off_holds_nothing(world: PipelineWorld) -> None:
    """With a count of 0 thirty records page thirty times."""
    _load(world, 30, incidents_per_rule={"count": 0, "minutes": 10})
    assert len(_pages(world)) == 30
