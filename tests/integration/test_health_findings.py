"""What `health` finds: nothing when all is well, else one sentence for each thing that is broken."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from pd_sf_rules.ledger import Ledger, actions, cursors, tables
from pd_sf_rules.pipeline import pausing
from pd_sf_rules.pipeline.health import Health, health
from pd_sf_rules.pipeline.opening import connect_from_environment
from pd_sf_rules.settings import load_integration
from tests.integration.pipeline_world import PAGE_NEW, PipelineWorld, rule

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

BORN = {"field": "event.type", "operation": "equals", "value": "created"}


def _health(world: PipelineWorld) -> Health:
    return health(world.ledger, load_integration("default"), connect_from_environment)


def _age(ledger: Ledger, **span: float) -> None:
    """Let every open action be that much older."""
    with ledger.begin() as c:
        then = datetime.now(UTC) - timedelta(**span)
        c.execute(tables.actions.update().values(created_at=then))


def test_a_sync_that_is_well_has_no_findings(both_worlds: PipelineWorld) -> None:
    """After a busy hour nothing is found, and the figures tell lag and queue."""
    world = both_worlds
    world.paged()
    world.settle()
    found = _health(world)
    assert found.findings == []
    assert found.figures["lag_seconds"]["salesforce:Case"] < 60
    assert found.figures["actions"] == {"pending": 0, "claimed": 0, "failed": 0}
    assert found.figures["budgets"]["salesforce"]["allowed"] > 0


def test_each_broken_connection_is_one_sentence(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused key names its connection, once, and no secret is told."""
    world.paged()
    broken = json.loads(world.sandbox.connections["AIRFLOW_CONN_PAGERDUTY_DEFAULT"])
    broken["password"] = "no-such-key-9f8e7d"
    monkeypatch.setenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT", json.dumps(broken))
    (said,) = _health(world).findings
    assert "pagerduty_default" in said
    assert "no-such-key" not in said


def test_a_stream_that_nobody_reads_is_late(world: PipelineWorld) -> None:
    """After an hour without a run every stream that is to be read is named, and no other."""
    world.cross_comments()
    world.paged()
    with world.ledger.begin() as c:
        cursors.start_cursor(c, "default", "salesforce:Gone__c", world.clock())
    world.clock.pass_(hours=1)
    found = _health(world).findings
    assert [said.split(" was read")[0] for said in found] == [
        f"default: {stream}"
        for stream in (
            "notes:pagerduty",
            "notes:salesforce",
            "pagerduty:log_entries",
            "salesforce:Case",
        )
    ]
    assert all("61 minutes" in said or "60 minutes" in said for said in found)


def test_names_that_pagerduty_has_no_more_are_found(world: PipelineWorld) -> None:
    """Service, priority, person and workflow of an enabled rule are looked up, each bad one told with a near name."""
    bad = rule(
        "Bad",
        BORN,
        {"create_incident": {"service": "Suport P1", "title": "x", "priority": "P9"}},
        {"run_incident_workflow": {"workflow": "No such workflow"}},
        {"add_responders": {"users": ["nobody@acme.example"], "message": "help"}},
    )
    world.rules(PAGE_NEW, bad)
    world.rules(bad, file="off.yaml", name="Off", enabled=False)
    found = _health(world).findings
    assert len(found) == 4
    assert all(said.startswith("a.yaml: rule 'Bad'") for said in found)
    assert "Did you mean 'Support P1'" in found[0]


def test_a_broken_ruleset_file_is_found(world: PipelineWorld) -> None:
    """A file that cannot be used is named with its first error and with what stays in force."""
    world.rules(PAGE_NEW)
    world.sync()
    world.rules_text("version: 1\nname: [", "b.yaml")
    (said,) = _health(world).findings
    assert "b.yaml (not in force)" in said


def test_a_broken_integration_file_is_found(world: PipelineWorld) -> None:
    """Another integration's file that cannot be used is named with its key, and stops nothing else."""
    world.settings()
    world.paged()
    (world.home / "integrations" / "eu.yaml").write_text("name: eu\npoll_seconds: often\n")
    (said,) = _health(world).findings
    assert "eu.yaml: poll_seconds: " in said


def test_failed_and_held_actions_are_found(world: PipelineWorld) -> None:
    """What failed for good and what a breaker holds are told with their number."""
    world.settings(limits={"incidents_per_rule": {"count": 2, "minutes": 10}})
    world.rules(PAGE_NEW)
    world.sync()
    refused = world.fault(
        "answer", "pagerduty", "POST", "/incidents", status=400, body={"error": {"message": "No."}}
    )
    for number in range(5):
        world.case(f"Case {number}")
    world.sync()
    assert world.hits(refused) == 1
    said = " ".join(_health(world).findings)
    assert "1 action(s) failed for good" in said
    assert "a breaker holds 3 action(s)" in said


def test_an_action_that_waits_for_long_is_found_unless_somebody_paused_it(
    world: PipelineWorld,
) -> None:
    """An hour-old pending action is a finding; under a pause it is none, and the pause is told."""
    world.rules(PAGE_NEW)
    world.sync()
    pausing.pause(world.ledger, "default", "Rules of a.yaml", who="Ana", why="load")
    world.case()
    world.sync()
    _age(world.ledger, hours=1)
    found = _health(world)
    assert found.findings == []
    assert found.figures["pauses"][0].startswith("Ruleset 'Rules of a.yaml' is paused")
    with world.ledger.read() as c:
        assert len(actions.open_actions(c, "default", state="pending")) == 1
    pausing.resume(world.ledger, "default", "Rules of a.yaml")
    (said,) = _health(world).findings
    assert "1 action(s) wait, the oldest for 60 minutes" in said


def test_a_short_api_allowance_is_found(world: PipelineWorld) -> None:
    """Below the reserve the figures and what waits for them are told."""
    world.paged()
    world.sandbox.salesforce.faults.set(daily_allowance=10_000)
    world.sandbox.salesforce.faults.set_usage(9_500)
    world.sync("salesforce")
    (said,) = _health(world).findings
    assert "of 10000 API calls used" in said
