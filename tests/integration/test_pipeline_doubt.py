"""Answers that are lost after the server did the work: each write has its effect once, however often it is tried."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pd_sf_rules.pipeline.run import Direction
from pd_sf_rules.pipeline.sync import PATIENCE_SECONDS
from tests.integration.pipeline_world import (
    OUR_NAME,
    PAGE_NEW,
    PipelineWorld,
    became,
    event_is,
    mirror,
    rule,
)

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

LOST = ("reset_after", "malformed_json", "reset_before")
WORKING = became("Case.Status", "Working")
Effect = Callable[[PipelineWorld, str, str], Any]


@dataclass(frozen=True)
class Write:
    """One kind of write: what triggers it, which call carries it, and what its effect looks like, done once."""

    kind: str
    call: tuple[str, str, str]
    effect: Effect
    once: Any
    doing: dict[str, Any] = field(default_factory=dict)
    at_pagerduty: bool = False


def acknowledgement(world: PipelineWorld, _: str, incident_id: str) -> Any:
    """Status and holders of the incident."""
    return world.incident(incident_id)["status"], world.holders(incident_id)


WRITES = [
    Write(
        "acknowledge_incident",
        ("pagerduty", "PUT", "^/incidents/"),
        acknowledgement,
        ("acknowledged", ["PUANA01"]),
        {"acknowledge_incident": {}},
    ),
    Write(
        "resolve_incident",
        ("pagerduty", "PUT", "^/incidents/"),
        lambda w, _, i: (w.incident(i)["status"], w.notes(i)),
        ("resolved", ["Resolution Note: done"]),
        {"resolve_incident": {"resolution": "done"}},
    ),
    Write(
        "set_priority",
        ("pagerduty", "PUT", "^/incidents/"),
        lambda w, _, i: w.incident(i)["priority"]["id"],
        "PPRIO02",
        {"set_priority": {"priority": "P2"}},
    ),
    Write(
        "set_urgency",
        ("pagerduty", "PUT", "^/incidents/"),
        lambda w, _, i: w.incident(i)["urgency"],
        "low",
        {"set_urgency": {"urgency": "low"}},
    ),
    Write(
        "reassign_incident",
        ("pagerduty", "PUT", "^/incidents/"),
        lambda w, _, i: w.holders(i),
        ["PUBEN01"],
        {"reassign_incident": {"users": ["ben@acme.example"]}},
    ),
    Write(
        "add_note",
        ("pagerduty", "POST", "/notes"),
        lambda w, _, i: w.notes(i),
        ["hello"],
        {"add_note": {"content": "hello"}},
    ),
    Write(
        "set_custom_fields",
        ("pagerduty", "PUT", "/custom_fields/values"),
        lambda w, _, i: w.stored_incident(i)["_custom_fields"],
        {"PFSEAT1": 7},
        {"set_custom_fields": {"fields": {"affected_seats": 7}}},
    ),
    Write(
        "update_record",
        ("salesforce", "PATCH", "/sobjects/Case/"),
        lambda w, c, _: [
            one["fields"]["Description"]
            for one in w.sandbox.salesforce.changes(c)
            if "Description" in one["fields"]
        ],
        ["seen"],
        {"update_record": {"fields": {"Description": "seen"}}},
        at_pagerduty=True,
    ),
    Write(
        "post_comment",
        ("salesforce", "POST", "/sobjects/CaseComment"),
        lambda w, c, _: [one["CommentBody"] for one in w.comments(c)],
        ["hello"],
        {"post_comment": {"body": "hello"}},
        at_pagerduty=True,
    ),
]


@pytest.mark.parametrize("fault", ["reset_after", "reset_before"])
@pytest.mark.parametrize("write", WRITES, ids=lambda one: one.kind)
def test_a_lost_answer_is_settled_once(world: PipelineWorld, write: Write, fault: str) -> None:
    """Whether the call took effect or not, its effect is there once in the end, and silence follows."""
    seen = {"update_record": {"fields": {"Reason": "echo"}}}
    words = [
        "acknowledge",
        "assign",
        "resolve",
        "annotate",
        "priority_change",
        "urgency_change",
        "custom",
    ]
    echo = mirror(
        "Echo",
        {"all": [
            {"field": "event.type", "operation": "in", "value": words},
            {"field": "event.agent", "operation": "equals", "value": OUR_NAME},
        ]},
        seen,
    )  # fmt: skip
    doing = (
        mirror("Do", event_is("snooze"), write.doing)
        if write.at_pagerduty
        else rule("Do", WORKING, write.doing)
    )
    world.cross_comments()
    case_id, incident_id = world.paged(doing, echo)
    system, method, path = write.call
    planned = world.fault(fault, system, method, path)
    if write.at_pagerduty:
        world.ana().snooze(incident_id, 3600)
    else:
        world.edit(case_id, Status="Working")
    world.sync()
    world.settle()
    assert world.hits(planned) == 1
    assert write.effect(world, case_id, incident_id) == write.once
    assert world.record(case_id)["Reason"] is None
    assert {one.state for one in world.actions(write.kind)} == {"applied"}


@pytest.mark.parametrize(
    ("fault", "left"), [("reset_after", "PPRIO03"), ("reset_before", "PPRIO02")]
)
@pytest.mark.parametrize("first", ["salesforce", "pagerduty"])
def test_a_person_who_changes_what_was_lost_is_not_overruled(
    world: PipelineWorld, fault: str, left: str, first: Direction
) -> None:
    """The log shows that the priority was set: a person's later one stays. Where it was not set, it is set now."""
    world.patience = 0.0
    case_id, incident_id = world.paged(rule("Do", WORKING, {"set_priority": {"priority": "P2"}}))
    planned = world.fault(fault, "pagerduty", "PUT", "^/incidents/")
    world.edit(case_id, Status="Working")
    world.sync("salesforce")
    assert world.hits(planned) == 1
    world.ana().set_priority(incident_id, "P3")
    world.patience = PATIENCE_SECONDS
    world.sync(first)
    world.sync()
    world.settle()
    assert world.incident(incident_id)["priority"]["id"] == left
    assert {one.state for one in world.actions("set_priority")} == {"applied"}


@pytest.mark.parametrize("fault", LOST)
def test_a_lost_page_is_one_page(both_worlds: PipelineWorld, fault: str) -> None:
    """A new incident whose answer was lost is found by its key and linked, not created again."""
    world = both_worlds
    world.rules(PAGE_NEW, mirror("Echo", event_is("trigger"), {"post_comment": {"body": "echo"}}))
    world.sync()
    world.fault(fault, "pagerduty", "POST", "^/incidents$")
    case_id = world.case()
    world.sync()
    world.settle()
    (incident,) = world.incidents()
    assert [one.incident_id for one in world.links_of(case_id)] == [incident["id"]]
    assert world.comments() == []


@pytest.mark.parametrize("fault", LOST)
def test_a_lost_record_is_one_record(both_worlds: PipelineWorld, fault: str) -> None:
    """A new record whose answer was lost is found among ours and linked, and its creation is no news."""
    world = both_worlds
    fields = {"Subject": "{{ incident.title }}", "Origin": "Web"}
    world.rules(
        PAGE_NEW,
        rule("Echo", event_is("created"), {"update_record": {"fields": {"Reason": "echo"}}}),
        mirror("Born", event_is("trigger"), {"create_record": {"fields": fields}}),
    )
    world.sync()
    world.fault(fault, "salesforce", "POST", "/sobjects/Case")
    incident = world.ana().create_incident("Renewals", "New outage")
    world.sync()
    world.settle()
    (case,) = world.cases()
    assert case["Reason"] is None
    assert [one.incident_id for one in world.links_of(case["Id"])] == [incident["id"]]


@pytest.mark.parametrize("fault", LOST)
def test_lost_copies_cross_once(world: PipelineWorld, fault: str) -> None:
    """A comment and a note whose copies lost their answers are copied once each."""
    world.cross_comments()
    case_id, incident_id = world.paged()
    world.fault(fault, "salesforce", "POST", "CaseComment")
    world.fault(fault, "pagerduty", "POST", "/notes")
    world.sandbox.salesforce.comment(case_id, "one")
    world.ana().add_note(incident_id, "two")
    world.sync()
    world.settle()
    assert len(world.comments(case_id)) == 2
    assert len(world.notes(incident_id)) == 2


def test_a_doubt_outlives_an_outage(world: PipelineWorld) -> None:
    """A note that arrived before the outage is not written again after it, though looking failed meanwhile."""
    case_id, incident_id = world.paged(rule("Note", WORKING, {"add_note": {"content": "hello"}}))
    world.hurry()
    world.fault("reset_after", "pagerduty", "POST", "/notes")
    world.edit(case_id, Status="Working")
    world.sync("salesforce")
    outage = world.fault("server_error", "pagerduty", "GET", "", times=None)
    for _ in range(3):
        world.sync("salesforce")
    assert world.notes(incident_id) == ["hello"]
    assert world.action("add_note").state == "pending"
    world.sandbox.faults.remove(outage)
    world.settle()
    assert world.notes(incident_id) == ["hello"]
    assert world.action("add_note").state == "applied"


def test_a_lost_bulk_call_is_settled_row_by_row(world: PipelineWorld) -> None:
    """When the answer to a collections call is lost, every record has its value once, and no echo follows."""
    world.rules(
        PAGE_NEW,
        mirror("Acked", event_is("acknowledge"), {"update_record": {"fields": {"Status": "Working"}}}),
        rule("Echo", WORKING, {"update_record": {"fields": {"Reason": "echo"}}}),
    )  # fmt: skip
    world.sync()
    for number in range(5):
        world.case(f"Case {number}")
    world.sync()
    world.fault("reset_after", "salesforce", "PATCH", "composite")
    for link in world.links():
        world.ana().acknowledge(link.incident_id)
    world.sync("pagerduty")
    world.settle()
    assert {(one["Status"], one["Reason"]) for one in world.cases()} == {("Working", None)}


def test_a_persons_edit_after_a_lost_write_stays(world: PipelineWorld) -> None:
    """A write that arrived, was not answered for, and was changed by a person since is not made again over it."""
    case_id, incident_id = world.paged(
        mirror("Acked", event_is("acknowledge"), {"update_record": {"fields": {"Status": "Working"}}}),
        rule("Closed", became("Case.Status", "Closed"), {"add_note": {"content": "closed"}}),
    )  # fmt: skip
    world.hurry()
    world.fault("reset_after", "salesforce", "PATCH", "/sobjects/Case/")
    world.ana().acknowledge(incident_id)
    world.sync("pagerduty")
    world.edit(case_id, Status="Closed")
    world.sync()
    world.settle()
    assert world.record(case_id)["Status"] == "Closed"
    assert world.notes(incident_id) == ["closed"]
    assert world.action("update_record").state == "applied"


def test_a_workflow_whose_answer_was_lost_is_left_to_a_person(world: PipelineWorld) -> None:
    """What cannot be looked up is not started twice: the action fails and says where to look."""
    start = {"run_incident_workflow": {"workflow": "Major incident"}}
    case_id, _ = world.paged(rule("Start", WORKING, start))
    world.fault("reset_after", "pagerduty", "POST", "incident_workflows")
    world.edit(case_id, Status="Working")
    world.sync()
    world.settle()
    assert len(world.sandbox.pagerduty.store.all("workflow_instance")) == 1
    action = world.action("run_incident_workflow")
    assert action.state == "failed"
    assert "lost" in action.message
