"""A pause queues and drops nothing: of everything, or of one ruleset while the others go on."""

import pytest

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.pipeline import pausing
from tests.integration.cli_world import Shell
from tests.integration.pipeline_world import PAGE_NEW, PipelineWorld, became, rule

pytest_plugins = [
    "tests.integration.ledger_databases",
    "tests.integration.pipeline_fixtures",
    "tests.integration.cli_fixtures",
]

ESCALATE = rule(
    "Escalate",
    became("Case.Status", "Escalated"),
    {"update_record": {"fields": {"Priority": "High"}}},
)


def test_a_paused_ruleset_queues_while_the_others_go_on(both_worlds: PipelineWorld) -> None:
    """Actions of the paused ruleset wait, those of another are applied, and resuming sends the waiting ones once."""
    world = both_worlds
    world.rules(PAGE_NEW, file="a.yaml")
    world.rules(ESCALATE, file="b.yaml")
    world.sync()
    assert pausing.pause(world.ledger, "default", "Rules of a.yaml", why="a data load")
    assert not pausing.pause(world.ledger, "default", "Rules of a.yaml")
    paged, escalated = world.case(), world.case(Priority="Low")
    world.sync()
    world.edit(escalated, Status="Escalated")
    world.sync()
    assert world.incidents() == []
    assert world.record(escalated)["Priority"] == "High"
    assert pausing.resume(world.ledger, "default", "Rules of a.yaml") == 1
    world.settle()
    assert [one.record_id for one in world.links()] == [paged]
    assert len(world.incidents()) == 1


def test_a_paused_integration_queues_everything(world: PipelineWorld) -> None:
    """While all of an integration is paused nothing is written, events are judged, and all goes out afterwards."""
    world.rules(PAGE_NEW)
    world.sync()
    pausing.pause(world.ledger, "default")
    for number in range(3):
        world.case(f"Case {number}")
    with world.silence():
        told = world.sync()
    assert (told.count("matched"), told.count("applied")) == (3, 0)
    assert pausing.resume(world.ledger, "default") == 3
    world.settle()
    assert len(world.incidents()) == 3


def test_an_unknown_ruleset_cannot_be_paused(world: PipelineWorld) -> None:
    """A name that no ruleset has is refused with the near one."""
    world.rules(PAGE_NEW)
    with pytest.raises(ConfigError, match="Did you mean 'Rules of a"):
        pausing.pause(world.ledger, "default", "Rules of b.yaml")


def test_pause_and_resume_on_the_command_line(world: PipelineWorld, pdsf: Shell) -> None:
    """`pdsf pause` and `resume` say what is paused, why, and how much queued; what is not paused is an error."""
    world.rules(PAGE_NEW)
    world.sync()
    said = pdsf("pause", "--ruleset", "Rules of a.yaml", "--why", "a data load")
    assert said.code == 0
    assert "Ruleset 'Rules of a.yaml' is paused" in said.out
    assert "a data load" in said.out
    world.case()
    world.sync()
    said = pdsf("resume", "--ruleset", "Rules of a.yaml", "--json")
    assert (said.code, said.json["queued"], said.json["pauses"]) == (0, 1, [])
    said = pdsf("resume")
    assert said.code == 1
    assert "is not paused" in said.err
