"""What waits for what: rules, pairs and failures, and how a failure is mended."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.pipeline_world import (
    CREATED,
    PAGE,
    PAGE_HIGH,
    PAGE_NEW,
    PipelineWorld,
    became,
    event_is,
    mirror,
    rule,
)

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

BAD_SERVICE = {"create_incident": {"service": "No such service", "title": "x"}}
NOTED = {"update_record": {"fields": {"Description": "seen"}}}
WORKING = became("Case.Status", "Working")


def test_a_failed_action_holds_back_the_rest_of_its_rule_only(world: PipelineWorld) -> None:
    """After a refusal the later actions of that rule wait; other rules and other Cases go on."""
    world.rules(
        rule("Bad", CREATED, BAD_SERVICE, {"update_record": {"fields": {"Reason": "paged"}}}),
        rule("Good", CREATED, NOTED),
    )
    world.sync()
    cases = [world.case(), world.case("Another")]
    world.sync()
    for case_id in cases:
        case = world.record(case_id)
        assert (case["Description"], case["Reason"]) == ("seen", None)
    states = {(one.rule, one.kind, one.state) for one in world.actions()}
    assert states == {
        ("Bad", "create_incident", "failed"),
        ("Bad", "update_record", "pending"),
        ("Good", "update_record", "applied"),
    }
    message = world.actions("create_incident")[0].message
    assert "No such service" in message


def test_actions_on_the_incident_wait_while_its_creation_fails(world: PipelineWorld) -> None:
    """Another rule's note is not skipped for want of an incident: it is written once the incident is there."""
    world.rules(
        rule("Page", CREATED, PAGE),
        rule("Note", CREATED, {"add_note": {"content": "first words"}}),
        rule("Describe", CREATED, NOTED),
    )
    world.sync()
    world.fault("server_error", "pagerduty", "POST", "^/incidents$", status=500, times=None)
    case_id = world.case()
    world.hurry()
    world.sync()
    assert world.action("add_note").state == "pending"
    assert world.record(case_id)["Description"] == "seen"
    world.sandbox.faults.clear()
    world.sync()
    (incident,) = world.incidents()
    assert world.notes(incident["id"]) == ["first words"]


def test_an_action_does_not_take_a_resolved_incident_for_the_one_to_come(
    world: PipelineWorld,
) -> None:
    """While the next incident cannot be created, its actions wait instead of meeting the old, resolved one."""
    case_id, first = world.paged(
        rule("Again", became("Case.Status", "Escalated"), PAGE),
        rule("Note", became("Case.Status", "Escalated"), {"add_note": {"content": "again"}}),
    )
    world.ana().resolve(first)
    world.sync()
    fault = world.fault("server_error", "pagerduty", "POST", "^/incidents$", status=500, times=None)
    world.hurry()
    world.edit(case_id, Status="Escalated")
    world.sync()
    assert world.notes(first) == []
    world.sandbox.faults.remove(fault)
    world.sync()
    assert world.notes(world.incidents()[1]["id"]) == ["again"]


def test_a_record_to_be_created_is_waited_for(world: PipelineWorld) -> None:
    """A comment for the record of a new incident waits while that record cannot be created."""
    world.rules(
        mirror("Born", event_is("trigger"), {"create_record": {"fields": {"Subject": "{{ incident.title }}"}}}),
        mirror("Comment", event_is("trigger"), {"post_comment": {"body": "born"}}),
    )  # fmt: skip
    world.sync()
    world.fault("server_error", "salesforce", "POST", "/sobjects/Case", times=None, status=500)
    world.hurry()
    world.ana().create_incident("Renewals", "New outage")
    world.sync()
    assert world.action("post_comment").state == "pending"
    world.sandbox.faults.clear()
    world.sync()
    (case,) = world.cases()
    assert [one["CommentBody"] for one in world.comments(case["Id"])] == ["born"]


def test_events_of_one_pair_are_applied_in_their_order(world: PipelineWorld) -> None:
    """While an earlier change cannot be written, a later one of the same pair does not overtake it."""
    case_id, incident_id = world.paged(
        mirror("Acked", event_is("acknowledge"), {"update_record": {"fields": {"Status": "Working"}}}),
        mirror("Resolved", event_is("resolve"), {"update_record": {"fields": {"Status": "Closed"}}}),
    )  # fmt: skip
    fault = world.fault("server_error", "salesforce", "PATCH", case_id, times=None, status=500)
    world.hurry()
    world.ana().acknowledge(incident_id)
    world.sync()
    world.clock.pass_(seconds=2)
    world.ana().resolve(incident_id)
    world.sync()
    assert [one.state for one in world.actions("update_record")] == ["pending", "pending"]
    world.sandbox.faults.remove(fault)
    world.sync()
    seen = [one["fields"] for one in world.sandbox.salesforce.changes(case_id)]
    statuses = [one["Status"] for one in seen if "Status" in one]
    assert statuses[-2:] == ["Working", "Closed"]


def test_rules_and_actions_run_in_the_order_written(world: PipelineWorld) -> None:
    """Notes of several rules in several files appear in file, rule and action order."""

    def noting(name: str) -> dict[str, Any]:
        doing = [{"add_note": {"content": f"{name}{number}"}} for number in (1, 2)]
        return rule(name, WORKING, *doing)

    world.rules(noting("c"), noting("b"), file="b.yaml")
    world.rules(noting("d"), file="c.yaml")
    case_id, incident_id = world.paged()
    world.edit(case_id, Status="Working")
    world.sync()
    assert world.notes(incident_id) == ["c1", "c2", "b1", "b2", "d1", "d2"]


def test_stop_keeps_later_rules_of_the_match_away(world: PipelineWorld) -> None:
    """A matching rule with `stop: true` is the last one for its event."""
    world.rules(
        rule("First", CREATED, {"update_record": {"fields": {"Reason": "first"}}}, stop=True),
        rule("Second", CREATED, NOTED),
    )
    world.sync()
    case_id = world.case()
    world.sync()
    case = world.record(case_id)
    assert (case["Reason"], case["Description"]) == ("first", None)


def test_a_transient_error_backs_off_and_recovers(world: PipelineWorld) -> None:
    """A server error leaves the action pending with a later next try, and growing waits."""
    world.rules(PAGE_NEW)
    world.sync()
    world.fault("server_error", "pagerduty", "POST", "^/incidents$", status=500, times=None)
    world.hurry()
    world.case()
    waits = []
    for _ in range(5):
        world.sync("salesforce")
        action = world.action("create_incident")
        assert action.state == "pending"
        assert action.retry_at is not None
        waits.append(action.retry_at - datetime.now(UTC))
    assert waits[-1] > waits[0]
    assert waits[-1] <= timedelta(minutes=5)
    world.sandbox.faults.clear()
    world.sync()
    assert len(world.incidents()) == 1


def test_a_rate_limit_waits_as_long_as_the_server_says(world: PipelineWorld) -> None:
    """After a 429 nothing is sent to that end before the server's own time is over, not even by an eager pass."""
    world.rules(PAGE_NEW)
    world.sync()
    fault = world.fault(
        "rate_limited", "pagerduty", "POST", "^/incidents$", reset_seconds=120, times=None
    )
    world.case()
    for _ in range(3):
        world.sync("salesforce")
    assert world.hits(fault) == 1
    action = world.action("create_incident")
    assert action.retry_at is not None
    assert timedelta(seconds=60) < action.retry_at - datetime.now(UTC) <= timedelta(seconds=121)


def test_a_refusal_fails_at_once_with_the_servers_words(world: PipelineWorld) -> None:
    """What the server refuses for good is recorded in its own words and not tried again."""
    page = {"create_incident": PAGE["create_incident"] | {"incident_type": "unheard_of"}}
    world.rules(rule("Page", CREATED, page))
    world.sync()
    world.case()
    told = world.sync()
    action = world.action("create_incident")
    assert (action.state, action.attempt) == ("failed", 1)
    assert "ncident type" in action.message
    assert told.count("failed") == 1
    with world.silence():
        world.sync()


def test_a_mended_template_is_tried_again(world: PipelineWorld) -> None:
    """A template that names an unknown field fails its action, and runs once the file is mended."""
    bad = {"create_incident": {"service": "Support P1", "title": "{{ record.Subjekt }}"}}
    world.rules(rule("Page", CREATED, bad), rule("Note", CREATED, NOTED))
    world.sync()
    case_id = world.case("Mended")
    told = world.sync()
    assert told.errors == []
    action = world.action("create_incident")
    assert action.state == "failed"
    assert "Subjekt" in action.message
    assert world.incidents() == []
    assert world.record(case_id)["Description"] == "seen"
    good = {"create_incident": {"service": "Support P1", "title": "{{ record.Subject }}"}}
    world.rules(rule("Page", CREATED, good), rule("Note", CREATED, NOTED))
    world.settle()
    assert [one["title"] for one in world.incidents()] == ["Mended"]


def test_a_broken_file_leaves_its_last_good_version_in_force(world: PipelineWorld) -> None:
    """A file that cannot be read any more stops neither itself nor the others."""
    world.rules(PAGE_NEW)
    world.rules(rule("Note", CREATED, NOTED), file="b.yaml")
    world.sync()
    world.rules_text("version: 1\nname: [unclosed\n")
    case_id = world.case()
    told = world.sync()
    assert told.errors == []
    assert len(world.incidents()) == 1
    assert world.record(case_id)["Description"] == "seen"


def test_a_file_that_was_never_good_stops_nobody(world: PipelineWorld) -> None:
    """A file that is wrong from the start is left out, and the others work."""
    world.rules_text("version: 1\nname: Wrong\nenabled: true\nrules: nonsense\n", "0.yaml")
    world.rules(PAGE_NEW)
    world.sync()
    world.case()
    assert world.sync().errors == []
    assert len(world.incidents()) == 1


def test_a_deleted_file_is_out_of_force(world: PipelineWorld) -> None:
    """Last good versions are for broken files, not for deleted ones."""
    path = world.rules(PAGE_NEW)
    world.sync()
    path.unlink()
    world.case()
    world.sync()
    assert world.incidents() == []


def test_a_ruleset_that_is_off_does_nothing(world: PipelineWorld) -> None:
    """Neither `enabled: false` nor a file without the word acts."""
    world.rules(PAGE_NEW, enabled=False)
    world.rules_text(
        "version: 1\nname: Silent\nrules:\n- {name: Page, object: Case, run_on: salesforce, "
        "when: {field: event.type, operation: equals, value: created}, "
        "actions: [{create_incident: {service: Renewals, title: x}}]}\n",
        "b.yaml",
    )
    world.sync()
    world.case()
    with world.silence():
        world.sync()


def test_a_shadow_ruleset_is_recorded_and_never_executed(world: PipelineWorld) -> None:
    """`mode: shadow` judges and plans, and writes nothing."""
    world.rules(PAGE_NEW, mode="shadow")
    world.sync()
    world.case()
    with world.silence():
        world.sync()
    assert world.action("create_incident").state == "shadow"


def test_a_paused_integration_queues(world: PipelineWorld) -> None:
    """While paused nothing is written; what happened meanwhile is done afterwards, in order."""
    world.rules(PAGE_NEW, rule("Close", became("Case.Status", "Closed"), {"resolve_incident": {}}))
    world.settings(paused=True)
    world.sync()
    case_id = world.case()
    with world.silence():
        world.sync()
        world.edit(case_id, Status="Closed")
        world.sync()
    world.settings()
    world.settle()
    assert [one["status"] for one in world.incidents()] == ["resolved"]


def test_the_other_side_being_down_delays_only_what_needs_it(world: PipelineWorld) -> None:
    """While PagerDuty is down Salesforce is still read and written, and PagerDuty's part is made up for."""
    world.rules(rule("Page", CREATED, PAGE), rule("Note", CREATED, NOTED))
    world.sync()
    world.fault("server_error", "pagerduty", ".*", "", status=503, times=None)
    world.hurry()
    case_id = world.case()
    told = world.sync("salesforce")
    assert told.errors == []
    assert world.record(case_id)["Description"] == "seen"
    world.sandbox.faults.clear()
    world.settle()
    assert len(world.incidents()) == 1


def test_state_based_rules_fire_on_every_change_they_watch(world: PipelineWorld) -> None:
    """A condition on a state holds for each event of the record; create_incident then has nothing to do."""
    world.rules(PAGE_HIGH | {"name": "State"}, rule("Watch", WORKING, NOTED))
    world.sync()
    case_id = world.case()
    world.sync()
    world.edit(case_id, Status="Working")
    world.settle()
    assert len(world.incidents()) == 1
    assert [one.state for one in world.actions("create_incident")] == ["applied", "skipped"]
