"""The embedded Airflow, run for real on a tiny project: a watched file, two DAGs and a broken one."""

import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from embedded import EmbeddedAirflowError, RunningAirflow, running_airflow
from embedded.rest import wait_until
from embedded.sessions import members

PROJECT = Path(__file__).parent / "watched"


@pytest.fixture(scope="module")
def watched_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the tiny project follows; not there yet."""
    return tmp_path_factory.mktemp("watched") / "file.txt"


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, watched_file: Path
) -> Iterator[RunningAirflow]:
    """One Airflow for this file's tests; when they are done nothing of it may be left."""
    home = tmp_path_factory.mktemp("airflow") / "home"
    with running_airflow(
        home,
        {"WATCHED_FILE": str(watched_file)},
        dags_folder=PROJECT / "dags",
        plugins_folder=PROJECT / "plugins",
    ) as running:
        sessions = running.components.sessions()
        port = int(running.base_url.rsplit(":", 1)[1])
        yield running
    assert members(sessions) == []
    assert not listening(port)


def listening(port: int) -> bool:
    """Whether somebody accepts connections on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_is_up_in_reasonable_time(airflow: RunningAirflow) -> None:
    """All four components are healthy, well within the time that a person waits."""
    assert set(airflow.health().values()) == {"healthy"}
    assert airflow.startup_seconds < 90


def test_dags_start_paused(airflow: RunningAirflow) -> None:
    """A parsed DAG runs nothing before somebody switches it on."""
    assert airflow.wait_for_dag("follow_file")["is_paused"] is True


def test_a_change_becomes_a_run(airflow: RunningAirflow, watched_file: Path) -> None:
    """A moved file rings the watcher's bell, and the run's tasks hand their values on."""
    airflow.unpause("follow_file")
    airflow.wait_for_watchers("follow_file", timeout=30)
    watched_file.write_text("hello")
    run = wait_until(
        lambda: next(iter(airflow.runs("follow_file")), None), what="a run", timeout=60
    )
    assert run["run_type"] == "asset_triggered"
    assert airflow.wait_for_run("follow_file", run["dag_run_id"]) == "success"
    assert airflow.task_states("follow_file", run["dag_run_id"]) == {
        "read": "success",
        "measure": "success",
    }
    assert airflow.xcom("follow_file", run["dag_run_id"], "read")["text"] == "hello"
    assert airflow.xcom("follow_file", run["dag_run_id"], "measure")["length"] == 5


def test_a_run_by_hand_takes_its_parameters(airflow: RunningAirflow) -> None:
    """`trigger` starts a run with a conf that the tasks see."""
    airflow.unpause("by_hand")
    run_id = airflow.trigger("by_hand", {"greeting": "Good day", "name": "Ada"})
    assert airflow.wait_for_run("by_hand", run_id) == "success"
    assert airflow.xcom("by_hand", run_id, "words") == "Good day, Ada"


def test_a_failing_task_is_seen(airflow: RunningAirflow) -> None:
    """A run whose task raises ends as failed, and the task instance says which."""
    airflow.unpause("by_hand")
    run_id = airflow.trigger("by_hand", {"greeting": "Hi", "name": "Bob", "fail": True})
    assert airflow.wait_for_run("by_hand", run_id) == "failed"
    assert airflow.task_states("by_hand", run_id)["fail_if_told"] == "failed"


def test_a_broken_file_is_reported(airflow: RunningAirflow) -> None:
    """The other DAGs are there, and the broken file's traceback is to be had."""
    errors = wait_until(lambda: airflow.import_errors() or None, what="an import error", timeout=60)
    assert [Path(name).name for name in errors] == ["broken.py"]
    assert "broken on purpose" in next(iter(errors.values()))


def test_nobody_gets_in_without_the_password(airflow: RunningAirflow) -> None:
    """The API answers 401 to a stranger and to a wrong password, and only loopback is listened on."""
    assert httpx.get(f"{airflow.base_url}/api/v2/dags").status_code == 401
    login = {"username": airflow.username, "password": "wrong"}
    assert httpx.post(f"{airflow.base_url}/auth/token", json=login).status_code == 401


def test_secrets_are_for_their_owner_only(airflow: RunningAirflow) -> None:
    """The files that hold the password, the keys and the metadata are readable by nobody else."""
    for name in ("passwords.json", "secrets.json", "airflow.db"):
        assert stat.S_IMODE((airflow.home / name).stat().st_mode) == 0o600, name
    assert json.loads((airflow.home / "passwords.json").read_text()) == {"admin": airflow.password}


def test_a_second_one_on_the_same_home_is_refused(airflow: RunningAirflow) -> None:
    """One sentence names the folder and the process that holds it."""
    with (
        pytest.raises(EmbeddedAirflowError, match=rf"already running in .*{os.getpid()}"),
        running_airflow(airflow.home),
    ):
        pytest.fail("two Airflows in one home")


def test_a_component_that_dies_is_started_again(airflow: RunningAirflow) -> None:
    """The scheduler is back after a KILL, and runs go on."""
    airflow.unpause("by_hand")
    before = airflow.components.pids()["scheduler"]
    os.kill(before, signal.SIGKILL)

    def back() -> bool | None:
        airflow.components.restart_ended()
        return airflow.components.pids()["scheduler"] != before or None

    wait_until(back, what="another scheduler", timeout=30)
    run_id = airflow.trigger("by_hand", {"greeting": "Hi", "name": "again"})
    assert airflow.wait_for_run("by_hand", run_id, timeout=120) == "success"
