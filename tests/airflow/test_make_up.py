"""`make up`: one Airflow in the foreground, which ends with all that it started."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from embedded.rest import wait_until

PROJECT = Path(__file__).parent / "watched"
ROOT = Path(__file__).resolve().parents[2]


def up(home: Path, port: int, *more: str) -> subprocess.Popen[str]:
    """Start what `make up` starts, on another home and port."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "embedded", "--port", str(port), "--home", str(home)),
            *("--dags", str(PROJECT / "dags"), *more),
        ],
        cwd=ROOT,
        env={**os.environ, "WATCHED_FILE": str(home / "file.txt")},
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    """After TERM, Ctrl-C or KILL no process of it runs and nobody listens on its port."""
    port = free_port()
    with up(tmp_path / "home", port, "--quiet") as runner:
        try:
            assert runner.stdout is not None
            said = "".join(next(iter(runner.stdout.readline, "")) for _ in range(3))
            everyone = family(runner.pid)
        finally:
            runner.send_signal(number)
            code = runner.wait(timeout=90)
    assert f"http://127.0.0.1:{port}" in said
    assert "user admin, password " in said
    assert code == (-number if number == signal.SIGKILL else 0)
    # The runner, its guard, four components, the triggerer's runner and the scheduler's workers.
    assert len(everyone) >= 7
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
