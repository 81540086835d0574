"""The relay that makes the sandbox's loopback ports those of another container."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sandbox.relay import Route, route
from sandbox.running import running_sandbox

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def relayed() -> Iterator[str]:
    """Address of a relay, in a process of its own, to a sandbox's Salesforce."""
    with running_sandbox() as world, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        near = f"127.0.0.1:{probe.getsockname()[1]}"
        probe.close()
        far = world.salesforce_url.removeprefix("http://")
        with subprocess.Popen(
            [sys.executable, "-m", "sandbox.relay", f"{near}={far}"], cwd=ROOT
        ) as relay:
            try:
                _wait_for(near)
                yield f"http://{near}"
            finally:
                relay.send_signal(signal.SIGTERM)
        assert relay.returncode == 0


def _wait_for(address: str) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the relay did not come up")


def test_answers_come_through(relayed: str) -> None:
    """Many requests on one connection are answered as by the sandbox itself; the relay ends on TERM."""
    with httpx.Client(base_url=relayed) as client:
        answers = [client.get("/services/data/v64.0/sobjects") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].json()[0]["errorCode"] == "INVALID_SESSION_ID"


def test_routes_are_read_or_refused() -> None:
    """HOST:PORT=HOST:PORT, and nothing else."""
    assert route("0.0.0.0:1=sandbox:2") == Route(("0.0.0.0", 1), ("sandbox", 2))
    for wrong in ("", "1=2", "a:1", "a:b=c:1", ":1=b:2"):
        with pytest.raises(ValueError, match="expected HOST:PORT=HOST:PORT"):
            route(wrong)
