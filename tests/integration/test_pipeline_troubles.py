"""Troubles that outlast a pass: a locked or full ledger, a used-up allowance, a refused login, records that vanish."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import Connection, event

from pd_sf_rules.errors import ConnectionConfigError, RateLimitedError, RetryableError
from pd_sf_rules.pipeline import run
from tests.integration.pipeline_world import (
    PAGE_NEW,
    PipelineWorld,
    event_is,
    mirror,
    rule,
)

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

NOTED = {"add_note": {"content": "Paged for {{ record.Subject }}"}}
COMMENTED = {"post_comment": {"body": "{{ event.type }} by {{ event.agent }}"}}
STORY = (
    rule("Page", PAGE_NEW["when"], *PAGE_NEW["actions"], NOTED),
    mirror("Told", event_is("acknowledge"), COMMENTED),
)
ALL_PAGES = 1_073_741_823
CASES = 3


def _begun(world: PipelineWorld) -> list[str]:
    """A world with some Cases to page for, whose ledger waits for nobody."""
    world.ledger_url += "?timeout=0.05"
    world.rules(*STORY)
    world.sync()
    return [world.case(f"case {number}") for number in range(CASES)]


def _is_done_once(world: PipelineWorld) -> None:
    """Each Case has its one incident with its one note, linked, and nothing is left to do."""
    world.settle(passes=4)
    assert len(world.incidents()) == CASES == len(world.links())
    for one in world.incidents():
        assert world.notes(one["id"]) == [f"Paged for {one['title']}"]
    assert {one.state for one in world.actions()} == {"applied"}


def _pass(world: PipelineWorld) -> None:
    """One pass; what stopped a direction is raised."""
    for error in world.sync().errors:
        raise error


def _in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the pass before has ended: what it held is free."""
    monkeypatch.setattr(run, "_started", lambda _: "another life")


def _path(world: PipelineWorld) -> str:
    return world.ledger_url.removeprefix("sqlite:///").partition("?")[0]


@contextmanager
def _lock(world: PipelineWorld) -> Iterator[None]:
    other = sqlite3.connect(_path(world), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.close()


@pytest.mark.parametrize("commits", [0, 6, 11, 16])
def test_a_ledger_that_another_program_holds(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    """Wherever in a pass the lock falls, it ends with a sentence; what it sent is looked for afterwards."""
    _begun(world)
    begun = 0
    with ExitStack() as held:

        def lock(connection: Connection) -> None:
            nonlocal begun
            if connection.get_execution_options().get("ledger_writes", True):
                begun += 1
                if begun == commits + 1:
                    held.enter_context(_lock(world))

        event.listen(world.ledger._writer, "engine_connect", lock)
        with pytest.raises(RetryableError, match="locked"):
            _pass(world)
    _in_another_process(monkeypatch)
    _is_done_once(world)


@pytest.mark.parametrize("commits", [0, 6, 11, 16])
def test_a_disk_that_is_full(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    """From some moment on the ledger cannot grow: once there is room again, nothing is missing or doubled."""
    _begun(world)
    begun, is_full = 0, True

    def fill(connection: Connection) -> None:
        nonlocal begun
        if not connection.get_execution_options().get("ledger_writes", True):
            return
        begun += 1
        full = is_full and begun > commits
        room = connection.exec_driver_sql("PRAGMA page_count").scalar_one() if full else ALL_PAGES
        connection.exec_driver_sql(f"PRAGMA max_page_count = {room}")
        if full:  # what is free inside the file is taken too
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS filler (bytes BLOB)")
            connection.exec_driver_sql("INSERT INTO filler VALUES (zeroblob(65536))")

    event.listen(world.ledger._writer, "begin", fill)
    with pytest.raises(RetryableError, match="full"):
        _pass(world)
    is_full = False
    _in_another_process(monkeypatch)
    _is_done_once(world)


def test_a_daily_allowance_that_is_used_up_and_comes_back(world: PipelineWorld) -> None:
    """REQUEST_LIMIT_EXCEEDED stops a pass and costs nothing else: when it clears, everything is done once."""
    world.hurry()
    _begun(world)
    limit = world.fault("request_limit", "salesforce", ".*", "/services/data/", times=None)
    for _ in range(2):
        assert any(isinstance(one, RateLimitedError) for one in world.sync().errors)
    assert world.incidents() == []
    world.sandbox.faults.remove(limit)
    _is_done_once(world)


def test_an_allowance_that_ends_between_a_page_and_its_comment(world: PipelineWorld) -> None:
    """A write that meets the limit waits for as long as it lasts, and is made once afterwards."""
    _begun(world)
    world.sync()
    for one in world.incidents():
        world.ana().acknowledge(one["id"])
    world.hurry()
    limit = world.fault("request_limit", "salesforce", "POST|PATCH", "sobjects", times=None)
    world.sync()
    assert world.comments() == []
    assert {one.state for one in world.actions("post_comment")} == {"pending"}
    world.sandbox.faults.remove(limit)
    world.patience = 30.0
    world.settle(passes=3)
    assert len(world.comments()) == CASES


@pytest.mark.parametrize("system", ["salesforce", "pagerduty"])
def test_a_login_that_is_refused_until_somebody_mends_it(world: PipelineWorld, system: str) -> None:
    """401 for good fails no action: it is told, and everything is done once when the connection is mended."""
    world.hurry()
    _begun(world)
    refused = world.fault("unauthorized", system, ".*", "", times=None)
    for _ in range(2):
        assert any(isinstance(one, ConnectionConfigError) for one in world.sync().errors)
    world.sandbox.faults.remove(refused)
    _is_done_once(world)


def test_a_key_that_may_read_only_until_somebody_mends_it(world: PipelineWorld) -> None:
    """Writes that are refused for the key's sake wait for it."""
    world.hurry()
    _begun(world)
    refused = world.fault("unauthorized", "pagerduty", "POST", "", times=None)
    world.sync()
    assert {one.error_kind for one in world.actions("create_incident")} == {"connection"}
    world.sandbox.faults.remove(refused)
    _is_done_once(world)


def test_a_record_that_is_deleted_before_its_effects(world: PipelineWorld) -> None:
    """What is left to do on a deleted Case is skipped, in plain sight; on its incident it is done."""
    fields = {"update_record": {"fields": {"SuppliedCompany": "{{ event.agent }}"}}}
    told = {"add_note": {"content": "Case '{{ record.Subject }}' of {{ event.agent }}"}}
    world.rules(
        PAGE_NEW,
        mirror("Fields", event_is("acknowledge"), fields),
        mirror("Comment", event_is("acknowledge"), COMMENTED),
        mirror("Note", event_is("acknowledge"), told),
    )
    world.sync()
    case_id = world.case()
    world.sync()
    (incident,) = world.incidents()
    world.ana().acknowledge(incident["id"])
    world.sandbox.salesforce.delete(case_id)
    world.settle(passes=3)
    states = {one.kind: one.state for one in world.actions()}
    assert states["update_record"] == states["post_comment"] == "skipped"
    assert states["add_note"] == "applied"
    assert world.notes(incident["id"]) == ["Case '' of Ana Lopez"]


def test_hundreds_of_rows_of_one_second_over_several_pages(world: PipelineWorld) -> None:
    """The same SystemModstamp on both sides of a page's end: each row is judged once."""
    world.rules(rule("Told", PAGE_NEW["when"], {"post_comment": {"body": "seen"}}))
    world.sync()
    world.sandbox.salesforce.faults.set(page_size=50)
    fields = [
        {"object": "Case", "fields": {"Subject": f"{n}", "Priority": "High", "Status": "New"}}
        for n in range(180)
    ]
    number, _ = world.sandbox.salesforce.faults.hold(fields)
    world.sandbox.salesforce.faults.release(number)
    assert len({one["SystemModstamp"] for one in world.cases()}) == 1
    world.settle(passes=3)
    assert sorted(one["ParentId"] for one in world.comments()) == sorted(
        one["Id"] for one in world.cases()
    )
