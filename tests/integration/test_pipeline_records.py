"""What PagerDuty's log entries do to records: create, update, comment, each once and on the right record."""

from typing import Any

import pytest

from sandbox.salesforce.planned import Refusal
from tests.integration.pipeline_world import (
    CREATED,
    PAGE_HIGH,
    PAGE_NEW,
    PipelineWorld,
    became,
    event_is,
    mirror,
    rule,
)

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

WORKING = {"update_record": {"fields": {"Status": "Working"}}}
ACKED = mirror("Acked", event_is("acknowledge"), WORKING)
BORN = mirror(
    "Born",
    {"all": [event_is("trigger"), {"field": "incident.service.name", "operation": "equals", "value": "Renewals"}]},
    {"create_record": {"fields": {"Subject": "{{ incident.title }}", "Origin": "Web", "Priority": "Low"}}},
)  # fmt: skip


def test_first_start_takes_no_old_entry(world: PipelineWorld) -> None:
    """Log entries from before the first start run no rules."""
    world.ana().create_incident("Renewals", "Old outage")
    world.rules(BORN)
    with world.silence():
        world.sync()
        world.sync()
    assert world.cases() == []


def test_a_persons_acknowledgement_updates_the_case(both_worlds: PipelineWorld) -> None:
    """A person's acknowledge sets the field that the rule names, once."""
    world = both_worlds
    case_id, incident_id = world.paged(ACKED)
    world.ana().acknowledge(incident_id)
    world.settle()
    assert world.record(case_id)["Status"] == "Working"
    assert len(world.actions("update_record")) == 1


def test_an_entry_listed_twice_or_late_or_shuffled_counts_once(world: PipelineWorld) -> None:
    """Duplicates, late entries and pages in no order neither lose nor double an event."""
    world.rules(
        PAGE_NEW,
        mirror("Note", event_is("annotate"), {"post_comment": {"body": "{{ event.agent }} wrote"}}),
    )
    world.sync()
    case_id = world.case()
    world.sync()
    incident_id = world.incidents()[0]["id"]
    faults = world.sandbox.pagerduty.log_entry_faults
    faults.duplicate, faults.late, faults.late_seconds, faults.shuffle = 0.6, 0.6, 120.0, 0.7
    for number in range(12):
        world.ana().add_note(incident_id, f"note {number}")
        if number % 4 == 0:
            world.sync()
    world.clock.pass_(minutes=3)
    world.sync()
    world.settle()
    assert len(world.comments(case_id)) == 12


def test_an_incident_without_a_record_gets_one(both_worlds: PipelineWorld) -> None:
    """create_record makes one record, links it, and its creation runs no Salesforce rule."""
    world = both_worlds
    world.rules(PAGE_HIGH, BORN, rule("Any new Case", CREATED, {"add_note": {"content": "new"}}))
    world.sync()
    incident = world.ana().create_incident("Renewals", "New outage")
    world.settle()
    (case,) = world.cases()
    assert (case["Subject"], case["Origin"]) == ("New outage", "Web")
    assert [(one.record_id, one.incident_id) for one in world.links()] == [
        (case["Id"], incident["id"])
    ]
    assert world.notes(incident["id"]) == []


def test_a_linked_record_is_not_created_again(world: PipelineWorld) -> None:
    """create_record is skipped while a record of that object is linked."""
    again = mirror("Again", event_is("annotate"), {"create_record": {"fields": {"Subject": "x"}}})
    _, incident_id = world.paged(again)
    world.ana().add_note(incident_id, "hello")
    world.settle()
    assert len(world.cases()) == 1
    assert world.action("create_record").state == "skipped"


def test_create_record_can_be_told_to_create_beside_a_linked_one(world: PipelineWorld) -> None:
    """`when_linked: create` creates although a record is linked, and links it too."""
    more = {"create_record": {"fields": {"Subject": "x"}, "when_linked": "create"}}
    _, incident_id = world.paged(mirror("More", event_is("annotate"), more))
    world.ana().add_note(incident_id, "hello")
    world.settle()
    assert len(world.cases()) == 2
    assert len(world.links()) == 2


def test_another_object_is_created_once_for_the_pair(world: PipelineWorld) -> None:
    """A Case rule that creates an Outage creates it once, linked to the incident of the Case."""
    outage = {"create_record": {"object": "Outage__c", "fields": {"Name": "{{ record.Subject }}"}}}
    changed = {"field": "Case.Status", "operation": "changed"}
    case_id, incident_id = world.paged(
        rule("Outage", {"all": [changed, event_is("updated")]}, outage)
    )
    for status in ("Working", "Escalated"):
        world.edit(case_id, Status=status)
        world.settle()
    (made,) = world.sandbox.salesforce.records("Outage__c")
    assert {(one.object, one.record_id) for one in world.links() if one.incident_id == incident_id} == {
        ("Case", case_id), ("Outage__c", made["Id"])
    }  # fmt: skip


def test_values_keep_their_types(world: PipelineWorld) -> None:
    """A template that is one expression writes numbers and booleans as such; empty text clears a field."""
    fields: dict[str, Any] = {
        "Description": "",
        "Reason": "{{ incident.title }}",
        "IsEscalated": True,
    }
    case_id, incident_id = world.paged(
        mirror("Acked", event_is("acknowledge"), {"update_record": {"fields": fields}}),
        Description="old",
    )
    world.ana().acknowledge(incident_id)
    world.sync()
    action = world.action("update_record")
    case = world.record(case_id)
    assert case["Description"] is None, action.message


def test_a_comment_is_posted_once_with_its_visibility(world: PipelineWorld) -> None:
    """post_comment writes one comment, public only if told so."""
    case_id, incident_id = world.paged(
        mirror(
            "In", event_is("acknowledge"), {"post_comment": {"body": "{{ event.agent }} acked"}}
        ),
        mirror(
            "Out",
            event_is("acknowledge"),
            {"post_comment": {"body": "We are on it", "visibility": "public"}},
        ),
    )
    world.ana().acknowledge(incident_id)
    world.settle()
    told = [(one["CommentBody"], one["IsPublished"]) for one in world.comments(case_id)]
    assert told == [("Ana Lopez acked", False), ("We are on it", True)]


def test_created_by_ruleset_leaves_other_pairs_alone(world: PipelineWorld) -> None:
    """A rule scoped to its ruleset's own pairs ignores pairs that another ruleset made."""
    world.rules(ACKED | {"scope": "created_by_ruleset"}, file="b.yaml")
    case_id, incident_id = world.paged()
    world.ana().acknowledge(incident_id)
    world.sync()
    assert world.record(case_id)["Status"] == "New"
    world.rules(PAGE_NEW, ACKED | {"scope": "created_by_ruleset"})
    other = world.case("Another")
    world.sync()
    world.ana().acknowledge(world.links_of(other)[0].incident_id)
    world.sync()
    assert world.record(other)["Status"] == "Working"


def test_rules_test_fields_of_the_other_side(world: PipelineWorld) -> None:
    """A PagerDuty rule sees the linked record, a Salesforce rule the linked incident."""
    low = {"field": "Case.Origin", "operation": "equals", "value": "Phone"}
    acked = {"field": "incident.status", "operation": "equals", "value": "acknowledged"}
    case_id, incident_id = world.paged(
        mirror("Phone", {"all": [event_is("acknowledge"), low]}, WORKING),
        rule("Lower", {"all": [became("Case.Priority", "Low"), acked]}, {"resolve_incident": {}}),
    )
    world.ana().acknowledge(incident_id)
    world.sync()
    assert world.record(case_id)["Status"] == "New"
    world.edit(case_id, Priority="Low")
    world.sync()
    assert world.incident(incident_id)["status"] == "resolved"


def test_many_records_are_written_in_one_call(world: PipelineWorld) -> None:
    """The updates of many Cases go out as one collections call."""
    world.rules(PAGE_NEW, ACKED)
    world.sync()
    for number in range(6):
        world.case(f"Case {number}")
    world.sync()
    for link in world.links():
        world.ana().acknowledge(link.incident_id)
    before = world.sandbox.traffic.last_number()
    world.sync()
    assert {one["Status"] for one in world.cases()} == {"Working"}
    assert len(world.writes("salesforce", after=before)) == 1


def test_a_failed_row_does_not_fail_the_others(world: PipelineWorld) -> None:
    """Of a collection with one refused row, only that row's action fails, with the server's words."""
    world.rules(PAGE_NEW, ACKED)
    world.sync()
    cases = [world.case(f"Case {number}") for number in range(4)]
    world.sync()
    refusal = Refusal(
        code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="Not while it rains.", record_id=cases[2],
        times=99, operation="update",
    )  # fmt: skip
    world.sandbox.salesforce.faults.refuse(refusal)
    for link in world.links():
        world.ana().acknowledge(link.incident_id)
    world.sync()
    assert [world.record(one)["Status"] for one in cases] == [
        "Working",
        "Working",
        "New",
        "Working",
    ]
    (failed,) = [one for one in world.actions("update_record") if one.state == "failed"]
    assert "Not while it rains." in failed.message


def test_a_locked_row_is_tried_again(world: PipelineWorld) -> None:
    """UNABLE_TO_LOCK_ROW passes by itself."""
    case_id, incident_id = world.paged(ACKED)
    world.sandbox.salesforce.faults.lock_row(case_id)
    world.ana().acknowledge(incident_id)
    world.sync()
    assert world.record(case_id)["Status"] == "Working"


def test_a_deleted_record_is_skipped(world: PipelineWorld) -> None:
    """An update of a record that was deleted meanwhile is skipped."""
    case_id, incident_id = world.paged(ACKED)
    world.sandbox.salesforce.delete(case_id)
    world.ana().acknowledge(incident_id)
    world.sync()
    assert world.action("update_record").state == "skipped"
    assert world.sync().errors == []


def test_an_event_without_a_pair_writes_nothing(world: PipelineWorld) -> None:
    """An update for an incident that no record is linked to is skipped, and says so."""
    world.rules(PAGE_NEW, ACKED)
    world.sync()
    incident = world.ana().create_incident("Renewals", "Nobody's")
    world.ana().acknowledge(incident["id"])
    with world.silence():
        world.sync()
    action = world.action("update_record")
    assert (action.state, action.message) == ("skipped", "No Case is linked.")


def test_a_stale_read_is_left_for_the_next_look(world: PipelineWorld) -> None:
    """A row whose snapshot we moved while the query was under way is judged by the next pull."""
    case_id, incident_id = world.paged(
        ACKED,
        rule(
            "Back",
            {"all": [event_is("updated"), became("Case.Status", "New")]},
            {"add_note": {"content": "back"}},
        ),
    )
    world.edit(case_id, Subject="Touched")
    world.ana().acknowledge(incident_id)
    slow = world.fault("slow", "salesforce", "GET", "/query", seconds=1.5)
    reading = world.start_process("--direction", "salesforce")
    world.wait_for_hit(slow)
    world.sync("pagerduty")
    _, complaints = reading.communicate(timeout=60)
    assert reading.returncode == 0, complaints
    assert world.record(case_id)["Status"] == "Working"
    world.settle()
    assert world.notes(incident_id) == []


def test_a_person_who_acts_in_the_same_second_as_we_do_is_heard(world: PipelineWorld) -> None:
    """Our own acknowledgement is an echo, and a person's right after it is an event."""
    ben = {"field": "event.agent", "operation": "equals", "value": "Ben Okafor"}
    case_id, incident_id = world.paged(
        rule("Ack", became("Case.Priority", "Low"), {"acknowledge_incident": {}}),
        mirror("Ben", {"all": [event_is("acknowledge"), ben]}, WORKING),
        mirror("Anybody", event_is("acknowledge"), {"post_comment": {"body": "{{ event.agent }}"}}),
    )
    world.edit(case_id, Priority="Low")
    world.sync("salesforce")
    world.sandbox.person("Ben Okafor").acknowledge(incident_id)
    world.settle()
    assert world.record(case_id)["Status"] == "Working"
    assert [one["CommentBody"] for one in world.comments(case_id)] == ["Ben Okafor"]
    assert world.holders(incident_id) == ["PUBEN01"]


def test_an_untouched_pass_reads_and_writes_nothing_more(world: PipelineWorld) -> None:
    """Ten quiet passes after a busy day write nothing."""
    case_id, incident_id = world.paged(ACKED, BORN)
    world.ana().acknowledge(incident_id)
    world.ana().create_incident("Renewals", "New outage")
    world.sync()
    world.edit(case_id, Subject="Still down")
    world.sync()
    with world.silence():
        for _ in range(10):
            world.clock.pass_(seconds=7)
            world.sync()


@pytest.mark.parametrize("spelling", ["status", "STATUS"])
def test_field_names_are_known_in_any_case(world: PipelineWorld, spelling: str) -> None:
    """A field that a rule writes in another case than the org spells it is still known as our write."""
    write = {"update_record": {"fields": {spelling: "Working"}}}
    case_id, incident_id = world.paged(
        mirror("Acked", event_is("acknowledge"), write),
        rule("Loop", became("Case.Status", "Working"), {"add_note": {"content": "loop"}}),
    )
    world.ana().acknowledge(incident_id)
    world.settle()
    assert world.record(case_id)["Status"] == "Working"
    assert world.notes(incident_id) == []
