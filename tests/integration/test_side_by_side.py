"""Actions carried out side by side: what is under way is nobody else's, and what is not there is left alone."""

import threading
from typing import Any

import pytest

from pd_sf_rules.pipeline import apply
from tests.integration.pipeline_world import PAGE_NEW, PipelineWorld, became, rule

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

WORKING = became("Case.Status", "Working")
FREE = {name: {"count": 0, "minutes": 10} for name in ("incidents_per_rule", "incidents")}


def _working(world: PipelineWorld, action: dict[str, Any], cases: int) -> None:
    """A world with some paged Cases, which all are worked on now."""
    world.settings(limits=FREE)
    world.rules(PAGE_NEW, rule("Tell", WORKING, action))
    world.sync("salesforce")
    made = [world.case(f"Case {at}") for at in range(cases)]
    world.sync("salesforce")
    for one in made:
        world.edit(one, Status="Working")


def test_a_request_under_way_is_nobody_elses(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wave that outlasts its claims loses none that is under way: another worker leaves the note to it."""
    _working(world, {"add_note": {"content": "On it"}}, 1)
    monkeypatch.setattr(apply, "LEASE_SECONDS", 0)
    slow = world.fault("slow", "pagerduty", "POST", "/notes$", times=1, seconds=2.0)
    worker = threading.Thread(target=lambda: world.sync("salesforce"))
    worker.start()
    world.wait_for_hit(slow)
    world.sync("salesforce")
    worker.join()
    (incident,) = world.incidents()
    assert world.notes(incident["id"]) == ["On it"]
    assert (world.action("add_note").state, world.action("add_note").attempt) == ("applied", 1)
