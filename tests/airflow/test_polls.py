"""What a trigger's poll tells of one look after the other, and what it does when it cannot look."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from pd_sf_rules.hooks.stored import stored_connection
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Source
from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.pipeline.sync import judge_pending, pull
from pd_sf_rules.triggers.doorbell import EVERYTHING, NOTES, NOTHING, RULES
from pd_sf_rules.triggers.poll import LONGEST_PAUSE_SECONDS, Poll
from tests.integration.pipeline_world import PAGE_NEW, PipelineWorld, rule

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

Opener = Callable[[Source], Poll]
RULED = frozenset({RULES})
DEALS = rule(
    "Deals",
    {"field": "Opportunity.Name", "operation": "changed"},
    {"create_incident": {"service": "Deal desk", "title": "{{ record.Name }}"}},
    object="Opportunity",
)


@pytest.fixture
def polling(world: PipelineWorld) -> Iterator[Opener]:
    """Opens polls that have had their first look, with a rule on Case in force."""
    world.rules(PAGE_NEW)
    opened: list[Poll] = []

    def make(system: Source) -> Poll:
        poll = Poll(system, "default", stored_connection, lambda: world.ledger)
        opened.append(poll)
        assert poll.look() == NOTHING
        return poll

    yield make
    for poll in opened:
        poll.close()


def test_a_change_is_told_once(world: PipelineWorld, polling: Opener) -> None:
    """A Case that changed is told by the next look; that it is there is no news afterwards."""
    poll = polling(SALESFORCE)
    case_id = world.case()
    assert [poll.look(), poll.look()] == [RULED, NOTHING]
    world.edit(case_id, Status="Working")
    world.clock.pass_(seconds=1)
    assert poll.look() in (RULED, NOTHING)  # stamps have whole seconds
    world.edit(case_id, Status="Escalated")
    assert [poll.look(), poll.look(), poll.look()] == [RULED, NOTHING, NOTHING]


def test_a_row_that_becomes_visible_late_is_told(world: PipelineWorld, polling: Opener) -> None:
    """A transaction that commits after newer rows were seen is told all the same, once."""
    poll = polling(SALESFORCE)
    fields = {"Subject": "Late", "Status": "New", "Origin": "Web"}
    number, _ = world.sandbox.salesforce.faults.hold([{"object": "Case", "fields": fields}])
    world.clock.pass_(seconds=30)
    world.case("Newer")
    assert [poll.look(), poll.look()] == [RULED, NOTHING]
    world.sandbox.salesforce.faults.release(number)
    assert [poll.look(), poll.look()] == [RULED, NOTHING]


def test_the_fixed_instant_moves_without_a_ring(world: PipelineWorld, polling: Opener) -> None:
    """Rows that drop out of the count with time are no change; one beside them is."""
    poll = polling(SALESFORCE)
    world.case()
    assert poll.look() == RULED
    for _ in range(4):
        world.clock.pass_(minutes=9)
        assert poll.look() == NOTHING
    world.case("Another")
    assert poll.look() == RULED


def test_what_it_is_about(world: PipelineWorld, polling: Opener) -> None:
    """Comments and notes are told apart from the rest, so that each DAG runs for its own."""
    world.cross_comments()
    salesforce, pagerduty = polling(SALESFORCE), polling(PAGERDUTY)
    case_id = world.case()
    assert salesforce.look() == RULED
    world.sandbox.salesforce.comment(case_id, "Hello")
    assert salesforce.look() in (frozenset({NOTES}), EVERYTHING)  # a comment also touches its Case
    made = world.ana().create_incident("Checkout", "Slow")
    assert pagerduty.look() == EVERYTHING  # the first of the account: nothing else is known
    world.ana().acknowledge(made["id"])
    assert [pagerduty.look(), pagerduty.look()] == [RULED, NOTHING]
    world.ana().add_note(made["id"], "Hm")
    assert [pagerduty.look(), pagerduty.look()] == [EVERYTHING, NOTHING]


def test_one_call_a_look(world: PipelineWorld, polling: Opener) -> None:
    """However many objects are watched, a look is one call."""
    world.cross_comments()
    world.rules(DEALS, file="b.yaml")
    for system in (SALESFORCE, PAGERDUTY):
        poll = polling(system)
        before = world.sandbox.traffic.totals(system)["calls"]
        for _ in range(3):
            poll.look()
        assert world.sandbox.traffic.totals(system)["calls"] - before == 3


def test_a_look_fills_no_log(polling: Opener) -> None:
    """The line that the HTTP library writes for each request would be 86,400 a day in the triggerer's log."""
    library = logging.getLogger("httpx2")
    before = library.level
    library.setLevel(logging.INFO)
    try:
        assert polling(PAGERDUTY).look() == NOTHING
        assert not library.isEnabledFor(logging.INFO)
    finally:
        library.setLevel(before)


def test_edited_rules_are_watched_from_the_next_look(world: PipelineWorld, polling: Opener) -> None:
    """A rule on another object needs no restart; a file that vanishes or breaks stops nothing."""
    poll = polling(SALESFORCE)
    deal = {"Name": "Big", "StageName": "Prospecting", "CloseDate": "2030-01-01"}
    world.sandbox.salesforce.create("Opportunity", deal)
    assert poll.look() == NOTHING
    on_deals = world.rules(DEALS, file="b.yaml")
    assert poll.look() == RULED
    (on_deals.parent / "c.yaml").symlink_to(on_deals.parent / "gone.yaml")
    on_deals.write_text("version: 1\nname: [broken")
    assert poll.look() in (NOTHING, RULED)
    world.sandbox.salesforce.create("Opportunity", {**deal, "Name": "Bigger"})
    assert poll.look() == RULED


def test_what_is_due_again_is_told_once(world: PipelineWorld, polling: Opener) -> None:
    """An action that waits for its next try rings its own side when the time has come, once a try."""
    salesforce, pagerduty = polling(SALESFORCE), polling(PAGERDUTY)
    fault = world.fault("server_error", "pagerduty", "POST", "/incidents", times=None)
    attempt(world)
    with time_machine.travel(utc_now(), tick=False) as clock:
        world.case()
        attempt(world)
        assert salesforce.look() is not None
        pagerduty.look()
        (waiting,) = world.actions()
        assert waiting.state == "pending"
        assert waiting.retry_at is not None
        clock.move_to(waiting.retry_at - timedelta(seconds=0.1))
        assert RULES not in (salesforce.look() or NOTHING)
        clock.move_to(waiting.retry_at)
        assert [salesforce.look(), salesforce.look()] == [RULED, NOTHING]
        assert pagerduty.look() == NOTHING
    world.sandbox.faults.remove(fault)


def attempt(world: PipelineWorld) -> None:
    """One pass from Salesforce that does not wait for a next try."""
    with world.run() as run:
        pull(run, "salesforce")
        judge_pending(run, "salesforce")
        apply(run, "salesforce")


def spoil_key(world: PipelineWorld, patch: pytest.MonkeyPatch) -> str:
    """Somebody revokes the key."""
    spoilt = {**world.sandbox.pagerduty_connection(), "password": "no-such-key"}
    patch.setenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT", json.dumps(spoilt))
    return "pagerduty_default"


def spoil_variable(world: PipelineWorld, patch: pytest.MonkeyPatch) -> str:
    """Somebody's editor ate a bracket."""
    patch.setenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT", '{"conn_type": "pagerduty"')
    return "not valid JSON"


def spoil_connection(world: PipelineWorld, patch: pytest.MonkeyPatch) -> str:
    """Somebody deletes the connection."""
    patch.delenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT")
    return "'pagerduty_default': is not defined"


def spoil_server(world: PipelineWorld, patch: pytest.MonkeyPatch) -> str:
    """The server is gone."""
    spoilt = world.sandbox.pagerduty_connection()
    spoilt["extra"] = {"base_url": "http://127.0.0.1:9"}
    patch.setenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT", json.dumps(spoilt))
    return "pagerduty"


def spoil_settings(world: PipelineWorld, patch: pytest.MonkeyPatch) -> str:
    """Somebody saves half an integration file."""
    world.settings(poll_seconds="often")
    return "default.yaml: poll_seconds"


def spoil_rules_folder(world: PipelineWorld, patch: pytest.MonkeyPatch) -> str:
    """The folder of the rules is not mounted."""
    patch.setenv("PDSF_RULESETS_DIR", str(world.home / "nowhere"))
    return "PDSF_RULESETS_DIR"


TROUBLES: list[tuple[Source, Callable[[PipelineWorld, pytest.MonkeyPatch], str]]] = [
    (PAGERDUTY, spoil_key),
    (PAGERDUTY, spoil_variable),
    (PAGERDUTY, spoil_connection),
    (PAGERDUTY, spoil_server),
    (PAGERDUTY, spoil_settings),
    (SALESFORCE, spoil_settings),
    (SALESFORCE, spoil_rules_folder),
]


@pytest.mark.parametrize(("system", "spoil"), TROUBLES)
def test_a_trouble_is_outlasted(
    system: Source,
    spoil: Callable[[PipelineWorld, pytest.MonkeyPatch], str],
    world: PipelineWorld,
    polling: Opener,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged once with its cause, looks become rarer, and when it is mended everything rings."""
    poll = polling(system)
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        words = spoil(world, patch)
        poll.close()  # what is open now knows nothing of it yet
        looks = [(poll.look(), poll.pause(10.0)) for _ in range(7)]
    assert [seen for seen, _ in looks] == [None] * 7
    pauses = [pause for _, pause in looks]
    assert 10.0 <= pauses[0] <= 20.0
    assert pauses[-1] > LONGEST_PAUSE_SECONDS / 2 - 1
    assert max(pauses) <= LONGEST_PAUSE_SECONDS
    warned = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert len([one for one in warned if words in one]) >= 1
    assert len(warned) <= 2  # one of the system, one of the retries
    assert "Traceback" not in caplog.text
    world.settings()
    assert poll.look() == EVERYTHING
    assert poll.pause(10.0) == 10.0
    assert poll.look() == NOTHING


def test_without_a_ledger_changes_are_told_all_the_same(
    world: PipelineWorld, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A ledger that cannot be opened hides retries, not changes."""
    world.rules(PAGE_NEW)

    def no_ledger() -> Any:
        raise OSError("the disk is gone")

    poll = Poll(SALESFORCE, "default", stored_connection, no_ledger)
    assert poll.look() == NOTHING
    world.case()
    assert poll.look() == RULED
    assert caplog.text.count("the disk is gone") == 1
    poll.close()


def test_a_bug_is_outlasted_too(world: PipelineWorld, caplog: pytest.LogCaptureFixture) -> None:
    """Something that nobody thought of is logged with its traceback, once, and does not end the poll."""

    def surprise(conn_id: str) -> Any:
        raise ZeroDivisionError(conn_id)

    poll = Poll(PAGERDUTY, "default", surprise, lambda: world.ledger)
    assert [poll.look(), poll.look()] == [None, None]
    assert caplog.text.count("Traceback") == 1
