"""A person switches a ruleset on or off beside its file: it holds in every pass until it is taken back."""

import pytest

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import Ledger, switches
from pd_sf_rules.ledger.hits import hits
from pd_sf_rules.pipeline.status import ruleset_states
from pd_sf_rules.pipeline.switching import turn
from tests.integration.ledger_rows import NOW, later, plan
from tests.integration.pipeline_world import PAGE_NEW, PipelineWorld, became, rule

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

WATCH = rule("Watch", became("Case.Status", "Escalated"), {"add_note": {"content": "Escalated"}})
"""Keeps Case read, so that what happens while the other ruleset is off is seen and left alone."""


def test_switched_off_does_nothing(both_worlds: PipelineWorld) -> None:
    """A ruleset that its file enables rests while it is switched off, and works again when that is taken back."""
    world = both_worlds
    world.rules(PAGE_NEW)
    world.rules(WATCH, file="b.yaml")
    world.sync()
    turn(world.ledger, "a.yaml", enabled=False, who="ada", why="too many pages")
    world.case()
    world.sync()
    assert world.incidents() == []
    turn(world.ledger, "a.yaml", enabled=None, who="ada", why="")
    world.case()
    world.sync()
    assert len(world.incidents()) == 1


def test_switched_on_acts(world: PipelineWorld) -> None:
    """A ruleset that its file leaves off acts when it is switched on."""
    world.rules(PAGE_NEW, enabled=False)
    world.sync()
    turn(world.ledger, "a.yaml", enabled=True, who="ada", why="go live")
    world.sync()
    world.case()
    world.sync()
    assert len(world.incidents()) == 1


def test_status_tells_what_holds(world: PipelineWorld) -> None:
    """What `pdsf status` and the pages call in force is what the switch says."""
    world.rules(PAGE_NEW)
    turn(world.ledger, "a.yaml", enabled=False, who="ada", why="")
    (one,) = ruleset_states(world.ledger, {"default"})
    assert one.state == "off"
    assert one.switched.startswith("switched off by ada ")


def test_the_last_good_version_is_switched_too(world: PipelineWorld) -> None:
    """A file that broke after it was switched off does not come back to life by its last good version."""
    world.rules(PAGE_NEW)
    world.sync()
    turn(world.ledger, "a.yaml", enabled=False, who="ada", why="")
    world.rules_text("version: 1\nname: [")
    world.case()
    world.sync()
    assert world.incidents() == []


def test_an_unknown_file_is_refused(world: PipelineWorld) -> None:
    """Nobody switches what is not there; the sentence says what is."""
    world.rules(PAGE_NEW)
    with pytest.raises(ConfigError, match=r"no ruleset file 'b\.yaml'.*Known are: a\.yaml"):
        turn(world.ledger, "b.yaml", enabled=True, who="ada", why="")


def test_turns_are_kept(ledger: Ledger) -> None:
    """Each turn is remembered with who and why, the last one first and alone in force."""
    with ledger.begin() as c:
        for n, enabled in enumerate((True, False, None, False)):
            switches.turn(
                c, switches.Switch("a.yaml", enabled, later(n), f"person {n}", f"why {n}")
            )
        switches.turn(c, switches.Switch("b.yaml", True, NOW, "ada", ""))
        switches.turn(c, switches.Switch("b.yaml", None, NOW, "ada", ""))
    with ledger.read() as c:
        turned = switches.turns_of(c, "a.yaml")
        assert [one.enabled for one in turned] == [False, None, False, True]
        assert switches.in_force(c) == {"a.yaml": turned[0]}
    assert turned[0] == switches.Switch("a.yaml", False, later(3), "person 3", "why 3")


def test_matches_are_counted(ledger: Ledger) -> None:
    """A rule's matches are counted once each since every instant asked for; one that never matched has none."""
    with ledger.begin() as c:
        plan(c, "action-1", "action-2")
    names = [("Critical cases", "Page support"), ("Critical cases", "No such rule")]
    with ledger.read() as c:
        found = hits(c, names, [later(-60), later(60)])
    assert list(found[names[0]].since) == [2, 0]
    assert found[names[0]].last == NOW
    assert (list(found[names[1]].since), found[names[1]].last) == ([0, 0], None)
