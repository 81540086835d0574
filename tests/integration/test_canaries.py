"""Secrets stay where they belong: canaries in every field of both connections are found in nothing that is written."""

import html
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from sandbox.world import World
from tests.integration.canaries import PLANTED, hunt
from tests.integration.echoing import Echo, echoing
from tests.integration.pipeline_world import PAGE_HIGH, ROOT, PipelineWorld, event_is, mirror

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

SALESFORCE, PAGERDUTY = "AIRFLOW_CONN_SALESFORCE_DEFAULT", "AIRFLOW_CONN_PAGERDUTY_DEFAULT"
BORN = {"create_record": {"fields": {"Subject": "{{ incident.title }}"}}}
ONE_BY_ONE = """
import sys
from pd_sf_rules.cli.main import main
for command in sys.argv[1:]:
    main(command.split())
"""

Spec = dict[str, Any]
Change = Callable[[Spec], object]


class Hunted:
    """A person at a shell whose connections are full of canaries; every word that is printed is kept."""

    def __init__(self, world: PipelineWorld) -> None:
        self.world = world
        self.outputs: dict[str, str] = {}
        sandbox: World = world.sandbox
        self.salesforce: Spec = json.loads(sandbox.connections[SALESFORCE])
        self.pagerduty: Spec = json.loads(sandbox.connections[PAGERDUTY])
        self.salesforce["extra"] |= {
            name: PLANTED[name] for name in ("consumer_secret", "security_token", "refresh_token")
        }
        self.pagerduty["extra"] |= {"client_id": "app", "client_secret": PLANTED["client_secret"]}
        key = self.salesforce["extra"]["private_key"]
        self.canaries = {
            *PLANTED.values(),
            self.pagerduty["password"],
            *(self.pagerduty["extra"][name] for name in ("routing_key", "webhook_secret")),
            *(line for line in key.splitlines() if not line.startswith("---") and len(line) >= 8),
        }

    def __call__(self, *commands: str) -> None:
        """Run commands in a process of their own, one after the other, and keep what they say."""
        connections = {
            SALESFORCE: json.dumps(self.salesforce),
            PAGERDUTY: json.dumps(self.pagerduty),
        }
        done = subprocess.run(
            [sys.executable, "-c", ONE_BY_ONE, *commands],
            env=os.environ | {"PYTHONPATH": str(ROOT / "plugins")} | connections,
            cwd=self.world.home,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        number = len(self.outputs)
        self.outputs[f"{number} {commands}"] = done.stdout + done.stderr
        # The same on disk, as a log collector would have it.
        (self.world.home / f"said-{number}.log").write_text(done.stdout + done.stderr)

    def said(self) -> str:
        """All that was printed."""
        return "".join(self.outputs.values())

    def with_(self, salesforce: Change | None = None, pagerduty: Change | None = None) -> None:
        """Change the connections."""
        if salesforce is not None:
            salesforce(self.salesforce)
        if pagerduty is not None:
            pagerduty(self.pagerduty)

    def everything(self) -> None:
        """Every command that asks a service, with all that it can tell."""
        self(
            "sync --debug",
            "sync --json --debug",
            "status --doctor --debug",
            "lint --live --debug",
            "setup webhook --check --debug",
            "errors --json",
        )

    def found(self) -> list[str]:
        """Where canaries were found."""
        sessions = set(self.world.sandbox.salesforce.sessions._live)
        return hunt(self.world.home, self.outputs, self.canaries | sessions)


@pytest.fixture
def hunted(world: PipelineWorld) -> Hunted:
    """A world with rules both ways, comments crossing, and one pair."""
    world.cross_comments()
    world.rules(PAGE_HIGH, mirror("Born", event_is("trigger"), BORN))
    world.sync()
    world.case()
    world.ana().create_incident("Renewals", "New outage")
    return Hunted(world)


@pytest.fixture
def closed_port() -> str:
    """The address of a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_good_day_tells_nothing(hunted: Hunted) -> None:
    """Everything works, everything is logged, and no secret is among it."""
    hunted.everything()
    incident = hunted.world.incidents()[0]["id"]
    hunted(f"explain --incident {incident} --rules", "links rebuild --dry-run --debug")
    assert {one.state for one in hunted.world.actions()} == {"applied"}
    assert hunted.found() == []


def test_refusals_tell_nothing(hunted: Hunted) -> None:
    """401 for good from both services."""
    hunted("sync")
    for system in ("salesforce", "pagerduty"):
        hunted.world.fault("unauthorized", system, ".*", "", times=None)
    hunted.world.case("Another")
    hunted.everything()
    assert "salesforce_default" in hunted.said()
    assert hunted.found() == []


def test_services_that_are_not_there_tell_nothing(hunted: Hunted, closed_port: str) -> None:
    """Connections that are refused at both services, an app's login among them."""
    hunted.with_(lambda c: c["extra"].update(login_url=closed_port))
    hunted.with_(pagerduty=lambda c: c["extra"].update(base_url=closed_port))
    hunted.everything()
    assert hunted.found() == []


@pytest.mark.parametrize("where", ["login", "api", "app"])
def test_an_echo_tells_nothing(hunted: Hunted, where: str) -> None:
    """A proxy that quotes the whole request in its error: credentials, tokens and assertions are masked everywhere."""
    with echoing() as echo:
        _answer_by(hunted, echo, where)
        hunted.world.case("Another")
        hunted.everything()
        hunted.canaries |= echo.credentials
    assert echo.credentials
    assert "***" in hunted.said()
    assert hunted.found() == []


def _answer_by(hunted: Hunted, echo: Echo, where: str) -> None:
    """Let the echo stand in for the login, for both APIs, or for PagerDuty's token endpoint."""
    if where == "login":
        hunted.with_(lambda c: c["extra"].update(login_url=echo.url))
    elif where == "api":
        hunted.world.sandbox.salesforce.faults.set(instance_url=echo.url)
        hunted.with_(pagerduty=lambda c: c["extra"].update(base_url=echo.url, events_url=echo.url))
    else:
        hunted.with_(pagerduty=lambda c: c.update(password=""))
        app = {"subdomain": "acme", "token_url": echo.url}
        hunted.with_(pagerduty=lambda c: c["extra"].update(app))
        hunted.with_(
            lambda c: c["extra"].pop("private_key"),
        )
        hunted.with_(lambda c: c["extra"].update(login_url=echo.url))


def test_the_hunt_finds_a_leak(hunted: Hunted) -> None:
    """The hunt itself works: a canary in a file, in any spelling, is found."""
    secret = PLANTED["client_secret"]
    for spelled in (secret, quote(secret, safe=""), html.escape(secret), json.dumps(secret)):
        (hunted.world.home / "leak.log").write_text(f"Authorization: {spelled}")
        assert [re.sub(r".*/", "", one) for one in hunted.found()] == [f"leak.log: {secret[:14]}…"]
