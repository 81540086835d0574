"""What people do in Salesforce, as rules see it through real pulls."""

import pytest

from sandbox.salesforce.planned import Refusal
from sandbox.salesforce.seed import API_USER
from tests.integration.pipeline_world import (
    CREATED,
    HIGH,
    PAGE,
    PAGE_HIGH,
    PipelineWorld,
    became,
    event_is,
    rule,
)

pytest_plugins = [
    "tests.integration.ledger_databases",
    "tests.integration.pipeline_fixtures",
]

ESCALATED = {"update_record": {"fields": {"Status": "Escalated"}}}
NOTED = {"update_record": {"fields": {"Description": "seen"}}}


def test_first_start_pages_nobody(world: PipelineWorld) -> None:
    """Records that were there before the first start are a silent baseline."""
    world.rules(PAGE_HIGH)
    world.case()
    with world.silence():
        world.sync()
        world.sync()
    assert world.incidents() == []


def test_start_from_an_instant_takes_what_came_after_it(world: PipelineWorld) -> None:
    """`start_from` an instant syncs what was created since, and nothing older."""
    world.rules(PAGE_HIGH)
    world.case("before")
    world.clock.pass_(minutes=5)
    start = world.clock()
    world.clock.pass_(minutes=1)
    world.case("after")
    world.settings(start_from=start.isoformat())
    world.sync()
    assert [one["title"] for one in world.incidents()] == ["after"]


def test_a_new_case_becomes_an_incident(both_worlds: PipelineWorld) -> None:
    """A matching Case gets an incident with the service, title, urgency, priority and link its rule names."""
    world = both_worlds
    page = {
        "create_incident": {
            "service": "Support P1",
            "title": "Case {{ record.CaseNumber }}: {{ record.Subject }}",
            "urgency": "high",
            "priority": "P1",
        }
    }
    world.rules(rule("Page", HIGH, page, ESCALATED))
    world.sync()
    case_id = world.case()
    told = world.sync()
    (incident,) = world.incidents()
    case = world.record(case_id)
    assert incident["title"] == f"Case {case['CaseNumber']}: Database is down"
    assert incident["service"]["id"] == "PSUPP01"
    assert incident["priority"]["id"] == "PPRIO01"
    assert case["Status"] == "Escalated"
    (link,) = world.links()
    assert (link.record_id, link.incident_id) == (case_id, incident["id"])
    assert told.count("applied") == 2
    world.settle()


@pytest.mark.parametrize("created", [True, False])
def test_created_and_updated_are_told_apart(world: PipelineWorld, *, created: bool) -> None:
    """A record made after the start is `created` once, its edits are `updated`."""
    world.rules(rule("Note", event_is("created" if created else "updated"), NOTED))
    world.sync()
    case_id = world.case()
    world.sync()
    assert (world.record(case_id)["Description"] == "seen") is created
    world.edit(case_id, Description="a person's words")
    world.sync()
    assert (world.record(case_id)["Description"] == "seen") is not created


def test_changed_to_compares_with_the_value_seen_before(world: PipelineWorld) -> None:
    """`changed_to` holds on the pull that shows the new value first, and never again."""
    world.rules(rule("Page", became("Case.Priority", "High"), PAGE))
    world.sync()
    case_id = world.case(Priority="Low")
    world.sync()
    assert world.incidents() == []
    world.edit(case_id, Priority="High")
    world.sync()
    assert len(world.incidents()) == 1
    world.ana().resolve(world.incidents()[0]["id"])
    world.edit(case_id, Subject="Still High")
    world.sync()
    assert len(world.incidents()) == 1


def test_a_creation_counts_as_a_change_from_blank(world: PipelineWorld) -> None:
    """A Case that is born High has changed to High."""
    world.rules(rule("Page", became("Case.Priority", "High"), PAGE))
    world.sync()
    world.case()
    world.sync()
    assert len(world.incidents()) == 1


def test_an_old_record_seen_first_has_not_changed(world: PipelineWorld) -> None:
    """An old record that is touched for the first time since the start has no old values: they become the baseline."""
    old = world.case(Priority="High", Status="New")
    world.rules(rule("Page", became("Case.Priority", "High"), PAGE))
    world.clock.pass_(hours=1)
    world.sync()
    world.edit(old, Subject="Touched")
    world.sync()
    assert world.incidents() == []
    world.edit(old, Priority="Low")
    world.sync()
    world.edit(old, Priority="High")
    world.sync()
    assert len(world.incidents()) == 1


def test_overlap_re_reads_cause_nothing(world: PipelineWorld) -> None:
    """Rows that the overlap shows again are no news."""
    world.paged()
    pulled = len(world.events())
    with world.silence():
        for _ in range(3):
            world.sync()
    assert len(world.events()) == pulled


def test_moved_timestamps_cause_nothing(world: PipelineWorld) -> None:
    """A SystemModstamp that moves without a change is no event."""
    case_id, _ = world.paged()
    before = len(world.events())
    world.clock.pass_(minutes=1)
    world.sandbox.salesforce.touch([case_id])
    with world.silence():
        world.sync()
    assert len(world.events()) == before


def test_a_commit_that_becomes_visible_late_is_caught(world: PipelineWorld) -> None:
    """A row stamped before the cursor and visible after it is read by the overlap."""
    world.rules(PAGE_HIGH)
    world.sync()
    fields = {"Subject": "late", "Priority": "High", "Status": "New"}
    number, _ = world.sandbox.salesforce.faults.hold([{"object": "Case", "fields": fields}])
    world.clock.pass_(minutes=8)
    world.sync()
    world.sync()
    assert world.incidents() == []
    world.sandbox.salesforce.faults.release(number)
    world.sync()
    assert [one["title"] for one in world.incidents()] == ["late"]


def test_our_own_write_is_silent(world: PipelineWorld) -> None:
    """What a rule wrote does not run the rules that watch that field."""
    world.rules(
        rule("Page", CREATED, PAGE, ESCALATED),
        rule("Loop", became("Case.Status", "Escalated"), NOTED),
    )
    world.sync()
    case_id = world.case()
    world.settle()
    assert world.record(case_id)["Description"] is None


def test_a_persons_edit_in_the_same_second_as_our_write_is_seen(world: PipelineWorld) -> None:
    """Echoes go by value: an edit of another field right after our write is an event."""
    world.rules(
        rule("Page", CREATED, PAGE, ESCALATED),
        rule("Lower", became("Case.Priority", "Low"), NOTED),
    )
    world.sync()
    case_id = world.case()
    world.sync()
    world.edit(case_id, Priority="Low")
    world.sync()
    assert world.record(case_id)["Description"] == "seen"


def test_a_person_who_overwrites_our_value_is_seen(world: PipelineWorld) -> None:
    """Another value in the very field that we wrote is an event, even within the same second."""
    world.rules(
        rule("Page", CREATED, PAGE, ESCALATED),
        rule("Closed", became("Case.Status", "Closed"), {"resolve_incident": {}}),
    )
    world.sync()
    case_id = world.case()
    world.sync()
    world.edit(case_id, Status="Closed")
    world.sync()
    assert world.incidents()[0]["status"] == "resolved"


def test_an_edit_by_the_integration_user_at_the_keyboard_is_seen(world: PipelineWorld) -> None:
    """The author decides nothing: a change by our own user that we did not make is an event."""
    case_id, _ = world.paged(rule("Lower", became("Case.Priority", "Low"), NOTED))
    world.sandbox.salesforce.update(case_id, {"Priority": "Low"}, by=API_USER)
    world.sync()
    assert world.record(case_id)["Description"] == "seen"


def test_automation_that_changes_our_value_is_seen(world: PipelineWorld) -> None:
    """Where the org's own automation turns our value into another, rules see that one."""
    world.rules(
        rule("Page", CREATED, PAGE, ESCALATED),
        rule("Working", became("Case.Status", "Working"), NOTED),
    )
    world.sync()
    case_id = world.case()
    world.sync()
    world.sandbox.salesforce.update(case_id, {"Status": "Working"}, by=API_USER)
    world.sync()
    assert world.record(case_id)["Description"] == "seen"


def test_a_missing_field_rests_only_its_rule(world: PipelineWorld) -> None:
    """A condition on a field that the org does not have leaves the other rules at work."""
    odd = {"field": "Case.Nonsense__c", "operation": "equals", "value": "x"}
    world.rules(rule("Odd", odd, PAGE), PAGE_HIGH)
    world.sync()
    world.case()
    told = world.sync()
    assert told.errors == []
    assert len(world.incidents()) == 1


def test_a_field_that_vanishes_rests_only_its_rule(world: PipelineWorld) -> None:
    """A field that is taken away from the sync's user while it runs is noticed, and the others work on."""
    origin = {"field": "Case.Origin", "operation": "equals", "value": "Phone"}
    world.rules(rule("Origin", origin, PAGE), PAGE_HIGH)
    world.sync()
    world.sandbox.salesforce.faults.set_access("Case", "Origin", "none")
    world.case()
    told = world.sync()
    assert told.errors == []
    assert len(world.incidents()) == 1


def test_an_object_that_is_missing_rests_only_its_rules(world: PipelineWorld) -> None:
    """Rules for an object that this user cannot see do not stop the others."""
    anything = {"field": "event.type", "operation": "equals", "value": "created"}
    world.rules(rule("Ghost", anything, PAGE, object="Aghost__c"), PAGE_HIGH)
    world.sync()
    world.case()
    told = world.sync()
    assert told.errors == []
    assert len(world.incidents()) == 1


def test_custom_objects_work_like_cases(world: PipelineWorld) -> None:
    """A rule on a custom object pages and writes back."""
    world.rules(
        rule(
            "Outage",
            event_is("created"),
            {"create_incident": {"service": "Renewals", "title": "{{ record.Name }}"}},
            {"update_record": {"fields": {"State__c": "Open"}}},
            object="Outage__c",
        )
    )
    world.sync()
    outage = world.sandbox.salesforce.create("Outage__c", {"Name": "Mail delays"})
    world.settle()
    assert [one["title"] for one in world.incidents()] == ["Mail delays"]
    assert world.record(outage)["State__c"] == "Open"


def test_relationship_fields_are_read(world: PipelineWorld) -> None:
    """Conditions and templates reach the Account of a Case."""
    enterprise = {"field": "Case.Account.Type", "operation": "in", "value": ["Enterprise"]}
    page = {"create_incident": {"service": "Support P1", "title": "{{ record.Account.Name }}"}}
    world.rules(rule("Page", enterprise, page))
    world.sync()
    accounts = {one["Name"]: one["Id"] for one in world.sandbox.salesforce.records("Account")}
    world.case(AccountId=accounts["Acme"])
    world.case(AccountId=accounts["Initech"])
    world.case()
    world.sync()
    assert [one["title"] for one in world.incidents()] == ["Acme"]


def test_many_changes_in_one_second_are_all_seen(world: PipelineWorld) -> None:
    """Hundreds of rows with one stamp are neither lost nor doubled."""
    world.rules(rule("Note", CREATED, NOTED))
    world.sync()
    made = [world.case(f"Case {n}") for n in range(300)]
    world.settle(2)
    assert all(world.record(one)["Description"] == "seen" for one in made)
    assert len(world.actions("update_record")) == 300


def test_a_query_that_fails_leaves_the_cursor_where_it_was(world: PipelineWorld) -> None:
    """A pull that the server refuses for the moment is made up for by the next one."""
    world.rules(PAGE_HIGH)
    world.sync()
    world.case()
    world.sandbox.salesforce.faults.refuse(
        Refusal(code="REQUEST_LIMIT_EXCEEDED", message="TotalRequests Limit exceeded.", status=403,
                operation="query", times=50)
    )  # fmt: skip
    told = world.sync("salesforce")
    assert len(told.errors) == 1
    world.sandbox.salesforce.faults.clear_refusals()
    world.sync()
    assert len(world.incidents()) == 1
