"""Stamps that are minutes off the time a server tells, or that come with none: nothing is lost or done twice."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from sandbox.pagerduty.state import LogEntryFaults
from sandbox.salesforce.settings import ConnectedApp
from tests.integration.pipeline_world import (
    OUR_SALESFORCE_USER,
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

WORKING = became("Case.Status", "Working")
TOLD = {"post_comment": {"body": "{{ event.type }} by {{ event.agent }}"}}
SKEWS = (-290, 290)


@pytest.fixture(params=[(s, p, d) for s in SKEWS for p in SKEWS for d in ("machine", "none")])
def skewed(
    request: pytest.FixtureRequest, world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> PipelineWorld:
    """Both servers stamp minutes off, each its own way; their Date headers are this machine's, or missing."""
    salesforce, pagerduty, date = request.param
    world.clock.ahead = timedelta()
    world.sandbox.salesforce.faults.set(skew_seconds=salesforce)
    world.sandbox.pagerduty.clock_offset = timedelta(seconds=pagerduty)
    world.sandbox.habits.set({"date": date, "limits": False})
    # A signed log-in needs a clock that is right, or a Date header that tells of it; this one does not.
    app = ConnectedApp(consumer_key="clocks", consumer_secret="hush", run_as=OUR_SALESFORCE_USER)
    world.sandbox.salesforce.register_app(app)
    extra = {
        "consumer_key": app.consumer_key,
        "consumer_secret": app.consumer_secret,
        "login_url": world.sandbox.salesforce_url,
    }
    connection = {"conn_type": "salesforce", "login": OUR_SALESFORCE_USER, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_DEFAULT", json.dumps(connection))
    return world


def test_what_was_there_pages_nobody_and_what_comes_does(skewed: PipelineWorld) -> None:
    """The silent baseline holds what is there at the first start, and nothing that comes after it."""
    skewed.rules(PAGE_HIGH)
    skewed.case("before")
    skewed.sync()
    skewed.sync()
    assert skewed.incidents() == []
    skewed.case("after")
    skewed.settle()
    assert [one["title"] for one in skewed.incidents()] == ["after"]


def test_entries_count_from_the_first_start_on(skewed: PipelineWorld) -> None:
    """What people did to incidents before it is old; what they do right after it is told, once."""
    skewed.rules(
        rule("Page", event_is("created"), PAGE), mirror("Told", event_is("acknowledge"), TOLD)
    )
    ana = skewed.sandbox.person("Ana Lopez")
    old = ana.create_incident("Support P1", "old")["id"]
    ana.acknowledge(old)
    skewed.sync()
    case_id = skewed.case()
    skewed.sync()
    (ours,) = [one["id"] for one in skewed.incidents() if one["id"] != old]
    ana.acknowledge(ours)
    skewed.settle()
    assert [one["CommentBody"] for one in skewed.comments(case_id)] == ["acknowledge by Ana Lopez"]


def test_our_own_doing_is_no_news(skewed: PipelineWorld) -> None:
    """Our acknowledgement comes back minutes off the time it was announced for, and is known all the same."""
    skewed.rules(
        PAGE_NEW,
        rule("Working", WORKING, {"acknowledge_incident": {}}, {"add_note": {"content": "seen"}}),
        mirror("Told", event_is("acknowledge"), TOLD),
    )
    skewed.settings(comments={"pagerduty_to_salesforce": "internal"})
    skewed.sync()
    case_id = skewed.case()
    skewed.sync()
    skewed.edit(case_id, Status="Working")
    skewed.settle()
    assert skewed.comments(case_id) == []


LOST: list[tuple[str, str, Callable[[PipelineWorld, str, str], int]]] = [
    ("pagerduty", "^/incidents$", lambda w, _case, _incident: len(w.incidents()) - 1),
    ("pagerduty", "/notes$", lambda w, _case, incident: w.notes(incident).count("seen")),
    ("salesforce", "CaseComment", lambda w, case, _incident: len(w.comments(case))),
]


@pytest.mark.parametrize(("system", "path", "times"), LOST)
def test_a_lost_answer_is_found(
    skewed: PipelineWorld,
    system: str,
    path: str,
    times: Callable[[PipelineWorld, str, str], int],
) -> None:
    """What a lost answer left behind carries a stamp minutes off, and is found instead of made again."""
    skewed.rules(
        PAGE_NEW,
        rule(
            "Working",
            WORKING,
            {"create_incident": PAGE["create_incident"] | {"when_linked": "any_open"}},
            {"add_note": {"content": "seen"}},
            {"post_comment": {"body": "working"}},
        ),
    )
    skewed.sync()
    case_id = skewed.case()
    skewed.sync()
    (incident,) = skewed.incidents()
    skewed.sandbox.faults.plan("reset_after", system=system, method="POST", path=path)
    skewed.edit(case_id, Status="Working")
    skewed.settle(passes=4)
    assert times(skewed, case_id, incident["id"]) == 1


def test_entries_that_come_before_the_creation_of_their_incident_wait_for_it(
    world: PipelineWorld,
) -> None:
    """The log shows an acknowledgement first and the creation later: the record is made, and told of both."""
    record = {"create_record": {"fields": {"Subject": "{{ incident.title }}"}}}
    world.rules(
        mirror("Open", event_is("trigger"), record), mirror("Told", event_is("acknowledge"), TOLD)
    )
    world.sync()
    faults = LogEntryFaults(late=1.0, late_seconds=60)
    world.sandbox.pagerduty.log_entry_faults = faults
    incident_id = world.ana().create_incident("Support P1", "Down")["id"]
    world.sandbox.pagerduty.log_entry_faults = LogEntryFaults()
    world.ana().acknowledge(incident_id)
    world.sync()
    assert world.comments() == []
    world.clock.pass_(seconds=61)
    world.settle()
    (case,) = world.cases()
    assert [one["CommentBody"] for one in world.comments(case["Id"])] == [
        "acknowledge by Ana Lopez"
    ]


def test_an_entry_does_not_wait_for_ever(world: PipelineWorld) -> None:
    """A creation that the log never shows holds nothing back for longer than the log may be late."""
    told = {"create_record": {"fields": {"Subject": "{{ event.type }}"}}}
    world.rules(mirror("Told", event_is("acknowledge"), told))
    world.sync()
    world.sandbox.pagerduty.log_entry_faults = LogEntryFaults(late=1.0, late_seconds=86_400)
    incident_id = world.ana().create_incident("Support P1", "Down")["id"]
    world.sandbox.pagerduty.log_entry_faults = LogEntryFaults()
    world.ana().acknowledge(incident_id)
    for _ in range(12):
        world.sync()
        world.clock.pass_(minutes=1)
    world.settle()
    assert [one["Subject"] for one in world.cases()] == ["acknowledge"]


@pytest.mark.parametrize(
    ("system", "answered"),
    [("salesforce", 0), ("salesforce", 1), ("pagerduty", 0), ("pagerduty", 1)],
)
def test_a_first_start_that_breaks_off(world: PipelineWorld, system: str, answered: int) -> None:
    """What was there stays old and what comes counts from the first start on, though its looks failed."""
    world.hurry()
    record = {"create_record": {"fields": {"Subject": "{{ incident.title }}", "Priority": "Low"}}}
    world.rules(PAGE_HIGH, mirror("Open", event_is("trigger"), record))
    world.case("old case")
    world.ana().create_incident("Support P2", "old incident")
    path = "query" if system == "salesforce" else "log_entries"
    fault = world.fault("server_error", system, "GET", path, after=answered, times=None)
    assert world.sync().errors
    world.sandbox.faults.remove(fault)
    world.clock.pass_(seconds=2)
    world.case("new case")
    world.ana().create_incident("Support P2", "new incident")
    world.settle(passes=3)
    assert sorted(one["title"] for one in world.incidents()) == [
        "new case",
        "new incident",
        "old incident",
    ]
    assert sorted(one["Subject"] for one in world.cases()) == [
        "new case",
        "new incident",
        "old case",
    ]
