"""Either service is away for hours: everything that happened meanwhile is done afterwards, once and in order.

The machine's clock and both services' is one that a test lets pass, so that four hours take seconds.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from pd_sf_rules.errors import SyncError
from pd_sf_rules.pipeline.storms import held_storms
from sandbox.running import running_sandbox
from sandbox.world import World
from tests.chaos.clock import VirtualClock
from tests.integration.pipeline_world import (
    PAGE,
    PAGE_NEW,
    Clock,
    PipelineWorld,
    event_is,
    mirror,
    opened_world,
    rule,
)

pytest_plugins = ["tests.integration.ledger_databases"]

TEN_MINUTES = 600.0
FOUR_HOURS = 24 * TEN_MINUTES
RULES = (
    rule("Page", PAGE_NEW["when"], PAGE, {"update_record": {"fields": {"Status": "Escalated"}}}),
    rule(
        "Edits",
        {"field": "Case.Description", "operation": "changed"},
        {"add_note": {"content": "{{ record.Description }}"}},
    ),
    mirror("Ack", event_is("acknowledge"), {"update_record": {"fields": {"Status": "Working"}}}),
    mirror("Done", event_is("resolve"), {"update_record": {"fields": {"Status": "Closed"}}}),
)


class _Hours(VirtualClock):
    """The clock of everything. `ahead` is what a PipelineWorld asks of its own kind of clock: nothing is ahead here."""

    ahead = timedelta()


@pytest.fixture(scope="module")
def clock() -> _Hours:
    """The clock of everything."""
    return _Hours()


@pytest.fixture(scope="module")
def sandbox(clock: _Hours) -> Iterator[World]:
    """One sandbox for all tests of this file."""
    with running_sandbox(clock=clock) as world:
        yield world


@pytest.fixture
def world(
    clock: _Hours,
    sandbox: World,
    migrated_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[PipelineWorld]:
    """A world in which time passes when the test says so, with comments and notes crossing."""
    (tmp_path / "ledger.db").write_bytes(migrated_file.read_bytes())
    clock.rule(monkeypatch)
    url = f"sqlite:///{tmp_path}/ledger.db"
    with opened_world(sandbox, cast("Clock", clock), tmp_path, url, monkeypatch) as opened:
        sandbox.pagerduty.limits.per_minute = 0
        opened.cross_comments()
        opened.rules(*RULES)
        opened.sync()
        clock.pass_(1)
        yield opened


def _nobody_there() -> str:
    """The address of a port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


def _moved(monkeypatch: pytest.MonkeyPatch, system: str, address: str) -> Callable[[], None]:
    """Let the connection of a system lead to another address; the function returned leads it back."""
    name = f"AIRFLOW_CONN_{system.upper()}_DEFAULT"
    before = os.environ[name]
    spec = json.loads(before)
    key = "login_url" if system == "salesforce" else "base_url"
    spec["extra"] |= {key: address} | ({"events_url": address} if system == "pagerduty" else {})
    monkeypatch.setenv(name, json.dumps(spec))
    return lambda: monkeypatch.setenv(name, before)


def _away(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch, system: str, how: str
) -> Callable[[], None]:
    """One system goes away; the function returned brings it back."""
    if how == "503":
        fault = world.fault("server_error", system, ".*", "", times=None)

        def back() -> None:
            world.sandbox.faults.remove(fault)

        return back
    return _moved(monkeypatch, system, _nobody_there())


def _well(world: PipelineWorld) -> None:
    """Nothing failed for good, nothing is held, nothing waits, and nobody was alerted."""
    left = {one.state for one in world.actions()} - {"applied", "skipped"}
    assert left == set(), [(one.kind, one.message) for one in world.actions() if one.state in left]
    with world.run() as run:
        assert held_storms(run) == []
    assert [one for one in world.incidents() if one["service"]["id"] == "POPSYNC"] == []


def _recovered(world: PipelineWorld, clock: _Hours) -> None:
    """Passes as the clock starts them, until one finds nothing more to do."""
    for _ in range(3):
        world.sync()
        clock.pass_(TEN_MINUTES)
    world.settle()


@pytest.mark.parametrize("how", ["503", "refused"])
def test_four_hours_without_pagerduty(
    world: PipelineWorld, clock: _Hours, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Each Case of those hours pages once; its comment and its edits follow as notes, the edits in their order."""
    back = _away(world, monkeypatch, "pagerduty", how)
    cases = []
    for number in range(int(FOUR_HOURS / TEN_MINUTES)):
        cases.append(world.case(f"Case {number}"))
        comment = {"ParentId": cases[-1], "CommentBody": f"Comment on {cases[-1]}"}
        world.sandbox.salesforce.create("CaseComment", comment)
        for one in cases[-2:]:
            clock.pass_(1)
            world.edit(one, Description=f"{one} at {clock.elapsed:.0f}")
        clock.pass_(TEN_MINUTES / 2)
        world.sync()
        clock.pass_(TEN_MINUTES / 2)
    assert world.incidents() == []
    assert {one.state for one in world.actions()} == {"pending"}
    back()
    _recovered(world, clock)
    _well(world)
    assert len(world.incidents()) == len(cases) == len(world.links())
    for case_id in cases:
        (link,) = world.links_of(case_id)
        notes = world.notes(link.incident_id)
        said = [int(note.rpartition(" ")[2]) for note in notes if note.startswith(case_id)]
        assert sum(f"Comment on {case_id}" in note for note in notes) == 1
        assert len(notes) == len(said) + 1
        assert said == sorted(set(said))
        assert len(said) in {1, 2}
    assert {one["Status"] for one in world.cases()} == {"Escalated"}


@pytest.mark.parametrize("how", ["503", "refused"])
def test_four_hours_without_salesforce(
    world: PipelineWorld, clock: _Hours, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """What people did to incidents in those hours reaches the Cases, each note once and in its order."""
    cases = [world.case(f"Case {number}") for number in range(8)]
    world.settle(3)
    pairs = {case_id: world.links_of(case_id)[0].incident_id for case_id in cases}
    back = _away(world, monkeypatch, "salesforce", how)
    ana = world.ana()
    said: dict[str, list[str]] = {case_id: [] for case_id in cases}
    for number in range(int(FOUR_HOURS / TEN_MINUTES)):
        case_id = cases[number % len(cases)]
        if number < len(cases):
            ana.acknowledge(pairs[case_id])
        elif number < 2 * len(cases) and number % 2:
            ana.resolve(pairs[case_id])
        said[case_id].append(f"Note {number:02}")
        ana.add_note(pairs[case_id], said[case_id][-1])
        clock.pass_(TEN_MINUTES / 2)
        world.sync()
        clock.pass_(TEN_MINUTES / 2)
    assert world.comments() == []
    back()
    _recovered(world, clock)
    _well(world)
    for number, case_id in enumerate(cases):
        assert world.record(case_id)["Status"] == ("Closed" if number % 2 else "Working")
        texts = [one["CommentBody"] for one in world.comments(case_id)]
        assert [next(s for s in said[case_id] if s in text) for text in texts] == said[case_id]


def test_a_page_goes_out_while_salesforce_is_away(
    world: PipelineWorld, clock: _Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that was judged before Salesforce went away names the record's address all the same."""
    first = world.case("Before")
    world.settle(2)
    down = world.fault("server_error", "pagerduty", "POST", "/incidents$", times=None)
    second = world.case("Just before")
    world.sync()
    back = _away(world, monkeypatch, "salesforce", "refused")
    world.sandbox.faults.remove(down)
    clock.pass_(TEN_MINUTES)
    world.sync()
    assert len(world.links_of(first)) == len(world.links_of(second)) == 1
    (link,) = world.links_of(second)
    stored = world.stored_incident(link.incident_id)
    assert f"{world.sandbox.salesforce_url}/{second}" in json.dumps(stored)
    back()
    _recovered(world, clock)
    _well(world)


def test_an_outage_costs_a_few_requests_a_pass(world: PipelineWorld, clock: _Hours) -> None:
    """With 80 pages waiting a pass tries a few times, at growing distances, and gives the rest back untried."""
    world.settings(
        limits={"incidents_per_rule": {"count": 0, "minutes": 10}}
        | {"incidents": {"count": 0, "minutes": 10}}
    )
    down = world.fault("server_error", "pagerduty", "POST", "/incidents$", times=None)
    for number in range(80):
        world.case(f"Case {number}")
    before = world.sandbox.traffic.last_number()
    world.sync("salesforce")
    assert len(world.writes("pagerduty", after=before)) <= 20
    untried = [one for one in world.actions("create_incident") if one.attempt == 0]
    assert len(untried) > 60
    world.sandbox.faults.remove(down)
    clock.pass_(TEN_MINUTES)
    _recovered(world, clock)
    assert len(world.links()) == 80
    assert len(world.incidents()) == 80


def test_a_used_up_allowance_is_waited_for_and_does_not_hold_up_pages(
    world: PipelineWorld, clock: _Hours
) -> None:
    """While Salesforce refuses every write for hours pages go out; the writes wait longer and longer, and catch up."""
    used_up = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]
    limit = world.fault(
        "answer", "salesforce", "POST|PATCH", "/composite", times=None, status=403, body=used_up
    )
    cases = []
    tries = []
    for number in range(12):
        cases.append(world.case(f"Case {number}"))
        before = world.sandbox.traffic.last_number()
        world.sync()
        tries.append(len(world.writes("salesforce", after=before, path="/composite")))
        clock.pass_(TEN_MINUTES / 10)
        world.sync()
        clock.pass_(TEN_MINUTES)
    assert len(world.incidents()) == len(cases)
    assert sum(tries) < 20
    assert tries[-1] <= 1
    world.sandbox.faults.remove(limit)
    clock.pass_(1800)
    _recovered(world, clock)
    _well(world)
    assert {one["Status"] for one in world.cases()} == {"Escalated"}


def test_an_unreadable_side_says_so_and_the_cursor_stays(
    world: PipelineWorld, clock: _Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass while Salesforce is away tells one error, and the next pass reads from where the last good one ended."""
    back = _away(world, monkeypatch, "salesforce", "refused")
    one = world.sync("salesforce")
    assert [isinstance(error, SyncError) for error in one.errors] == [True]
    clock.pass_(FOUR_HOURS)
    back()
    case_id = world.case("After")
    world.sync()
    assert len(world.links_of(case_id)) == 1
