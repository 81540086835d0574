"""The sync DAGs at work: by changes, by hand, by backfill; what they tell, and sensors beside them."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from pd_sf_rules.ledger import maintenance
from pd_sf_rules.rules.loader import load_folder
from tests.airflow.sync_world import LAST_TASK, MISSED, PATIENT, SHARED, SyncWorld, eventually

pytestmark = pytest.mark.xdist_group(SHARED)

UNNAMED = "what-only-the-customer-may-know"
TO_PAGERDUTY, TO_SALESFORCE = "salesforce_to_pagerduty", "pagerduty_to_salesforce"
ACTION_KEYS = {
    "event", "record", "incident", "ruleset", "ruleset_version", "rule", "action", "outcome", "target", "attempt",
}  # fmt: skip
COUNTS = {"pulled", "evaluated", "matched", "applied", "skipped", "failed"}


@pytest.fixture(scope="module")
def world(shared_sync: SyncWorld) -> SyncWorld:
    """The shared Airflow, and somebody else's DAG in it."""
    shared_sync.airflow.unpause("waiting")
    return shared_sync


def test_a_case_pages_and_the_acknowledgement_comes_back(world: SyncWorld) -> None:
    """Changes on both sides start runs by themselves, and each shows on the other side."""
    case_id = world.sides.case("Checkout is down", Description=UNNAMED)
    incident = world.incident_for("Checkout is down")
    world.sides.ana().acknowledge(incident["id"])
    eventually(lambda: world.sides.record(case_id)["Status"] == "Working", "the Case to be Working")
    _, told = world.run_about(TO_SALESFORCE, case_id)
    assert [(a["action"], a["outcome"]) for a in told["actions"]] == [("update_record", "applied")]


def test_comments_cross(world: SyncWorld) -> None:
    """A comment starts note_sync, and becomes a note."""
    case_id = world.sides.case("With a comment")
    incident = world.incident_for("With a comment")
    world.sides.sandbox.salesforce.comment(case_id, "The customer calls again.")
    notes = eventually(lambda: world.sides.notes(incident["id"]), "a note")
    assert "The customer calls again." in notes[0]


def test_lineage_is_one_object_in_xcom(world: SyncWorld) -> None:
    """It has the agreed keys, names what was done, and holds no field of a record."""
    case_id = world.sides.case("Told in XCom", Description=UNNAMED)
    incident = world.incident_for("Told in XCom")
    run_id, told = world.run_about(TO_PAGERDUTY, case_id)
    assert {"integration", "direction", "window", "counts", "actions", "truncated"} <= set(told)
    assert (told["integration"], told["direction"]) == ("default", "salesforce")
    assert set(told["counts"]) >= COUNTS
    assert told["counts"]["applied"] == told["counts"]["matched"] == 1
    start, end = (datetime.fromisoformat(told["window"][name]) for name in ("start", "end"))
    assert timedelta() < end - start < timedelta(hours=1)
    (action,) = told["actions"]
    assert set(action) == ACTION_KEYS
    assert action["record"] == case_id
    assert action["target"] == incident["id"]
    assert (action["rule"], action["action"], action["outcome"]) == (
        "Page", "create_incident", "applied",
    )  # fmt: skip
    (ruleset,), _ = load_folder(world.sides.home / "rulesets")
    assert (action["ruleset"], action["ruleset_version"]) == (ruleset.name, ruleset.version)
    everything = json.dumps([xcoms_of(world, TO_PAGERDUTY, run_id), told])
    assert UNNAMED not in everything
    assert "Told in XCom" not in everything


def xcoms_of(world: SyncWorld, dag_id: str, run_id: str) -> list[Any]:
    """Every XCom value of a run."""
    found = []
    for task_id in world.airflow.task_states(dag_id, run_id):
        path = (
            f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/xcomEntries"
        )
        listed = world.airflow.call("GET", path)["xcom_entries"]
        found += [world.airflow.xcom(dag_id, run_id, task_id, one["key"]) for one in listed]
    return found


def test_links_lead_to_incident_and_record(world: SyncWorld) -> None:
    """A task links to what it wrote, as the UI asks for it."""
    case_id = world.sides.case("Linked in the UI")
    incident = world.incident_for("Linked in the UI")
    run_id, _ = world.run_about(TO_PAGERDUTY, case_id)
    told = links_of(world, TO_PAGERDUTY, run_id)
    assert told["Incident in PagerDuty"] == incident["html_url"]
    run = urlencode({"dag_id": TO_PAGERDUTY, "run_id": run_id})
    assert told["Explain"] == f"pd-sf-rules/explain?{run}"
    world.sides.ana().acknowledge(incident["id"])
    run_id, _ = world.run_about(TO_SALESFORCE, case_id)
    url = links_of(world, TO_SALESFORCE, run_id)["Record in Salesforce"]
    assert url == f"{world.sides.sandbox.salesforce_url}/{case_id}"


def links_of(world: SyncWorld, dag_id: str, run_id: str) -> dict[str, str]:
    """The links of a run's apply task."""
    path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/apply_actions/links"
    found: dict[str, str] = world.airflow.call("GET", path)["extra_links"]
    return found


def test_a_dry_run_tells_and_does_nothing(world: SyncWorld) -> None:
    """It returns what would be done, and writes to neither side nor the ledger."""
    case_id = missed_case(world)["Id"]
    before = ledger_of(world)
    with world.sides.silence():
        _, state, told = world.by_hand(
            TO_PAGERDUTY, since=ago(days=3, hours=1), until=ago(days=2, hours=23), dry_run=True
        )
    assert state == "success"
    assert told["dry_run"] is True
    assert [(a["record"], a["action"], a["outcome"]) for a in told["actions"]] == [
        (case_id, "create_incident", "planned")
    ]
    after = ledger_of(world)
    assert after["events"] == before["events"]
    assert after["actions"] == before["actions"]
    assert set(after["cursors"]) == set(before["cursors"])


def missed_case(world: SyncWorld) -> dict[str, Any]:
    """The Case that was created while nothing ran."""
    (found,) = [one for one in world.sides.cases() if one["Subject"] == MISSED]
    return found


def ago(**span: float) -> str:
    """An instant before now, as the form takes it."""
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


def ledger_of(world: SyncWorld) -> dict[str, Any]:
    """What a run may write into the ledger."""
    return {
        "events": [one.id for one in world.sides.events()],
        "actions": [one.id for one in world.sides.actions()],
        "cursors": world.cursors(),
    }


def test_the_form_narrows_window_and_objects(world: SyncWorld) -> None:
    """A run by hand reads exactly the window of its form, of the objects it names."""
    since, until = ago(minutes=50), ago(minutes=40)
    _, state, told = world.by_hand(TO_PAGERDUTY, since=since, until=until, objects=["case"])
    assert state == "success"
    window = [datetime.fromisoformat(told["window"][name]) for name in ("start", "end")]
    assert window == [datetime.fromisoformat(since), datetime.fromisoformat(until)]
    _, _, told = world.by_hand(TO_PAGERDUTY, since=since, until=until, objects=["Opportunity"])
    assert told["window"] == {"start": None, "end": None}
    assert told["counts"]["pulled"] == 0


def test_a_backfill_catches_up_beside_live_runs(world: SyncWorld) -> None:
    """What was missed is paged once, while live changes go on; the cursor stays."""
    positions = world.cursors()
    backfill(world)
    case_id = world.sides.case("Live beside a backfill")
    world.incident_for("Live beside a backfill")
    world.incident_for(MISSED)
    (run_id,) = eventually(lambda: backfilled(world, 1), "the backfill's run to end")
    assert window_told(world, run_id) == timedelta(minutes=15)
    pulled = world.airflow.xcom(TO_PAGERDUTY, run_id, "pull_changed_records")
    assert [one["moves_cursor"] for one in pulled] == [False]
    titles = [one["title"] for one in world.sides.incidents()]
    assert titles.count(MISSED) == titles.count("Live beside a backfill") == 1
    assert len(world.sides.links_of(case_id)) == 1
    stream = "salesforce:Case"
    assert world.cursors()[stream] >= positions[stream]


def quarter_missed(world: SyncWorld) -> datetime:
    """The quarter of an hour in which the Case was created that nobody saw."""
    created = datetime.fromisoformat(missed_case(world)["CreatedDate"])
    return created.replace(minute=created.minute // 15 * 15, second=0, microsecond=0)


def backfill(world: SyncWorld) -> None:
    """Start a backfill over the quarter of an hour that was missed, as Airflow's UI does."""
    quarter = quarter_missed(world)
    body = {
        "dag_id": TO_PAGERDUTY,
        "from_date": quarter.isoformat(),
        "to_date": (quarter + timedelta(seconds=1)).isoformat(),
        "reprocess_behavior": "none",
        "max_active_runs": 4,
        "run_backwards": False,
        "dag_run_conf": {},
    }
    world.airflow.call("POST", "/backfills", json=body)


def backfilled(world: SyncWorld, tries: int) -> list[str] | None:
    """The ids of the backfill's runs once they have ended well at their so-manieth try."""
    runs = [r for r in world.airflow.runs(TO_PAGERDUTY) if r["run_type"] == "backfill"]
    if [run["state"] for run in runs] != ["success"]:
        return None
    ids = [str(run["dag_run_id"]) for run in runs]
    tried = [
        t["try_number"] for one in ids for t in world.airflow.task_instances(TO_PAGERDUTY, one)
    ]
    return ids if set(tried) == {tries} else None


def window_told(world: SyncWorld, run_id: str) -> timedelta:
    """How much time a run of the sync read, as its lineage tells it."""
    told = world.lineage(TO_PAGERDUTY, run_id)
    start, end = (datetime.fromisoformat(told["window"][name]) for name in ("start", "end"))
    return end - start


def test_sensors_wait_in_the_triggerer(world: SyncWorld) -> None:
    """Each is deferred until its own side changes, and gives up when its time is over; none is taken for killed."""
    run_id = world.airflow.trigger("waiting")
    both = {"for_salesforce": "deferred", "for_pagerduty": "deferred"}
    eventually(lambda: both.items() <= states(world, run_id).items(), "both sensors to wait")
    eventually(lambda: states(world, run_id)["in_vain"] == "failed", "the third to give up")
    assert both.items() <= states(world, run_id).items()
    world.sides.case("A quiet one", Priority="Low")
    ended(world, run_id, "for_salesforce")
    assert states(world, run_id)["for_pagerduty"] == "deferred"
    world.sides.ana().create_incident("Checkout", "Somebody rings")
    ended(world, run_id, "for_pagerduty")
    assert world.airflow.xcom("waiting", run_id, "for_pagerduty")["system"] == "pagerduty"
    # One that goes on before the supervisor of its first process has ended: for seconds it looks as if it were killed.
    asked = {"dag_id": "waiting", "event": "state mismatch"}
    assert world.airflow.call("GET", "/eventLogs", params=asked)["event_logs"] == []


def test_looks_end_just_before_the_triggerer_collects(world: SyncWorld) -> None:
    """Both sides' polls know this Airflow's triggerer: half a second less for every page."""
    log = world.airflow.home / "logs" / "triggerer.log"
    known = {
        f"Looks at {system} of integration 'default' end just before the triggerer collects events."
        for system in ("salesforce", "pagerduty")
    }
    eventually(lambda: all(one in log.read_text() for one in known), "looks in time")


def ended(world: SyncWorld, run_id: str, task_id: str) -> None:
    """Wait until a sensor has succeeded."""
    eventually(lambda: states(world, run_id)[task_id] in {"success", "failed"}, f"{task_id} to end")
    told = world.task_log("waiting", run_id, task_id)
    assert states(world, run_id)[task_id] == "success", told


def states(world: SyncWorld, run_id: str) -> dict[str, str | None]:
    """The states of the tasks of the waiting DAG."""
    return world.airflow.task_states("waiting", run_id)


def test_a_window_that_was_forgotten_is_backfilled_without_doubles(world: SyncWorld) -> None:
    """Read again by hand, and by Airflow's own command once the ledger has pruned it: nothing is written."""
    quarter = quarter_missed(world)
    window = {"since": quarter.isoformat(), "until": (quarter + timedelta(minutes=15)).isoformat()}
    with world.sides.silence():
        _, state, told = world.by_hand(TO_PAGERDUTY, **window)
        assert (state, told["counts"]["pulled"]) == ("success", 0)
        gone = maintenance.prune(
            world.sides.ledger, before=datetime.now(UTC) + timedelta(seconds=1)
        )
        assert gone["events"] >= 1
        eventually(lambda: backfills_rest(world), "the first backfill to be marked as complete")
        airflow_command(
            world, "backfill", "create", "--dag-id", TO_PAGERDUTY,
            "--from-date", quarter.isoformat(), "--to-date", (quarter + timedelta(seconds=1)).isoformat(),
            "--reprocess-behavior", "completed",
        )  # fmt: skip
        (run_id,) = eventually(lambda: backfilled(world, 2), "the backfill's run to end again")
    log = world.task_log(TO_PAGERDUTY, run_id, "pull_changed_records", attempt=2)
    assert "are older than what the ledger keeps" in log


def backfills_rest(world: SyncWorld) -> bool:
    """Whether no backfill of the DAG is under way: Airflow allows one at a time, and looks every 30 s."""
    found = world.airflow.call("GET", "/backfills", params={"dag_id": TO_PAGERDUTY})
    return all(one["completed_at"] for one in found["backfills"])


def airflow_command(world: SyncWorld, *words: str) -> None:
    """Run `airflow WORDS` as a person does in a shell beside this Airflow."""
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *words],
        env=world.airflow.components.environ, capture_output=True, text=True, check=False, timeout=PATIENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_run_so_far_ended_well(world: SyncWorld) -> None:
    """Nothing that these tests did turned a sync run red."""
    for dag_id in (TO_PAGERDUTY, TO_SALESFORCE, "note_sync"):
        eventually(
            lambda dag_id=dag_id: all(  # type: ignore[misc]
                run["state"] in {"success", "failed"} for run in world.airflow.runs(dag_id)
            ),
            f"the runs of {dag_id} to end",
        )
        failed = [r["dag_run_id"] for r in world.airflow.runs(dag_id) if r["state"] == "failed"]
        assert failed == [], world.task_log(dag_id, failed[0], LAST_TASK)


def test_a_form_that_cannot_be_used_is_one_sentence(world: SyncWorld) -> None:
    """The run ends red, reads nothing, and says which field and how to write it."""
    run_id = world.airflow.trigger(TO_PAGERDUTY, {"since": "the day before yesterday"})
    assert world.airflow.wait_for_run(TO_PAGERDUTY, run_id, timeout=PATIENT) == "failed"
    log = world.task_log(TO_PAGERDUTY, run_id, "pull_changed_records")
    assert "'since' is 'the day before yesterday'. Give an instant such as" in log
    assert world.airflow.task_states(TO_PAGERDUTY, run_id)["pull_changed_records"] == "failed"
