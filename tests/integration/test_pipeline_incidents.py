"""What rules do to incidents: each action once, on the right incident, and never against a person."""

from typing import Any

import pytest

from tests.integration.pipeline_world import (
    HIGH,
    PAGE,
    PAGE_HIGH,
    PipelineWorld,
    became,
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
