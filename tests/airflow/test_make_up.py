"""`make up`: one Airflow in the foreground, which ends with all that it started."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from embedded.rest import AirflowApi, wait_until
from sandbox.running import running_sandbox
from tests.integration.pipeline_world import (
    CREATED,
    HIGH,
    PAGE,
    Clock,
    PipelineWorld,
    event_is,
    mirror,
    rule,
)

PROJECT = Path(__file__).parent / "watched"
ROOT = Path(__file__).resolve().parents[2]


def up(home: Path, port: int, *more: str) -> subprocess.Popen[str]:
    """Start what `make up` starts, on another home and port, for the tiny project."""
    environ = {**os.environ, "WATCHED_FILE": str(home / "file.txt")}
    where = ("--port", str(port), "--home", str(home), "--dags", str(PROJECT / "dags"))
    return started(environ, *where, *more)


def started(environ: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start `python -m embedded` with these variables."""
    return subprocess.Popen(
        [sys.executable, "-m", "embedded", *arguments],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started, directly or not."""
    leader = psutil.Process(pid)
    return [leader, *leader.children(recursive=True)]


def ended(processes: list[psutil.Process]) -> bool:
    """Whether none of these runs any more; ended ones that nobody waits for do not run."""
    return not any(
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes
    )


def listening(port: int) -> bool:
    """Whether somebody accepts connections on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_kill_leaves_nothing_behind(tmp_path: Path) -> None:
    """After a KILL no process of it runs and nobody listens on its port (after a TERM: see below)."""
    port = free_port()
    with up(tmp_path / "home", port, "--quiet") as runner:
        try:
            assert runner.stdout is not None
            said = "".join(next(iter(runner.stdout.readline, "")) for _ in range(3))
            everyone = family(runner.pid)
        finally:
            runner.kill()
            runner.wait(timeout=90)
    assert f"http://127.0.0.1:{port}" in said
    assert "user admin, password " in said
    # The runner, its guard, four components, the triggerer's runner and the scheduler's workers.
    assert len(everyone) >= 7
    wait_until(lambda: ended(everyone) or None, what="every process to end", timeout=60)
    assert not listening(port)


def test_ctrl_c_ends_it_while_it_starts(tmp_path: Path) -> None:
    """Whoever does not want to wait for it is left with nothing, and with no error."""
    port = free_port()
    with up(tmp_path / "home", port, "--quiet") as runner:
        try:
            wait_until(lambda: len(family(runner.pid)) >= 6 or None, what="components", timeout=60)
            everyone = family(runner.pid)
        finally:
            runner.send_signal(signal.SIGINT)
            out, err = runner.communicate(timeout=90)
    assert (runner.returncode, err) == (0, "")
    assert "stopped: no process of this Airflow is left" in out
    wait_until(lambda: ended(everyone) or None, what="every process to end", timeout=60)
    assert not listening(port)


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    """The port and the way out are named, nothing is started, and nothing is left in the folder."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with up(tmp_path / "home", port) as runner:
            out, err = runner.communicate(timeout=60)
    assert runner.returncode == 1
    assert out == ""
    assert err.startswith(f"Port {port} cannot be used")
    assert "PORT=" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "home").exists()


def test_does_the_job_against_other_accounts(tmp_path: Path) -> None:
    """With connections, rules and settings from the environment it syncs both ways, until a TERM ends all of it."""
    port = free_port()
    with running_sandbox() as sandbox:
        sides = PipelineWorld(sandbox, Clock(), tmp_path, f"sqlite:///{tmp_path / 'elsewhere.db'}")
        for name in ("rulesets", "integrations"):
            (tmp_path / name).mkdir()
        sides.rules(
            rule("Page", {"all": [HIGH, CREATED]}, PAGE),
            mirror(
                "Close", event_is("resolve"), {"update_record": {"fields": {"Status": "Closed"}}}
            ),
        )
        environ = {
            **os.environ,
            **sandbox.connections,
            "PDSF_RULESETS_DIR": str(tmp_path / "rulesets"),
            "PDSF_INTEGRATIONS_DIR": str(tmp_path / "integrations"),
            "PDSF_LEDGER_URL": sides.ledger_url,
            "PDSF_POLL_SECONDS": "1",
        }
        where = ("--port", str(port), "--home", str(tmp_path / "home"), "--quiet")
        with started(environ, *where) as runner:
            try:
                password = announced_password(runner)
                with AirflowApi(f"http://127.0.0.1:{port}", "admin", password) as api:
                    for dag_id in ("salesforce_to_pagerduty", "pagerduty_to_salesforce"):
                        api.unpause(dag_id, timeout=120)
                        wait_until(lambda d=dag_id: rung(api, d), what=dag_id, timeout=180)  # type: ignore[misc]
                case_id = sides.case("Other accounts")
                (incident,) = wait_until(
                    lambda: sides.incidents() or None, what="an incident", timeout=180
                )
                sides.ana().resolve(incident["id"])
                closed = {"Status": "Closed"}.items()
                wait_until(
                    lambda: closed <= sides.record(case_id).items() or None,
                    what="the Case to be closed",
                    timeout=180,
                )
                everyone = family(runner.pid)
            finally:
                runner.terminate()
                code = runner.wait(timeout=90)
    assert code == 0
    wait_until(lambda: ended(everyone) or None, what="every process to end", timeout=60)
    assert not listening(port)


def announced_password(runner: subprocess.Popen[str]) -> str:
    """The password that it says once it is up."""
    assert runner.stdout is not None
    for line in runner.stdout:
        if "user admin, password " in line:
            return line.split("password ", 1)[1].split()[0]
    raise AssertionError("it ended without saying a password")


def rung(api: AirflowApi, dag_id: str) -> bool | None:
    """Whether a watcher has started a run that ended well."""
    told = [(run["run_type"], run["state"]) for run in api.runs(dag_id)]
    return ("asset_triggered", "success") in told or None
