"""What Airflow's triggerer does when a run misses its deadline: which runs page, how often, and what is said."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from pd_sf_rules import notifications
from pd_sf_rules.errors import RetryableError
from pd_sf_rules.hooks.runs import ledger_of_process
from tests.integration.pipeline_world import PipelineWorld
from tests.own_loop import run_in_own_loop

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

DAG = "salesforce_to_pagerduty"


@pytest.fixture
def alerting(world: PipelineWorld) -> Iterator[PipelineWorld]:
    """A world whose ledger this process opens anew."""
    ledger_of_process.cache_clear()
    yield world
    ledger_of_process().close()
    ledger_of_process.cache_clear()


async def missed(state: str = "running", run_type: str = "asset_triggered", run: str = "r1") -> str:
    """A run in that state has missed its deadline: what the callback says it did."""
    told = {"dag_id": DAG, "dag_run_id": run, "state": state, "run_type": run_type}
    return await notifications.alert_about_stuck_run(
        integration="default", pagerduty_conn_id="pagerduty_default", minutes=30.0,
        context={"dag_run": told},
    )  # fmt: skip


def sent(world: PipelineWorld) -> list[dict[str, Any]]:
    """The bodies that the Events API received."""
    return [one.body for one in world.writes("pagerduty", path="/v2/enqueue")]


def test_runs_that_wait_for_one_another_page_once(alerting: PipelineWorld) -> None:
    """Deadlines that pass in the same moment raise one event, which names the DAG, the run and the time."""

    async def together() -> list[str]:
        behind = [missed("queued", run=f"r{number}") for number in range(2, 5)]
        return list(await asyncio.gather(missed(), *behind))

    assert sorted(run_in_own_loop(together())) == ["alert sent", *["the alert is open already"] * 3]
    (event,) = sent(alerting)
    assert (event["event_action"], event["dedup_key"]) == ("trigger", f"pdsf/{DAG}")
    assert f"{DAG}: run r" in event["payload"]["summary"]
    assert "after 30 minutes" in event["payload"]["summary"]


@pytest.mark.parametrize(
    ("state", "run_type"),
    [("success", "scheduled"), ("failed", "scheduled"), ("queued", "backfill")],
)
def test_who_has_ended_or_waits_its_turn_pages_nobody(
    alerting: PipelineWorld, state: str, run_type: str
) -> None:
    """A run that ended meanwhile was told of already, and a backfill's many runs take their time."""
    assert run_in_own_loop(missed(state, run_type)).startswith("nothing to tell")
    assert sent(alerting) == []


def test_an_alert_that_was_not_sent_is_not_taken_for_open(alerting: PipelineWorld) -> None:
    """An Events API that is down is Airflow's to see as a failed callback, and the next deadline tries again."""
    fault = alerting.fault("server_error", "pagerduty", "POST", "/v2/enqueue", times=None)
    with pytest.raises(RetryableError, match="could not be sent"):
        run_in_own_loop(missed())
    alerting.sandbox.faults.remove(fault)
    assert run_in_own_loop(missed()) == "alert sent"
