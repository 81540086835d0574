"""`pdsf setup env` at a terminal: asks for both connections, shows no secret, and writes a file that works."""

import os
import pty
import select
import stat
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pd_sf_rules.connections import connection_from_environment
from pd_sf_rules.dotenv import read_dotenv
from sandbox.salesforce_side import API_USER, CONSUMER_KEY
from sandbox.world import World
from tests.integration.pipeline_world import ROOT

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

SECONDS = 60
AT_TERMINAL = """
import fcntl, runpy, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.argv = ["pdsf", "setup", "env"]
runpy.run_module("pd_sf_rules", run_name="__main__")
"""
Answers = Sequence[tuple[str, str]]


def at_a_terminal(folder: Path, answers: Answers) -> tuple[int, str]:
    """Run the command on a pseudo terminal, answer each prompt as it appears; return (exit code, all that was seen)."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", AT_TERMINAL],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "plugins"), "PDSF_ENV_FILE": ""},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = ""
    try:
        for prompt, answer in answers:
            start = len(seen)
            seen = _until(ours, seen, start, prompt)
            # A secret is typed once the terminal shows nothing any more.
            _wait_for_silence(ours, secret=seen.endswith("(not shown): "))
            os.write(ours, answer.encode() + b"\n")
        seen = _until(ours, seen, len(seen), None)
        return process.wait(SECONDS), seen
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)


def _until(ours: int, seen: str, start: int, prompt: str | None) -> str:
    until = time.monotonic() + SECONDS
    while prompt is None or prompt not in seen[start:] or not seen.endswith(": "):
        assert time.monotonic() < until, seen
        if not select.select([ours], [], [], 0.2)[0]:
            continue
        try:
            more = os.read(ours, 4096)
        except OSError:  # the other end is closed
            more = b""
        if not more:
            assert prompt is None, seen
            return seen
        seen += more.decode()
    return seen


def _wait_for_silence(ours: int, *, secret: bool) -> None:
    until = time.monotonic() + SECONDS
    while secret and termios.tcgetattr(ours)[3] & termios.ECHO:
        assert time.monotonic() < until
        select.select([], [], [], 0.01)


@pytest.fixture
def key_file(session_sandbox: World, tmp_path: Path) -> Path:
    """The private key that the simulated org's app knows the certificate of."""
    path = tmp_path / "salesforce.key"
    path.write_text(session_sandbox.key.private_key)
    return path


def test_what_was_typed_works_and_no_secret_was_shown(
    session_sandbox: World, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the prompts to two connections that log in; the keys are in the file and nowhere on the screen."""
    session_sandbox.reset()
    before = {
        name: connection_from_environment(name, {f"AIRFLOW_CONN_{name.upper()}": text})
        for name, text in (
            (full.removeprefix("AIRFLOW_CONN_").lower(), text)
            for full, text in session_sandbox.connections.items()
        )
    }
    theirs = before["pagerduty_default"]
    assert theirs is not None
    answers = [
        ("Login host", "http://salesforce.example"),
        ("Login host", session_sandbox.salesforce_url),
        ("User name", API_USER),
        ("Consumer key", CONSUMER_KEY),
        ("private key", str(tmp_path / "missing.key")),
        ("private key", str(key_file)),
        ("Region", session_sandbox.pagerduty_url),
        ("REST API key", theirs.password),
        ("E-mail", theirs.text("from_email")),
        ("Routing key", "R0UT1NGKEY0123456789ABCDEF'0123"),
    ]
    code, seen = at_a_terminal(tmp_path, answers)
    assert code == 0, seen
    assert "begins with https" in seen
    assert theirs.password not in seen
    assert "R0UT1NGKEY" not in seen
    path = tmp_path / ".env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    variables = read_dotenv(path)
    pagerduty = connection_from_environment("pagerduty_default", variables)
    assert pagerduty is not None
    assert pagerduty.text("routing_key") == "R0UT1NGKEY0123456789ABCDEF'0123"
    ledger = {"PDSF_LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db", "PDSF_ENV_FILE": str(path)}
    for name in session_sandbox.connections:
        monkeypatch.delenv(name, raising=False)
    status = subprocess.run(
        [sys.executable, "-m", "pd_sf_rules", "status"],
        cwd=tmp_path,
        env=os.environ
        | ledger
        | {"PYTHONPATH": str(ROOT / "plugins"), "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=SECONDS * 2,
        check=False,
    )
    told = [line for line in status.stdout.splitlines() if "_default (" in line]
    assert [line.split()[0] for line in told] == ["ok", "ok"], status.stdout + status.stderr


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    """Nothing is asked and nothing overwritten."""
    (tmp_path / ".env").write_text("MINE=1\n")
    code, seen = at_a_terminal(tmp_path, [])
    assert code == 2
    assert "exists already" in seen
    assert (tmp_path / ".env").read_text() == "MINE=1\n"


def test_giving_up_writes_nothing(tmp_path: Path) -> None:
    """Three answers that cannot be used end it, and leave no file behind."""
    code, seen = at_a_terminal(tmp_path, [("Login host", "nowhere")] * 3)
    assert code == 2
    assert "nothing was written" in seen
    assert not (tmp_path / ".env").exists()


def test_without_a_terminal_it_says_so(tmp_path: Path) -> None:
    """A pipe is no place to type secrets."""
    done = subprocess.run(
        [sys.executable, "-m", "pd_sf_rules", "setup", "env"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "plugins"), "PDSF_ENV_FILE": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert "run it at a terminal" in done.stderr
