"""When an API allowance runs short, paging goes on and what can wait waits, and is caught up later."""

import pytest

from pd_sf_rules.errors import RateLimitedError
from pd_sf_rules.ledger import cursors
from pd_sf_rules.model import Window
from pd_sf_rules.pipeline.pull_notes import COMMENT_STREAM, pull_notes
from tests.integration.pipeline_world import PAGE_NEW, PipelineWorld

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]


def _use(world: PipelineWorld, percent: int) -> None:
    """So much of Salesforce's daily allowance is used, and the sync has heard of it."""
    world.sandbox.salesforce.faults.set(daily_allowance=10_000)
    world.sandbox.salesforce.faults.set_usage(percent * 100)
    world.sync("salesforce")


def test_notes_wait_while_the_reserve_is_reached(world: PipelineWorld) -> None:
    """With less than the reserve left a comment does not cross, paging goes on, and the comment crosses afterwards."""
    world.cross_comments()
    case_id, incident_id = world.paged()
    world.sync()
    _use(world, 95)
    world.sandbox.salesforce.create("CaseComment", {"ParentId": case_id, "CommentBody": "Hello"})
    other = world.case("Another outage")
    before = world.sandbox.traffic.last_number()
    world.sync("notes")
    assert world.sandbox.traffic.requests("salesforce", after=before) == []
    world.sync("salesforce", "notes")
    assert len(world.links_of(other)) == 1
    assert world.notes(incident_id) == []
    _use(world, 20)
    world.settle()
    assert len(world.notes(incident_id)) == 1


def test_a_window_asked_for_by_hand_says_that_it_waits(world: PipelineWorld) -> None:
    """A backfill of notes under the reserve fails with the server's figures, so that it is tried again."""
    world.cross_comments()
    world.rules(PAGE_NEW)
    world.sync()
    _use(world, 95)
    with world.ledger.read() as c:
        cursor = cursors.get_cursor(c, "default", COMMENT_STREAM)
    assert cursor is not None
    with world.run() as run, pytest.raises(RateLimitedError, match="of 10000 API calls used"):
        pull_notes(run, given=Window(cursor.started_at, cursor.position, moves_cursor=False))


def test_no_reserve_sheds_nothing(world: PipelineWorld) -> None:
    """With a reserve of 0 % comments cross to the last call."""
    world.settings(comments={"salesforce_to_pagerduty": True}, limits={"api_reserve_percent": 0})
    case_id, incident_id = world.paged()
    world.sync()
    _use(world, 99)
    world.sandbox.salesforce.create("CaseComment", {"ParentId": case_id, "CommentBody": "Hello"})
    world.settle()
    assert len(world.notes(incident_id)) == 1
