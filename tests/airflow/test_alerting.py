"""Silence is noticed: runs that do not end, parts of Airflow that died, DAGs that are off, files that are broken."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from embedded.rest import wait_until
from tests.airflow.sync_world import (
    PATIENT,
    SHARED,
    SLOW,
    STUCK_AFTER_SECONDS,
    SyncWorld,
    eventually,
)
from tests.integration.pipeline_world import PAGE_NEW

pytestmark = pytest.mark.xdist_group(SHARED)

STUCK = f"pagerduty_to_salesforce__{SLOW}"
HANGS = STUCK_AFTER_SECONDS + 10
"""Seconds for which an answer does not come: longer than a run may take, shorter than a client waits."""


@pytest.fixture
def world(shared_sync: SyncWorld) -> Iterator[SyncWorld]:
    """The shared Airflow, left as it was found."""
    yield shared_sync
    shared_sync.sides.sandbox.faults.clear()


def events(world: SyncWorld, dag_id: str) -> list[dict[str, Any]]:
    """The alert events about a DAG that arrived, oldest first."""
    sent = world.sides.writes("pagerduty", path="/v2/enqueue")
    return [one.body for one in sent if one.body["dedup_key"] == f"pdsf/{dag_id}"]


def told(world: SyncWorld, dag_id: str) -> list[str]:
    """What those events did: trigger or resolve."""
    return [str(one["event_action"]) for one in events(world, dag_id)]


def test_a_stuck_run_pages_once_and_clears(world: SyncWorld) -> None:
    """An answer that does not come raises one alert, however many runs wait behind; the run's good end resolves it."""
    world.airflow.unpause(STUCK)
    eventually(lambda: world.rung(STUCK), "a first run")
    eventually(lambda: resting(world), "the runs that are due to end")
    before = len(told(world, STUCK))
    fault = world.sides.fault("slow", "pagerduty", "GET", "/log_entries", seconds=HANGS, times=None)
    try:
        world.airflow.trigger(STUCK)
        world.sides.wait_for_hit(fault)
        behind = world.airflow.trigger(STUCK)
        eventually(lambda: told(world, STUCK)[before:], "an alert")
    finally:
        world.sides.sandbox.faults.remove(fault)
    assert world.airflow.wait_for_run(STUCK, behind, timeout=PATIENT) == "success"
    eventually(lambda: told(world, STUCK)[before:] == ["trigger", "resolve"], "the alert's end")
    world.airflow.pause(STUCK)
    summary = events(world, STUCK)[before]["payload"]["summary"]
    assert summary.startswith(f"{STUCK}: run ")
    assert "after 0.2 minutes" in summary
    assert told(world, STUCK)[before:] == ["trigger", "resolve"]


def resting(world: SyncWorld) -> bool:
    """Whether no run of the slow integration is under way."""
    return all(run["state"] in {"success", "failed"} for run in world.airflow.runs(STUCK))


def health(world: SyncWorld) -> tuple[str, list[str]]:
    """Run `health` by hand: how it ended, and what it found."""
    run_id = world.airflow.trigger("health")
    state = world.airflow.wait_for_run("health", run_id, timeout=PATIENT)
    return state, world.airflow.xcom("health", run_id, "examine_the_sync")["findings"]


def test_health_notices_silence(world: SyncWorld) -> None:
    """A dead triggerer, a DAG that is off and a broken file are each a sentence of one alert, which clears."""
    world.airflow.unpause("health")
    wait_until(lambda: health(world)[0] == "success" or None, what="good health", timeout=PATIENT)
    before = len(incidents(world, "health"))
    spoilt = world.sides.home / "integrations" / "spoilt.yaml"
    spoilt.write_text("name: spoilt\npoll_seconds: often\n")
    world.airflow.pause("pagerduty_to_salesforce")
    triggerer = world.airflow.components.pids()["triggerer"]
    os.kill(triggerer, signal.SIGKILL)
    try:
        eventually(lambda: world.airflow.health()["triggerer"] == "unhealthy", "a dead triggerer")
        state, found = health(world)
    finally:
        spoilt.unlink()
        world.airflow.unpause("pagerduty_to_salesforce")
        wait_until(lambda: restarted(world, triggerer), what="a triggerer", timeout=PATIENT)
    assert state == "failed"
    said = "\n".join(found)
    assert "Airflow's triggerer is dead" in said
    assert "DAG pagerduty_to_salesforce is switched off" in said
    assert "spoilt.yaml: poll_seconds: " in said
    assert len(found) == 3
    eventually(lambda: health(world)[0] == "success", "good health")
    eventually(lambda: incidents(world, "health")[before:] == ["resolved"], "the alert's end")
    world.airflow.pause("health")


def incidents(world: SyncWorld, dag_id: str) -> list[str]:
    """The states of the incidents that the alerts about a DAG opened, oldest first."""
    found = world.sides.incidents()
    return [str(one["status"]) for one in found if one["title"].startswith(f"{dag_id}: ")]


def restarted(world: SyncWorld, before: int) -> bool | None:
    """Whether another triggerer has come up: looked after as `make up` does."""
    world.airflow.components.restart_ended()
    pids = world.airflow.components.pids()
    return (
        pids["triggerer"] != before and world.airflow.health()["triggerer"] == "healthy"
    ) or None


def test_a_broken_integration_file_is_shown_by_name(world: SyncWorld) -> None:
    """In Airflow's UI it is one import error; the DAGs of the others stay, and it goes with the mended file."""
    spoilt = world.sides.home / "integrations" / "spoilt.yaml"
    spoilt.write_text("name: spoilt\npoll_seconds: often\n")
    try:
        errors = eventually(world.airflow.import_errors, "an import error")
    finally:
        spoilt.unlink()
    ((path, text),) = errors.items()
    assert path.endswith("integration_files.py")
    assert "spoilt.yaml: poll_seconds: " in text
    assert world.airflow.wait_for_dag("salesforce_to_pagerduty")["is_paused"] is False
    eventually(lambda: not world.airflow.import_errors(), "the import error's end")


def test_deadlines_make_no_new_versions(world: SyncWorld) -> None:
    """A DAG that nobody changed keeps its version, however often its file is parsed."""
    path = "/dags/salesforce_to_pagerduty/dagVersions"
    seen = world.airflow.call("GET", path)["total_entries"]
    dag = world.airflow.wait_for_dag("salesforce_to_pagerduty")
    for _ in range(2):
        before = dag["last_parsed_time"]
        world.airflow.unpause("salesforce_to_pagerduty")

        def parsed(before: str = before) -> dict[str, Any] | None:
            now = world.airflow.wait_for_dag("salesforce_to_pagerduty")
            return now if now["last_parsed_time"] != before else None

        dag = eventually(parsed, "the file to be parsed")
    assert world.airflow.call("GET", path)["total_entries"] == seen


def test_the_rules_are_what_makes_a_dag_needed(world: SyncWorld) -> None:
    """A DAG that no rule and no comment needs may be off without anybody hearing of it."""
    world.airflow.unpause("health")
    sides = world.sides
    kept = {p: p.read_text() for p in (sides.home / "rulesets").glob("*.yaml")}
    settings = (sides.home / "integrations" / "default.yaml").read_text()
    sides.rules(PAGE_NEW)
    sides.settings(poll_seconds=1)
    for dag_id in ("pagerduty_to_salesforce", "note_sync"):
        world.airflow.pause(dag_id)
    try:
        assert [one for one in health(world)[1] if "switched off" in one] == []
    finally:
        for path, text in kept.items():
            path.write_text(text)
        (sides.home / "integrations" / "default.yaml").write_text(settings)
        for dag_id in ("pagerduty_to_salesforce", "note_sync"):
            world.airflow.unpause(dag_id)
        world.airflow.pause("health")
