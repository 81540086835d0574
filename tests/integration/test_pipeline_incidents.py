"""What rules do to incidents: each action once, on the right incident, and never against a person."""

from typing import Any

import pytest

from sandbox.pagerduty import incidents as stored
from tests.integration.pipeline_world import (
    HIGH,
    OUR_NAME,
    OUR_PAGERDUTY_USER,
    PAGE,
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
CLOSED = became("Case.Status", "Closed")
RESOLVE = {"resolve_incident": {"resolution": "Case {{ record.Status }}"}}


def on_working(*doing: dict[str, Any]) -> dict[str, Any]:
    """A rule that does this once the Case is Working."""
    return rule("Working", WORKING, *doing)


def does(world: PipelineWorld, *doing: dict[str, Any]) -> tuple[str, str]:
    """A paged Case becomes Working, and the actions are done; (record id, incident id)."""
    case_id, incident_id = world.paged(on_working(*doing))
    world.edit(case_id, Status="Working")
    world.sync()
    return case_id, incident_id


def test_a_record_with_an_open_incident_gets_no_second_one(world: PipelineWorld) -> None:
    """create_incident is skipped while a linked incident is open, and says which one."""
    case_id, incident_id = world.paged(PAGE_HIGH | {"name": "Again"})
    world.edit(case_id, Priority="Low")
    world.sync()
    world.edit(case_id, Priority="High")
    world.sync()
    assert len(world.incidents()) == 1
    by_state = sorted((one.state, one.message) for one in world.actions("create_incident"))
    assert [state for state, _ in by_state] == ["applied", "skipped", "skipped"]
    assert all(incident_id in message for _, message in by_state[1:])


def test_a_record_is_paged_again_after_its_incident_was_resolved(world: PipelineWorld) -> None:
    """Once the linked incident is resolved, the next match creates a new one and links it too."""
    case_id, incident_id = world.paged(rule("Again", became("Case.Priority", "High"), PAGE))
    world.ana().resolve(incident_id)
    world.edit(case_id, Priority="Low")
    world.sync()
    world.edit(case_id, Priority="High")
    world.sync()
    assert [one["status"] for one in world.incidents()] == ["resolved", "triggered"]
    assert len(world.links_of(case_id)) == 2


def test_any_open_creates_beside_an_open_incident(world: PipelineWorld) -> None:
    """`when_linked: any_open` pages although an incident is linked and open."""
    again = {"create_incident": PAGE["create_incident"] | {"when_linked": "any_open"}}
    case_id, _ = world.paged(on_working(again))
    world.edit(case_id, Status="Working")
    world.settle()
    assert len(world.incidents()) == 2
    assert len(world.links_of(case_id)) == 2


def test_an_open_incident_with_our_key_is_adopted(world: PipelineWorld) -> None:
    """A ledger that was lost does not page twice: the open incident with the record's key is linked again."""
    case_id, incident_id = world.paged(rule("Again", became("Case.Priority", "High"), PAGE))
    world.close()
    for file in world.home.glob("ledger.db*"):
        file.unlink()
    world.forget_ledger()
    world.sync()
    world.edit(case_id, Priority="Low")
    world.sync()
    world.edit(case_id, Priority="High")
    world.sync()
    assert len(world.incidents()) == 1
    assert [one.incident_id for one in world.links_of(case_id)] == [incident_id]
    assert "adopted" in world.action("create_incident").message


def test_every_detail_of_a_new_incident_arrives(world: PipelineWorld) -> None:
    """create_incident passes policy, type, details and conference bridge on."""
    page = {
        "create_incident": {
            "service": "PSUPP02",
            "title": "{{ record.Subject }}",
            "urgency": "low",
            "details": "Status {{ record.Status }}",
            "escalation_policy": "Renewals desk",
            "incident_type": "major_incident",
            "conference_bridge": {"conference_number": "+1 555 123 4567,,1234#"},
        }
    }
    world.rules(rule("Page", HIGH, page))
    world.sync()
    world.case()
    world.sync()
    (incident,) = world.incidents()
    assert incident["service"]["id"] == "PSUPP02"
    assert incident["urgency"] == "low"
    assert incident["escalation_policy"]["id"] == "PERENEW"
    kept = world.stored_incident(incident["id"])
    assert kept["body"]["details"] == "Status New"
    assert kept["incident_type"] == {"name": "major_incident"}
    assert kept["conference_bridge"]["conference_number"].startswith("+1 555")


def test_an_incident_can_be_assigned_to_people(world: PipelineWorld) -> None:
    """create_incident assigns to the users it names by e-mail."""
    page = {"create_incident": PAGE["create_incident"] | {"assign_to": ["ben@acme.example"]}}
    world.rules(rule("Page", HIGH, page))
    world.sync()
    world.case()
    world.sync()
    assert world.holders(world.incidents()[0]["id"]) == ["PUBEN01"]


def test_custom_fields_of_a_new_incident_are_set(world: PipelineWorld) -> None:
    """create_incident's custom fields arrive with the new incident."""
    fields = {"sf_case_id": "{{ record.CaseNumber }}", "affected_seats": 5}
    page = {"create_incident": PAGE["create_incident"] | {"custom_fields": fields}}
    world.rules(rule("Page", HIGH, page))
    world.sync()
    case_id = world.case()
    world.settle()
    kept = world.stored_incident(world.incidents()[0]["id"])
    number = world.record(case_id)["CaseNumber"]
    assert kept["_custom_fields"] == {"PFCASE1": number, "PFSEAT1": 5}


def test_without_details_the_incident_links_back_to_the_record(world: PipelineWorld) -> None:
    """An incident without details of its own holds the address of its record."""
    case_id, incident_id = world.paged()
    assert case_id in world.stored_incident(incident_id)["body"]["details"]


def test_acknowledge_keeps_the_person_who_holds_it(world: PipelineWorld) -> None:
    """Acknowledging as the integration user leaves the incident with the person on call."""
    _, incident_id = does(world, {"acknowledge_incident": {}})
    assert world.incident(incident_id)["status"] == "acknowledged"
    assert world.holders(incident_id) == ["PUANA01"]
    world.settle()


def test_acknowledge_never_re_opens(world: PipelineWorld) -> None:
    """A resolved incident stays resolved, and the action says so."""
    case_id, incident_id = world.paged(on_working({"acknowledge_incident": {}}))
    world.ana().resolve(incident_id)
    world.edit(case_id, Status="Working")
    world.settle()
    assert world.incident(incident_id)["status"] == "resolved"
    assert "resolved" in world.action("acknowledge_incident").message


def test_what_is_acknowledged_is_not_acknowledged_again(world: PipelineWorld) -> None:
    """A person's acknowledgement is left alone."""
    case_id, incident_id = world.paged(on_working({"acknowledge_incident": {}}))
    world.sandbox.person("Ben Okafor").acknowledge(incident_id)
    world.edit(case_id, Status="Working")
    with world.silence():
        world.sync()
    assert world.action("acknowledge_incident").state == "skipped"
    assert world.holders(incident_id) == ["PUBEN01"]


def test_resolve_with_a_resolution(world: PipelineWorld) -> None:
    """resolve_incident resolves once, with its note."""
    case_id, incident_id = world.paged(rule("Closed", CLOSED, RESOLVE))
    world.edit(case_id, Status="Closed")
    world.settle()
    assert world.incident(incident_id)["status"] == "resolved"
    assert world.notes(incident_id) == ["Resolution Note: Case Closed"]


def test_only_reopen_re_opens(world: PipelineWorld) -> None:
    """reopen_incident re-opens a resolved incident, and leaves an open one alone."""
    case_id, incident_id = world.paged(on_working({"reopen_incident": {}}))
    world.ana().resolve(incident_id)
    world.edit(case_id, Status="Working")
    world.settle()
    assert world.incident(incident_id)["status"] == "triggered"
    world.edit(case_id, Status="New")
    world.sync()
    world.edit(case_id, Status="Working")
    with world.silence():
        world.sync()


def test_priority_and_urgency_by_name(world: PipelineWorld) -> None:
    """set_priority takes a name, set_urgency a word; both are silent afterwards."""
    _, incident_id = does(
        world, {"set_priority": {"priority": "P3"}}, {"set_urgency": {"urgency": "low"}}
    )
    incident = world.incident(incident_id)
    assert (incident["priority"]["id"], incident["urgency"]) == ("PPRIO03", "low")
    world.settle()


@pytest.mark.parametrize(
    ("params", "holders"),
    [
        ({"users": ["chiara@acme.example", "PUBEN01"]}, ["PUBEN01", "PUCHI01"]),
        ({"escalation_policy": "Renewals desk"}, ["PUCHI01"]),
    ],
)
def test_reassign(world: PipelineWorld, params: dict[str, Any], holders: list[str]) -> None:
    """reassign_incident takes people by e-mail or id, or an escalation policy by name."""
    _, incident_id = does(world, {"reassign_incident": params})
    assert sorted(world.holders(incident_id)) == holders
    world.settle()


def test_a_note_is_added_once(world: PipelineWorld) -> None:
    """add_note renders its content and writes it once."""
    _, incident_id = does(world, {"add_note": {"content": "{{ record.Subject }} is in work"}})
    world.settle()
    assert world.notes(incident_id) == ["Database is down is in work"]


def test_a_workflow_is_started_once(world: PipelineWorld) -> None:
    """run_incident_workflow starts the workflow it names, once."""
    _, incident_id = does(world, {"run_incident_workflow": {"workflow": "Major incident"}})
    world.settle()
    started = world.sandbox.pagerduty.store.all("workflow_instance")
    assert [(one["workflow"], one["incident"]) for one in started] == [("PWMAJOR", incident_id)]


def test_a_response_play_runs_the_workflow_it_is_mapped_to(world: PipelineWorld) -> None:
    """run_response_play starts the workflow that the integration file maps the play to."""
    world.settings(response_plays={"Old play": "Customer comms"})
    does(world, {"run_response_play": {"response_play": "Old play"}})
    started = world.sandbox.pagerduty.store.all("workflow_instance")
    assert [one["workflow"] for one in started] == ["PWCOMMS"]


def test_a_response_play_without_a_mapping_says_what_to_do(world: PipelineWorld) -> None:
    """An unmapped play fails its action, naming the play and where to map it."""
    does(world, {"run_response_play": {"response_play": "Old play"}})
    action = world.action("run_response_play")
    assert action.state == "failed"
    assert "Old play" in action.message
    assert "response_plays" in action.message


def test_responders_are_asked_once(world: PipelineWorld) -> None:
    """add_responders asks users and policies, once, with its message."""
    _, incident_id = does(
        world,
        {
            "add_responders": {
                "users": ["ben@acme.example"],
                "escalation_policies": ["Renewals desk"],
                "message": "Please help with {{ record.Subject }}",
            }
        },
    )
    world.settle()
    (request,) = world.stored_incident(incident_id)["responder_requests"]
    assert request["message"] == "Please help with Database is down"
    assert len(request["responder_request_targets"]) == 2


def test_a_status_update_is_published_once(world: PipelineWorld) -> None:
    """publish_status_update sends its message once."""
    _, incident_id = does(world, {"publish_status_update": {"message": "We are on it"}})
    world.settle()
    updates = world.stored_incident(incident_id)["_status_updates"]
    assert [one["message"] for one in updates] == ["We are on it"]


def test_custom_fields_keep_their_types(world: PipelineWorld) -> None:
    """set_custom_fields writes text and numbers as such."""
    _, incident_id = does(
        world,
        {"set_custom_fields": {"fields": {"sf_account": "{{ record.Subject }}", "affected_seats": 7}}},
    )  # fmt: skip
    world.settle()
    kept = world.stored_incident(incident_id)["_custom_fields"]
    assert kept == {"PFACCT1": "Database is down", "PFSEAT1": 7}


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
