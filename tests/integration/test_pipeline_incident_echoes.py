"""Writes to incidents from the other end: their echoes, several at once, one that cannot be read or changed."""

from typing import Any

import pytest

from sandbox.pagerduty import incidents as stored
from tests.integration.pipeline_world import (
    OUR_NAME,
    OUR_PAGERDUTY_USER,
    PAGE_HIGH,
    PipelineWorld,
    became,
    event_is,
    mirror,
    rule,
)

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

NOTED = {"update_record": {"fields": {"Description": "seen"}}}
WORKING = became("Case.Status", "Working")


def on_working(*doing: dict[str, Any]) -> dict[str, Any]:
    """A rule that does this once the Case is Working."""
    return rule("Working", WORKING, *doing)


@pytest.mark.parametrize(
    ("word", "doing"),
    [
        ("custom", {"set_custom_fields": {"fields": {"affected_seats": 7}}}),
        ("other", {"publish_status_update": {"message": "We are on it"}}),
        ("other", {"add_responders": {"users": ["ben@acme.example"], "message": "Help"}}),
        ("acknowledge", {"acknowledge_incident": {}}),
        ("assign", {"acknowledge_incident": {}}),
        ("resolve", {"resolve_incident": {"resolution": "done"}}),
        ("annotate", {"add_note": {"content": "hello"}}),
        ("priority_change", {"set_priority": {"priority": "P2"}}),
        ("urgency_change", {"set_urgency": {"urgency": "low"}}),
        ("assign", {"reassign_incident": {"users": ["ben@acme.example"]}}),
        ("delegate", {"reassign_incident": {"escalation_policy": "Renewals desk"}}),
    ],
)
def test_our_own_log_entries_run_no_rules(
    world: PipelineWorld, word: str, doing: dict[str, Any]
) -> None:
    """What we did to an incident does not come back as an event of PagerDuty."""
    case_id, _ = world.paged(on_working(doing), mirror("Seen", event_is(word), NOTED))
    world.edit(case_id, Status="Working")
    world.sync()
    world.clock.pass_(seconds=5)
    world.settle()
    assert any(one.type == word and one.agent == OUR_NAME for one in world.events("echo"))


def test_a_re_opening_of_ours_runs_no_rules(world: PipelineWorld) -> None:
    """The entries of reopen_incident, its assignment too, are known as ours."""
    words = {"field": "event.type", "operation": "in", "value": ["reopen", "assign", "trigger"]}
    seen = mirror("Seen", words, NOTED)
    case_id, incident_id = world.paged(on_working({"reopen_incident": {}}), seen)
    world.ana().resolve(incident_id)
    world.sync()
    world.edit(case_id, Status="Working")
    world.settle()
    assert world.incident(incident_id)["status"] == "triggered"
    assert world.record(case_id)["Description"] is None


def test_several_incidents_change_in_one_call(world: PipelineWorld) -> None:
    """Acknowledging the incidents of many Cases is one bulk PUT, and one to give them back."""
    world.rules(PAGE_HIGH, on_working({"acknowledge_incident": {}}))
    world.sync()
    cases = [world.case(f"Case {n}") for n in range(8)]
    world.sync()
    for case_id in cases:
        world.edit(case_id, Status="Working")
    before = world.sandbox.traffic.last_number()
    world.sync()
    assert {one["status"] for one in world.incidents()} == {"acknowledged"}
    assert {tuple(world.holders(one["id"])) for one in world.incidents()} == {("PUANA01",)}
    puts = [(one.method, one.path) for one in world.writes("pagerduty", after=before)]
    assert puts == [("PUT", "/incidents")] * 2


def test_one_bad_incident_does_not_fail_the_others(world: PipelineWorld) -> None:
    """Where PagerDuty refuses a bulk call for one incident, the others are changed all the same."""
    world.rules(PAGE_HIGH, on_working({"set_urgency": {"urgency": "low"}}))
    world.sync()
    cases = [world.case(f"Case {n}") for n in range(4)]
    world.sync()
    incidents = {one.record_id: one.incident_id for one in world.links()}
    bad = incidents[cases[1]]
    refusal = {"error": {"message": "Invalid Input Provided", "code": 2001, "errors": ["No."]}}
    for path in ("^/incidents$", f"^/incidents/{bad}$"):
        world.fault("answer", "pagerduty", "PUT", path, status=400, body=refusal, times=None)
    for case_id in cases:
        world.edit(case_id, Status="Working")
    world.sync()
    urgency = {one["id"]: one["urgency"] for one in world.incidents()}
    assert [urgency[incidents[one]] for one in cases] == ["low", "high", "low", "low"]
    failed = [one for one in world.actions("set_urgency") if one.state == "failed"]
    assert [one.record_id for one in failed] == [cases[1]]
    assert "No." in failed[0].message


def test_an_incident_that_may_not_be_seen_does_not_hold_the_others_back(
    world: PipelineWorld,
) -> None:
    """A read that is refused for one incident fails that one's action alone."""
    world.rules(PAGE_HIGH, on_working({"set_urgency": {"urgency": "low"}}))
    world.sync()
    cases = [world.case(f"Case {n}") for n in range(3)]
    world.sync()
    incidents = {one.record_id: one.incident_id for one in world.links()}
    refusal = {"error": {"message": "Forbidden", "code": 2010}}
    world.fault(
        "answer", "pagerduty", "GET", incidents[cases[0]], status=403, body=refusal, times=None
    )
    for case_id in cases:
        world.edit(case_id, Status="Working")
    world.sync("salesforce")
    urgency = {one["id"]: one["urgency"] for one in world.incidents()}
    assert [urgency[incidents[one]] for one in cases] == ["high", "low", "low"]


def test_an_incident_that_is_gone_is_skipped(world: PipelineWorld) -> None:
    """An action on an incident that PagerDuty no longer has is skipped, not retried for ever."""
    case_id, incident_id = world.paged(on_working({"set_urgency": {"urgency": "low"}}))
    missing = {"error": {"message": "Not Found", "code": 2100}}
    world.fault("answer", "pagerduty", "GET", incident_id, status=404, body=missing, times=None)
    world.edit(case_id, Status="Working")
    world.sync()
    assert world.action("set_urgency").state == "skipped"


def test_an_incident_linked_to_two_cases_is_changed_for_both(world: PipelineWorld) -> None:
    """Two Cases that share an incident and change at once do not mix up each other's outcome."""
    case_id, incident_id = world.paged(on_working({"acknowledge_incident": {}}))
    other = world.case("Another", Priority="Low")
    world.link(other, incident_id)
    world.sync()
    world.edit(case_id, Status="Working")
    world.edit(other, Status="Working")
    world.settle()
    assert {one.state for one in world.actions("acknowledge_incident")} <= {"applied", "skipped"}
    assert world.holders(incident_id) == ["PUANA01"]


def test_a_pagerduty_rule_can_create_a_new_incident_for_the_record(world: PipelineWorld) -> None:
    """create_incident of a rule that PagerDuty runs pages for the linked record, with a link and a key of its own."""
    follow = {"create_incident": {"service": "Renewals", "title": "Follow-up {{ record.Subject }}"}}
    case_id, first = world.paged(mirror("Follow up", event_is("resolve"), follow))
    world.ana().resolve(first)
    world.settle()
    assert [one["title"] for one in world.incidents()] == [
        "Database is down",
        "Follow-up Database is down",
    ]
    assert len(world.links_of(case_id)) == 2
    assert case_id in str(
        stored.get(world.sandbox.pagerduty, world.incidents()[1]["id"])["incident_key"]
    )


def test_our_user_is_never_left_holding_an_incident(world: PipelineWorld) -> None:
    """Where giving an acknowledged incident back fails at first, it is given back by the next try."""
    case_id, incident_id = world.paged(on_working({"acknowledge_incident": {}}))
    path = f"^/incidents/{incident_id}$"
    world.fault("rate_limited", "pagerduty", "PUT", path, after=1, reset_seconds=1)
    world.edit(case_id, Status="Working")
    world.sync()
    assert world.holders(incident_id) == ["PUANA01"]
    assert OUR_PAGERDUTY_USER not in world.holders(incident_id)
    assert world.action("acknowledge_incident").state == "applied"
