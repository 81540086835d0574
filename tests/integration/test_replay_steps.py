"""Many failed actions are queued again in steps: in the order of their events, and nothing that a breaker holds."""

from typing import Any

from sqlalchemy import Connection, Engine, event, select, update

from pd_sf_rules.ledger import Ledger, actions, events, tables
from pd_sf_rules.ledger.inserts import CHUNK
from pd_sf_rules.ledger.storms import HELD
from pd_sf_rules.pipeline import replay
from tests.integration.ledger_rows import an_action, an_event
from tests.integration.pipeline_world import PAGE_NEW, PipelineWorld

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

STATE = tables.actions.c.state


def _all_are(c: Connection, **values: Any) -> None:
    c.execute(update(tables.actions).values(**values))


def test_what_happened_first_is_queued_first(ledger: Ledger) -> None:
    """After each step the actions queued are the first ones, however their ids sort: a worker may take them at once."""
    planned = [an_action(f"{CHUNK + 1 - at:04}") for at in range(CHUNK + 2)]
    with ledger.begin() as c:
        events.add_event(c, an_event())
        actions.add_actions(c, planned)
        _all_are(c, state="failed")
    in_order = [one.id for one in planned]
    steps: list[set[str]] = []

    def look(c: Connection) -> None:
        steps.append(set(c.scalars(select(tables.actions.c.id).where(STATE == "pending"))))

    event.listen(Engine, "commit", look)
    try:
        queued = replay.queue_again(ledger, "default", in_order)
    finally:
        event.remove(Engine, "commit", look)
    assert {one.id for one in queued} == set(in_order)
    written = [some for some in steps if some]
    assert [len(some) for some in written] == [CHUNK, CHUNK + 2]
    assert written[0] == set(in_order[:CHUNK])


def test_what_a_breaker_holds_meanwhile_is_not_replayed(world: PipelineWorld) -> None:
    """A page that is held between the look at the plan and the yes to it waits for its own decision."""
    world.rules(PAGE_NEW)
    world.sync("salesforce")
    world.case()
    no = {"error": {"message": "No", "errors": ["No"]}}
    world.fault("answer", "pagerduty", "POST", "/incidents$", times=None, status=400, body=no)
    world.sync("salesforce")
    world.sandbox.faults.clear()
    wanted = replay.failed_actions(world.ledger, "default")
    assert len(wanted) == 1
    with world.ledger.begin() as c:
        _all_are(c, error_kind=HELD, storm="rule: Page")
    with world.run() as run, world.silence():
        replay.replay_actions(run, wanted)
    (page,) = world.actions("create_incident")
    assert (page.state, page.error_kind) == ("failed", HELD)
    assert world.incidents() == []
