"""Actions carried out side by side: what is under way is nobody else's, and what is not there is left alone."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from pd_sf_rules.ledger import links
from pd_sf_rules.pipeline import apply
from tests.integration.pipeline_world import (
    CREATED,
    PAGE,
    PAGE_NEW,
    PipelineWorld,
    became,
    rule,
)

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

WORKING = became("Case.Status", "Working")
WORKFLOW = {"run_incident_workflow": {"workflow": "Major incident"}}
FREE = {name: {"count": 0, "minutes": 10} for name in ("incidents_per_rule", "incidents")}


def _paged(world: PipelineWorld, action: dict[str, Any], cases: int, *more: Any) -> list[str]:
    """Cases that are paged for, and a rule that acts when they are worked on; `more` rules beside it."""
    world.settings(limits=FREE)
    world.rules(PAGE_NEW, rule("Tell", WORKING, action), *more)
    world.sync("salesforce")
    made = [world.case(f"Case {at}") for at in range(cases)]
    world.sync("salesforce")
    return made


def _working(world: PipelineWorld, action: dict[str, Any], cases: int) -> None:
    """Cases that are paged for, and that all are worked on now."""
    for one in _paged(world, action, cases):
        world.edit(one, Status="Working")


def test_a_request_under_way_is_nobody_elses(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wave that outlasts its claims loses none that is under way: another worker leaves the note to it."""
    _working(world, {"add_note": {"content": "On it"}}, 1)
    monkeypatch.setattr(apply, "lease_seconds", lambda *, many: 0.0)  # noqa: ARG005
    slow = world.fault("slow", "pagerduty", "POST", "/notes$", times=1, seconds=2.0)
    worker = threading.Thread(target=lambda: world.sync("salesforce"))
    worker.start()
    world.wait_for_hit(slow)
    world.sync("salesforce")
    worker.join()
    (incident,) = world.incidents()
    assert world.notes(incident["id"]) == ["On it"]
    assert (world.action("add_note").state, world.action("add_note").attempt) == ("applied", 1)


def test_an_outage_puts_few_extras_in_doubt(world: PipelineWorld) -> None:
    """Of eight status updates whose answers are lost only three went out, and the rest waits untried."""
    _working(world, {"publish_status_update": {"message": "On it"}}, 8)
    world.patience = 0.0
    lost = world.fault("reset_before", "pagerduty", "POST", "/status_updates$", times=None)
    world.sync("salesforce")
    told = [one.attempt for one in world.actions("publish_status_update")]
    assert (world.hits(lost), sorted(told)) == (3, [0] * 5 + [1] * 3)


def test_a_wave_of_other_requests_begins_anew(world: PipelineWorld) -> None:
    """After eight status updates that went well only three workflows go out when their answers are lost."""
    start = rule("Start", WORKING, WORKFLOW)
    made = _paged(world, {"publish_status_update": {"message": "On it"}}, 8, start)
    for one in made:
        world.edit(one, Status="Working")
    world.patience = 0.0
    lost = world.fault("reset_before", "pagerduty", "POST", "/instances$", times=None)
    world.sync("salesforce")
    assert {one.state for one in world.actions("publish_status_update")} == {"applied"}
    told = [(one.state, one.attempt) for one in world.actions(*WORKFLOW)]
    assert (world.hits(lost), told.count(("pending", 0))) == (3, 5)


def test_what_has_nothing_to_do_widens_no_wave(world: PipelineWorld) -> None:
    """Twelve Cases page in an outage three at a time, though eight before them had an incident already."""
    again = rule("Again", became("Case.Status", "Escalated"), PAGE)
    paged = _paged(world, {"resolve_incident": {}}, 8, again)
    fresh = [world.case(f"Later {at}", Priority="Low") for at in range(12)]
    world.sync("salesforce")
    for one in (*paged, *fresh):
        world.edit(one, Status="Escalated")
    world.patience = 0.0
    lost = world.fault("reset_before", "pagerduty", "POST", "/incidents$", times=None)
    world.sync("salesforce")
    told = [one for one in world.actions("create_incident") if one.rule == "Again"]
    assert sorted(one.state for one in told) == ["pending"] * 12 + ["skipped"] * 8
    assert world.hits(lost) <= 6  # two waves: one of which something came of is no outage yet


def test_what_waits_for_its_turn_in_an_outage_is_given_back(world: PipelineWorld) -> None:
    """A Case whose incident another one is at is not held when the service turns out to be away."""
    made = _paged(world, WORKFLOW, 5)
    (of_first,) = world.links_of(made[0])
    with world.ledger.begin() as c:
        links.add_link(c, replace(of_first, record_id=made[1]))
    for one in made:
        world.edit(one, Status="Working")
    world.patience = 0.0
    world.fault("reset_before", "pagerduty", "GET", "^/incident_workflows", times=None)
    world.sync("salesforce")
    told = {one.record_id: (one.state, one.attempt) for one in world.actions(*WORKFLOW)}
    assert told[made[1]] == ("pending", 0)
    assert {state for state, _ in told.values()} == {"pending"}


def test_a_limit_of_one_kind_holds_no_other_kind(world: PipelineWorld) -> None:
    """A limit on status updates is heard by those that were not sent yet, and by no workflow beside them."""
    told, start = ({"publish_status_update": {"message": "On it"}}, WORKFLOW)
    closed = rule("Start", became("Case.Status", "Escalated"), start)
    made = _paged(world, told, 6, closed)
    for at, one in enumerate(made):
        world.edit(one, Status="Working" if at < 5 else "Escalated")
    world.patience = 0.0
    limited = world.fault(
        "rate_limited", "pagerduty", "POST", "/status_updates$", times=None, headers=False
    )
    world.sync("salesforce")
    assert world.hits(limited) <= 3
    assert {one.error_kind for one in world.actions(*told)} == {"rate_limited"}
    assert world.action(*start).state == "applied"


@pytest.mark.parametrize("kind", ["server_error", "rate_limited"])
def test_fields_that_cannot_be_set_delay_no_page(world: PipelineWorld, kind: str) -> None:
    """Twelve Cases page at once though PagerDuty takes the custom fields of none; they follow once it does."""
    world.settings(limits=FREE)
    fields = {"custom_fields": {"affected_seats": 7}}
    page = {"create_incident": {"service": "Support P1", "title": "Fire"} | fields}
    world.rules(rule("Page", CREATED, page))
    world.sync("salesforce")
    for at in range(12):
        world.case(f"Case {at}")
    world.patience = 0.0
    path, more = "/custom_fields/values$", {"times": None, "headers": False}
    world.fault(kind, "pagerduty", "PUT", path, **more)
    world.sync("salesforce")
    assert len(world.incidents()) == len(world.links()) == 12
    assert {one.state for one in world.actions()} == {"pending"}
    world.sandbox.faults.clear()
    world.patience = 20.0
    world.sync("salesforce")
    assert len(world.incidents()) == 12
    assert {one.state for one in world.actions()} == {"applied"}


def test_a_page_waits_for_no_look_at_other_incidents(world: PipelineWorld) -> None:
    """In one wave with a dozen incidents to resolve the page goes out first, before these are read."""
    for one in _paged(world, {"resolve_incident": {}}, 12):
        world.edit(one, Status="Working")
    world.case("The newest")
    before = world.sandbox.traffic.last_number()
    world.sync("salesforce")
    asked = world.sandbox.traffic.requests("pagerduty", after=before)
    about = [one.method for one in asked if one.path.startswith("/incidents")]
    assert about[0] == "POST"
    assert set(about) == {"POST", "GET", "PUT"}
    assert {one.state for one in world.actions()} == {"applied"}
