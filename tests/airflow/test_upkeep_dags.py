"""What looks after the sync, in a real Airflow: a question about a storm, health, reconcile, replay, retention."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.airflow.sync_world import PATIENT, SHARED, SyncWorld, eventually, usual_rules
from tests.integration.pipeline_world import PAGE_NEW, event_is, mirror, rule

pytestmark = pytest.mark.xdist_group(SHARED)

TO_PAGERDUTY, TO_SALESFORCE = "salesforce_to_pagerduty", "pagerduty_to_salesforce"
STORMS, ASK, DECIDE = "held_storms", "ask_what_to_do", "carry_out_the_decision"
SUMMARY = "Release as one summary incident"
PAGE_FEW = PAGE_NEW | {"name": "Page few"}
ACKED = mirror(
    "Acked", event_is("acknowledge"), {"update_record": {"fields": {"Status": "Working"}}}
)


@pytest.fixture(scope="module")
def world(shared_sync: SyncWorld) -> Iterator[SyncWorld]:
    """The shared Airflow with a paging rule whose breaker lets two incidents out, and all upkeep on."""
    sides = shared_sync.sides
    sides.settings(poll_seconds=1, limits={"incidents_per_rule": {"count": 2, "minutes": 60}})
    sides.rules(PAGE_FEW, ACKED)
    for dag_id in ("health", "reconcile", "ledger_maintenance"):
        shared_sync.airflow.wait_for_dag(dag_id, timeout=PATIENT)
        shared_sync.airflow.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})
    for dag_id in ("replay", STORMS):  # these are never paused
        shared_sync.airflow.wait_for_dag(dag_id, timeout=PATIENT)
    yield shared_sync
    shared_sync.airflow.pause("health")
    usual_rules(sides)


def result(world: SyncWorld, dag_id: str, task_id: str, **form: Any) -> tuple[str, Any]:
    """Start a run with a form and wait for its end: its state and what its task returned."""
    run_id = world.airflow.trigger(dag_id, form)
    state = world.airflow.wait_for_run(dag_id, run_id, timeout=PATIENT)
    return state, world.airflow.xcom(dag_id, run_id, task_id)


def test_a_person_is_asked_once_and_the_sync_goes_on(world: SyncWorld) -> None:
    """Five Cases at once: two page, one question waits, later runs end meanwhile; the answer makes one incident."""
    org = world.sides.sandbox.salesforce
    before, linked = len(pages(world)), len(world.sides.links())
    fields = {"Priority": "High", "Status": "New", "Origin": "Web"}
    number, _ = org.faults.hold(
        [{"object": "Case", "fields": {**fields, "Subject": f"Case {n}"}} for n in range(5)]
    )
    org.faults.release(number)
    (asking,) = eventually(lambda: world.airflow.runs(STORMS), "a question about the storm")
    run_id = asking["dag_run_id"]
    path = f"/dags/{STORMS}/dagRuns/{quote(run_id, safe='')}/taskInstances/{ASK}/-1/hitlDetails"
    eventually(
        lambda: world.airflow.task_states(STORMS, run_id)[ASK] == "awaiting_input", "the question"
    )
    detail = world.airflow.call("GET", path)
    assert detail["subject"].startswith("3 action(s) are held back: Rules of a.yaml / Page few")
    assert detail["options"] == ["Release", "Discard", SUMMARY]
    by_hand, state, told = world.by_hand(TO_PAGERDUTY)
    assert (state, told["counts"]["held"]) == ("success", 0), (by_hand, told)
    assert len(world.airflow.runs(STORMS)) == 1
    world.airflow.call("PATCH", path, json={"chosen_options": [SUMMARY]})
    ended = world.airflow.wait_for_run(STORMS, run_id, timeout=PATIENT)
    assert ended == "success", world.task_log(STORMS, run_id, DECIDE)
    decided = world.airflow.xcom(STORMS, run_id, DECIDE)
    assert len(pages(world)) == before + 3
    assert pages(world)[-1]["id"] in decided["said"]
    assert len(world.sides.links()) == linked + 5


def pages(world: SyncWorld) -> list[dict[str, Any]]:
    """The incidents that are no alerts about the sync itself, oldest first."""
    return [one for one in world.sides.incidents() if one["service"]["id"] != "POPSYNC"]


def test_replay_begins_with_a_dry_run(world: SyncWorld) -> None:
    """The form as it stands shows what would be tried; one that names nothing is red."""
    state, told = result(world, "replay", "try_again", failed=True)
    assert (state, told["dry_run"], told["count"]) == ("success", True, 0)
    nameless = world.airflow.trigger("replay", {})
    assert world.airflow.wait_for_run("replay", nameless, timeout=PATIENT) == "failed"
    assert "names nothing to replay" in world.task_log("replay", nameless, "try_again")


def test_recorded_events_are_judged_again_by_todays_rules(world: SyncWorld) -> None:
    """A rule that was added later does what it says about yesterday's Cases: shown first, then done, then done with."""
    sides = world.sides
    since = sides.clock()
    case_id = sides.case("Nobody minded", Priority="Medium")
    world.by_hand(TO_PAGERDUTY)
    medium = {"field": "Case.Priority", "operation": "equals", "value": "Medium"}
    late = rule("Late", medium, {"update_record": {"fields": {"Status": "Escalated"}}})
    sides.rules(PAGE_FEW, ACKED, late)
    form = {"since": since.isoformat(timespec="seconds"), "reevaluate": True}
    state, told = result(world, "replay", "try_again", **form)
    assert (state, told["dry_run"]) == ("success", True)
    assert case_id in {one["record"] for one in told["actions"]}
    assert sides.record(case_id)["Status"] == "New"
    state, _ = result(world, "replay", "try_again", **form, dry_run=False)
    assert (state, sides.record(case_id)["Status"]) == ("success", "Escalated")
    assert result(world, "replay", "try_again", **form)[1]["count"] == 0
    sides.rules(PAGE_FEW, ACKED)


def test_reconcile_reports(world: SyncWorld) -> None:
    """The report of a run by hand is its result: all pairs compared, nothing found, nothing repaired."""
    state, report = result(world, "reconcile", "compare_all_pairs")
    assert (state, report["complete"], report["repair"]) == ("success", True, False)
    assert report["counts"]["pairs"] == len(world.sides.links())
    assert report["counts"]["findings"] == 0


def test_the_ledger_is_looked_after(world: SyncWorld) -> None:
    """Nothing young is forgotten, and the result tells what is there."""
    state, told = result(world, "ledger_maintenance", "check_and_forget")
    assert state == "success"
    assert set(told["forgotten"].values()) == {0}
    assert told["rows"]["links"] == len(world.sides.links())


def test_health_is_red_while_something_is_broken_and_alerts_once(world: SyncWorld) -> None:
    """Well at first; a file that cannot be used makes it fail with one alert, which the next good run resolves."""
    state, told = result(world, "health", "examine_the_sync")
    assert (state, told["findings"]) == ("success", [])
    earlier = _alerts(world)
    broken = world.sides.rules_text("version: 1\nname: [", "b.yaml")
    state, told = result(world, "health", "examine_the_sync")
    assert state == "failed"
    assert "b.yaml" in told["findings"][0]
    eventually(lambda: _alerts(world) == sorted([*earlier, "triggered"]), "an alert")
    broken.unlink()
    assert result(world, "health", "examine_the_sync")[0] == "success"
    eventually(lambda: _alerts(world) == sorted([*earlier, "resolved"]), "the alert's end")


def _alerts(world: SyncWorld) -> list[str]:
    found = [one for one in world.sides.incidents() if one["title"].startswith("health: ")]
    return sorted(one["status"] for one in found)
