"""The sync DAGs in trouble: red runs, alerts, recovery, and secrets that stay secret through all of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.pagerduty import incidents as pagerduty_incidents
from sandbox.pagerduty.seed import OPS_ROUTING_KEY
from sandbox.pagerduty.state import ApiKey
from tests.airflow.sync_world import LAST_TASK, PATIENT, SyncWorld, eventually, running_sync
from tests.integration.pipeline_world import CREATED, HIGH, PAGE, PipelineWorld, rule

TO_PAGERDUTY, TO_SALESFORCE = "salesforce_to_pagerduty", "pagerduty_to_salesforce"
KEY, SPOILT_KEY = "canary-key-of-pagerduty", "canary-key-that-was-revoked"
PASSWORD, WEBHOOK_SECRET = "canary-password-of-salesforce", "canary-secret-of-webhooks"
OWN_SERVICE = "POPSYNC"


def subject_has(word: str) -> dict[str, Any]:
    """A condition: the subject contains that word."""
    return {"field": "Case.Subject", "operation": "contains", "value": word}


def prepare(sides: PipelineWorld) -> None:
    """One rule that works, and one whose service does not exist."""
    nobody = {"create_incident": {**PAGE["create_incident"], "service": "Nobody's service"}}
    sides.settings(poll_seconds=1)
    sides.rules(
        rule("Page", {"all": [HIGH, CREATED, subject_has("good")]}, PAGE),
        rule("Misdirected", {"all": [HIGH, CREATED, subject_has("bad")]}, nobody),
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncWorld]:
    """One Airflow that has its connections, the ledger's too, in its own database."""
    folder = tmp_path_factory.mktemp("troubles")
    ledger = folder / "somewhere" / "ledger.db"
    ledger.parent.mkdir()
    with running_sync(folder, prepare=prepare, environ=lambda _: {}, ledger=ledger) as running:
        running.sides.sandbox.pagerduty.keys[KEY] = ApiKey()
        extra = json.dumps({"url": f"sqlite:///{ledger}"})
        for conn_id, body in {
            "salesforce_default": salesforce(running),
            "pagerduty_default": pagerduty(running),
            "pdsf_ledger": {"conn_type": "generic", "extra": extra},
        }.items():
            running.airflow.call("POST", "/connections", json={"connection_id": conn_id, **body})
        running.start(TO_PAGERDUTY, TO_SALESFORCE)
        yield running


def salesforce(world: SyncWorld) -> dict[str, Any]:
    """The connection to Salesforce as REST takes it."""
    made = world.sides.sandbox.salesforce_connection()
    return {**made, "password": PASSWORD, "extra": json.dumps(made["extra"])}


def pagerduty(world: SyncWorld, key: str = KEY) -> dict[str, Any]:
    """The connection to PagerDuty as REST takes it."""
    made: dict[str, Any] = world.sides.sandbox.pagerduty_connection()
    extra = {**made["extra"], "webhook_secret": WEBHOOK_SECRET}
    return {**made, "password": key, "extra": json.dumps(extra)}


def alerts(world: SyncWorld, dag_id: str) -> list[str]:
    """The states of the alerts about a DAG, oldest first."""
    state = world.sides.sandbox.pagerduty
    search = pagerduty_incidents.Search(order=(("number", "ASC"),))
    found = pagerduty_incidents.search(state, search, 0, 1000)
    ours = [one for one in found if one["service"]["id"] == OWN_SERVICE]
    return [str(one["status"]) for one in ours if str(one["title"]).startswith(f"{dag_id}: ")]


def sent(world: SyncWorld, dag_id: str) -> list[str]:
    """The actions of the events sent about a DAG, oldest first."""
    events = world.sides.writes("pagerduty", path="/v2/enqueue")
    ours = [one.body for one in events if one.body["dedup_key"] == f"pdsf/{dag_id}"]
    return [str(body["event_action"]) for body in ours]


def test_a_failing_action_is_red_and_holds_nobody_back(world: SyncWorld) -> None:
    """The run fails with one sentence, the others' actions are applied, the cursor moves, one alert arrives."""
    before = world.cursors()["salesforce:Case"]
    fields = {"Priority": "High", "Status": "New", "Origin": "Web"}
    subjects = ("A bad day", "A good day")
    creations = [{"object": "Case", "fields": {**fields, "Subject": s}} for s in subjects]
    org = world.sides.sandbox.salesforce
    number, (bad, good) = org.faults.hold(creations)
    org.faults.release(number)
    world.incident_for("A good day")
    run_id, told = world.run_about(TO_PAGERDUTY, bad)
    assert world.airflow.wait_for_run(TO_PAGERDUTY, run_id) == "failed"
    assert {(a["record"], a["outcome"]) for a in told["actions"]} == {
        (bad, "failed"), (good, "applied"),
    }  # fmt: skip
    assert (told["counts"]["failed"], told["counts"]["applied"]) == (1, 1)
    log = world.task_log(TO_PAGERDUTY, run_id, LAST_TASK)
    assert f"1 action failed for good, create_incident of rule 'Misdirected' for {bad}: " in log
    assert "Nobody's service" in log
    assert world.cursors()["salesforce:Case"] > before
    eventually(lambda: alerts(world, TO_PAGERDUTY), "an alert")
    assert alerts(world, TO_PAGERDUTY) == ["triggered"]


def test_the_alert_clears_with_the_next_good_run(world: SyncWorld) -> None:
    """It is resolved once; runs that end well after that send nothing."""
    world.sides.case("good again")
    world.incident_for("good again")
    eventually(lambda: alerts(world, TO_PAGERDUTY) == ["resolved"], "the alert to be resolved")
    case_id = world.sides.case("good once more")
    run_id, _ = world.run_about(TO_PAGERDUTY, case_id)
    assert world.airflow.wait_for_run(TO_PAGERDUTY, run_id) == "success"
    assert sent(world, TO_PAGERDUTY) == ["trigger", "resolve"]
    assert sent(world, TO_SALESFORCE) == []


def test_an_outage_is_caught_up_by_itself(world: SyncWorld) -> None:
    """While Salesforce is down runs are red and the cursor stays; afterwards what was missed pages.

    A wrong key on the other side meanwhile is that side's own trouble.
    """
    fault = world.sides.fault("server_error", "salesforce", "GET", "/query", times=None)
    before = world.cursors()["salesforce:Case"]
    run_id = world.airflow.trigger(TO_PAGERDUTY)
    case_id = world.sides.case("good in the outage")
    a_wrong_key_is_one_sentence_at_once(world)
    assert world.airflow.wait_for_run(TO_PAGERDUTY, run_id, timeout=300) == "failed"
    assert world.airflow.task_states(TO_PAGERDUTY, run_id)["pull_changed_records"] == "failed"
    assert "Nothing is lost" in world.task_log(TO_PAGERDUTY, run_id, LAST_TASK)
    assert world.cursors()["salesforce:Case"] == before
    eventually(lambda: alerts(world, TO_PAGERDUTY)[1:] == ["triggered"], "one more alert")
    world.sides.sandbox.faults.remove(fault)
    world.incident_for("good in the outage")
    world.run_about(TO_PAGERDUTY, case_id)
    eventually(lambda: "triggered" not in alerts(world, TO_PAGERDUTY), "the alert to be resolved")
    assert len(alerts(world, TO_PAGERDUTY)) == 2


def a_wrong_key_is_one_sentence_at_once(world: SyncWorld) -> None:
    """It is not retried, names the connection, and a mended connection needs no restart."""
    use_key(world, SPOILT_KEY)
    run_id = world.airflow.trigger(TO_SALESFORCE)
    assert world.airflow.wait_for_run(TO_SALESFORCE, run_id, timeout=PATIENT) == "failed"
    tries = {t["task_id"]: t["try_number"] for t in instances(world, run_id)}
    assert tries["pull_log_entries"] == 1
    assert "Connection 'pagerduty_default'" in world.task_log(
        TO_SALESFORCE, run_id, "pull_log_entries"
    )
    use_key(world, KEY)
    eventually(lambda: alerts(world, TO_SALESFORCE) == ["triggered"], "an alert")
    _, state, _ = world.by_hand(TO_SALESFORCE)
    assert state == "success"
    eventually(lambda: alerts(world, TO_SALESFORCE) == ["resolved"], "the alert to be resolved")


def use_key(world: SyncWorld, key: str) -> None:
    """Somebody edits the connection in Airflow's UI."""
    body = {"connection_id": "pagerduty_default", **pagerduty(world, key)}
    world.airflow.call("PATCH", "/connections/pagerduty_default", json=body)


def instances(world: SyncWorld, run_id: str) -> list[dict[str, Any]]:
    """The task instances of a run, as REST shows them."""
    return world.airflow.task_instances(TO_SALESFORCE, run_id)


def test_the_ledger_is_where_its_connection_says(world: SyncWorld) -> None:
    """Tasks and triggers wrote into the database of `pdsf_ledger`, and none into Airflow's home."""
    assert len(world.sides.events()) >= 4
    assert not (world.airflow.home / "pdsf_ledger.db").exists()


def secrets(world: SyncWorld) -> dict[str, bytes]:
    """What must not be readable anywhere, by name."""
    lines = world.sides.sandbox.key.private_key.splitlines()
    return {
        "PagerDuty key": KEY.encode(),
        "revoked PagerDuty key": SPOILT_KEY.encode(),
        "Salesforce password": PASSWORD.encode(),
        "Salesforce private key": lines[len(lines) // 2].encode(),
        "webhook secret": WEBHOOK_SECRET.encode(),
        "routing key": OPS_ROUTING_KEY.encode(),
    }


def test_no_secret_was_written_to_disk(world: SyncWorld) -> None:
    """Logs, XComs, rendered templates, Airflow's database and the ledger hold none of them in the clear."""
    files = [path for path in Path(world.sides.home).rglob("*") if path.is_file()]
    assert {"airflow.db", "ledger.db", "scheduler.log"} <= {path.name for path in files}
    found = {
        (name, str(path.relative_to(world.sides.home)))
        for path in files
        for name, secret in secrets(world).items()
        if secret in path.read_bytes()
    }
    assert found == set()


ANSWERS = (
    "/connections", "/connections/pagerduty_default", "/connections/salesforce_default", "/connections/pdsf_ledger",
    "/dags", "/dags/~/dagRuns", "/dags/~/dagRuns/~/taskInstances", "/eventLogs", "/assets", "/assets/events",
    "/importErrors", "/plugins",
)  # fmt: skip


@pytest.mark.parametrize("path", ANSWERS)
def test_no_secret_is_answered(world: SyncWorld, path: str) -> None:
    """Airflow's REST API tells a logged-in administrator none of them."""
    answer = json.dumps(world.airflow.call("GET", path)).encode()
    assert [name for name, secret in secrets(world).items() if secret in answer] == []
