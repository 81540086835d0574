"""Bugs that chaos found, each made small."""

from sandbox.pagerduty.state import LogEntryFaults
from sandbox.salesforce.planned import Refusal
from tests.integration.pipeline_world import (
    PAGE,
    PipelineWorld,
    became,
    event_is,
    mirror,
    rule,
)

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

RAISED = became("Case.Priority", "High")
PHONED = {
    "create_record": {
        "fields": {"Subject": "{{ incident.title }}", "Origin": "Phone", "Priority": "Low"}
    }
}


def test_an_address_outlives_the_incident(world: PipelineWorld) -> None:
    """An incident that is resolved before its address is written still has that address."""
    address = {
        "update_record": {"fields": {"PagerDuty_Incident_URL__c": "{{ links.incident_url }}"}}
    }
    world.rules(rule("Page", RAISED, PAGE, address))
    world.sync()
    case_id = world.case()
    down = world.fault("server_error", "salesforce", "PATCH", "Case", times=None)
    world.hurry()
    world.sync("salesforce")
    (incident,) = world.incidents()
    world.ana().resolve(incident["id"])
    world.sandbox.faults.remove(down)
    world.sync("salesforce")
    assert world.record(case_id)["PagerDuty_Incident_URL__c"] == incident["html_url"]


def _a_case_whose_creation_was_lost(world: PipelineWorld, **edit: str) -> str:
    """The answer to a Case's creation is lost, and a person edits the Case before the sync looks for it."""
    edited = rule("Edited", became("Case.Reason", "Breakdown"), {"add_note": {"content": "broken"}})
    world.rules(edited, mirror("Phone", event_is("trigger"), PHONED))
    world.sync()
    world.ana().create_incident("Support P2", "Mail is late")
    lost = world.fault("reset_after", "salesforce", "POST", "sobjects/Case", times=None)
    down = world.fault("server_error", "salesforce", "GET", "query", times=None)
    world.sync("pagerduty")
    (case,) = world.cases()
    world.sandbox.faults.remove(lost)
    world.sandbox.faults.remove(down)
    world.edit(case["Id"], Reason="Breakdown", **edit)
    world.sync()
    world.sync()
    return str(case["Id"])


def test_an_edit_before_a_new_record_is_known_is_news(world: PipelineWorld) -> None:
    """What a person changes in a record of ours, before the lost answer to its creation is settled, is not lost."""
    _a_case_whose_creation_was_lost(world)
    (incident,) = world.incidents()
    assert world.notes(incident["id"]) == ["broken"]
    world.settle()


def test_an_edited_record_is_found_after_a_lost_answer(world: PipelineWorld) -> None:
    """A record is not created again because a person changed one of the written fields meanwhile."""
    case_id = _a_case_whose_creation_was_lost(world, Priority="Medium")
    assert [one["Id"] for one in world.cases()] == [case_id]
    assert len(world.links_of(case_id)) == 1
    world.settle()


def test_what_people_do_before_a_creation_is_settled_reaches_the_record(
    world: PipelineWorld,
) -> None:
    """An acknowledgement read before the lost answer to the incident's creation is settled is mirrored, once."""
    mirrored = mirror("Ack", event_is("acknowledge"), {"post_comment": {"body": "acknowledged"}})
    world.rules(rule("Page", RAISED, PAGE), mirrored)
    world.sync()
    case_id = world.case()
    lost = world.fault("reset_after", "pagerduty", "POST", "^/incidents$", times=None)
    down = world.fault("server_error", "pagerduty", "GET", "^/incidents$", times=None)
    world.hurry()
    world.sync("salesforce")
    world.sandbox.faults.remove(lost)
    world.sandbox.faults.remove(down)
    (incident,) = world.incidents()
    assert world.links() == []
    world.ana().acknowledge(incident["id"])
    world.ana().resolve(incident["id"])
    world.sync("pagerduty")
    assert [one["CommentBody"] for one in world.comments(case_id)] == ["acknowledged"]
    world.settle()
    assert [one["id"] for one in world.incidents()] == [incident["id"]]
    assert world.action("create_incident").target == incident["id"]


def test_a_refusal_that_was_cut_short_is_not_final(world: PipelineWorld) -> None:
    """A locked row whose refusal arrives cut in the middle is tried again: nobody knows why it was refused."""
    world.rules(mirror("Phone", event_is("trigger"), PHONED))
    world.sync()
    world.ana().create_incident("Support P2", "Mail is late")
    locked = Refusal(code="UNABLE_TO_LOCK_ROW", message="unable to obtain exclusive access")
    world.sandbox.salesforce.faults.refuse(locked)
    cut = world.fault("malformed_json", "salesforce", "POST", "sobjects/Case")
    world.settle(3)
    assert world.hits(cut) == 1
    assert [one["Subject"] for one in world.cases()] == ["Mail is late"]
    assert world.action("create_record").state == "applied"


def test_a_late_entry_overwrites_nothing_newer(world: PipelineWorld) -> None:
    """An acknowledgement that the log shows only after the resolution leaves what the resolution wrote."""
    told = {"update_record": {"fields": {"SuppliedCompany": "{{ event.type }}"}}}
    noted = {"post_comment": {"body": "{{ event.type }}"}}
    tells = rule("Tell", event_is("acknowledge"), told, noted, run_on="pagerduty")
    ends = rule("End", event_is("resolve"), told, noted, run_on="pagerduty")
    case_id, incident_id = world.paged(tells, ends)
    world.sandbox.pagerduty.log_entry_faults = LogEntryFaults(late=1.0, late_seconds=30)
    world.ana().acknowledge(incident_id)
    world.sandbox.pagerduty.log_entry_faults = LogEntryFaults()
    world.clock.pass_(seconds=5)
    world.ana().resolve(incident_id)
    world.sync()
    assert world.record(case_id)["SuppliedCompany"] == "resolve"
    world.clock.pass_(seconds=60)
    world.settle()
    assert world.record(case_id)["SuppliedCompany"] == "resolve"
    assert [one["CommentBody"] for one in world.comments(case_id)] == ["resolve", "acknowledge"]
