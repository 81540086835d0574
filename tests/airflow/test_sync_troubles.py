"""The sync DAGs in trouble: red runs, alerts, recovery, and secrets that stay secret through all of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sandbox.pagerduty import incidents as pagerduty_incidents
from sandbox.pagerduty.seed import OPS_ROUTING_KEY
from sandbox.pagerduty.state import ApiKey
from tests.airflow.sync_world import LAST_TASK, PATIENT, SyncWorld, eventually, running_sync
from tests.integration.canaries import PLANTED, hunt
from tests.integration.echoing import Echo, echoing
from tests.integration.pipeline_world import CREATED, HIGH, PAGE, PipelineWorld, rule

TO_PAGERDUTY, TO_SALESFORCE = "salesforce_to_pagerduty", "pagerduty_to_salesforce"
FIRST_TASKS = {TO_PAGERDUTY: "pull_changed_records", TO_SALESFORCE: "pull_log_entries"}
KEY, SPOILT_KEY = "canary-key-of-pagerduty", "canary-key-that-was-revoked"
PASSWORD, WEBHOOK_SECRET = "canary-password-of-salesforce", "canary-secret-of-webhooks"
OWN_SERVICE = "POPSYNC"
ENOUGH = 12
"""How many requests the echo quotes before it goes: more than two of each shape of answer."""

shown: set[str] = set()
"""What the echo was shown: tokens and assertions that no connection holds."""


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


def salesforce(world: SyncWorld, **more: str) -> dict[str, Any]:
    """The connection to Salesforce as REST takes it."""
    made: dict[str, Any] = world.sides.sandbox.salesforce_connection()
    names = ("consumer_secret", "security_token", "refresh_token")
    extra = {**made["extra"], **{name: PLANTED[name] for name in names}, **more}
    return {**made, "password": PASSWORD, "extra": json.dumps(extra)}


def pagerduty(world: SyncWorld, key: str = KEY, **more: str) -> dict[str, Any]:
    """The connection to PagerDuty as REST takes it."""
    made: dict[str, Any] = world.sides.sandbox.pagerduty_connection()
    app = {"client_id": "app", "client_secret": PLANTED["client_secret"]}
    extra = {**made["extra"], "webhook_secret": WEBHOOK_SECRET, **app, **more}
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
    use(world, "pagerduty_default", pagerduty(world, key))


def use(world: SyncWorld, conn_id: str, body: dict[str, Any]) -> None:
    """Edit a connection."""
    stated = {"connection_id": conn_id, **body}
    world.airflow.call("PATCH", f"/connections/{conn_id}", json=stated)


def instances(world: SyncWorld, run_id: str) -> list[dict[str, Any]]:
    """The task instances of a run, as REST shows them."""
    return world.airflow.task_instances(TO_SALESFORCE, run_id)


def test_the_ledger_is_where_its_connection_says(world: SyncWorld) -> None:
    """Tasks and triggers wrote into the database of `pdsf_ledger`, and none into Airflow's home."""
    assert len(world.sides.events()) >= 4
    assert not (world.airflow.home / "pdsf_ledger.db").exists()


def test_a_proxy_that_quotes_requests_stops_nothing_for_good(world: SyncWorld) -> None:
    """Both services answer with pages and errors that quote whole requests; what ran meanwhile ends well afterwards."""
    with echoing() as echo:
        use(world, "salesforce_default", salesforce(world, login_url=echo.url))
        use(world, "pagerduty_default", pagerduty(world, base_url=echo.url))
        runs = {dag_id: world.airflow.trigger(dag_id) for dag_id in (TO_PAGERDUTY, TO_SALESFORCE)}
        eventually(lambda: quoted(echo), "both services to be asked")
        shown.update(echo.credentials)
        use(world, "salesforce_default", salesforce(world))
        use(world, "pagerduty_default", pagerduty(world))
    for dag_id, run_id in runs.items():
        world.airflow.wait_for_run(dag_id, run_id, timeout=PATIENT)
        assert world.by_hand(dag_id)[1] == "success"


def quoted(echo: Echo) -> bool:
    """Whether the echo has quoted PagerDuty's key, Salesforce's assertion and enough else."""
    assertions = [one for one in echo.credentials if one.startswith("eyJ")]
    return echo.answered >= ENOUGH and KEY in echo.credentials and bool(assertions)


def secrets(world: SyncWorld) -> set[str]:
    """What must not be readable anywhere: everything secret in the connections, and what was got by it."""
    sandbox = world.sides.sandbox
    key = sandbox.key.private_key.splitlines()
    return {
        KEY,
        SPOILT_KEY,
        PASSWORD,
        WEBHOOK_SECRET,
        OPS_ROUTING_KEY,
        *PLANTED.values(),
        *(line for line in key if not line.startswith("---") and len(line) >= 8),
        *sandbox.salesforce.sessions._live,
        *shown,
    }


def test_no_secret_was_written_to_disk(world: SyncWorld) -> None:
    """Logs, XComs, rendered templates, Airflow's database and the ledger hold none of them in the clear."""
    names = {path.name for path in Path(world.sides.home).rglob("*") if path.is_file()}
    assert {"airflow.db", "ledger.db", "scheduler.log", "triggerer.log"} <= names
    assert any(name.startswith("attempt=") for name in names)
    assert hunt(world.sides.home, {}, secrets(world)) == []


ANSWERS = (
    "/connections", "/connections/pagerduty_default", "/connections/salesforce_default", "/connections/pdsf_ledger",
    "/dags", "/dags/~/dagRuns", "/dags/~/dagRuns/~/taskInstances", "/eventLogs", "/assets", "/assets/events",
    "/importErrors", "/plugins",
)  # fmt: skip


@pytest.mark.parametrize("path", ANSWERS)
def test_no_secret_is_answered(world: SyncWorld, path: str) -> None:
    """Airflow's REST API tells a logged-in administrator none of them."""
    answer = json.dumps(world.airflow.call("GET", path))
    assert hunt(world.sides.home / "rulesets", {path: answer}, secrets(world)) == []


NEWEST = 5
"""How many runs of each DAG are looked into besides those that failed."""

PAGES = (
    "summary", "summary/connections", "summary/doctor", "rulesets", "activity", "links", "errors", "playground",
    "explain",
)  # fmt: skip


def page(world: SyncWorld, name: str) -> str:
    """One of the pages inside Airflow, as a logged-in administrator gets it."""
    answer = world.airflow._http.get(f"/pd-sf-rules/{name}")
    assert answer.status_code == 200, (name, answer.status_code)
    return str(answer.text)


def test_no_secret_is_on_a_page(world: SyncWorld) -> None:
    """Nor do the pages inside Airflow, the log of a task that failed, or what a task handed on."""
    outputs = {name: page(world, name) for name in PAGES}
    for dag_id, first in FIRST_TASKS.items():
        runs = world.airflow.runs(dag_id)
        told = [run for run in runs if run["state"] == "failed"] + runs[:NEWEST]
        for run_id in [run["dag_run_id"] for run in told]:
            path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/~/xcomEntries"
            outputs[path] = json.dumps(world.airflow.call("GET", path))
            outputs[f"log of {run_id}"] = world.task_log(dag_id, run_id, first)
    assert hunt(world.sides.home / "rulesets", outputs, secrets(world)) == []
