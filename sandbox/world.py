"""Both simulated systems with their faults, traffic and sockets, ready to be served."""

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from starlette.types import ASGIApp

from sandbox import control, demo_key, salesforce_side, servers
from sandbox.faults import FaultPlan
from sandbox.habits import Habits
from sandbox.middleware import FaultsAndTraffic
from sandbox.pagerduty import seed as pagerduty_seed
from sandbox.pagerduty.app import create_app as pagerduty_app
from sandbox.pagerduty.people import Person
from sandbox.pagerduty.people import person as pagerduty_person
from sandbox.pagerduty.shapes import utc_now
from sandbox.pagerduty.state import PagerDutyState
from sandbox.pubsub.bus import Bus
from sandbox.pubsub.server import PubSubServer
from sandbox.salesforce.app import create_app as salesforce_app
from sandbox.salesforce.state import SalesforceState
from sandbox.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on loopback; 0 takes a free one."""

    salesforce: int = 0
    pagerduty: int = 0
    control: int = 0
    pubsub: int = 0


@dataclass(slots=True)
class World:
    """A sandbox: both states, what is planned to go wrong, what was received, and the addresses."""

    pagerduty: PagerDutyState
    salesforce: SalesforceState
    faults: FaultPlan
    traffic: Traffic
    key: demo_key.DemoKey = field(repr=False)
    sockets: dict[str, socket.socket] = field(repr=False)
    pubsub: Bus = field(repr=False)
    pubsub_server: PubSubServer = field(repr=False)
    habits: Habits = field(default_factory=Habits)
    airflow_url: str = ""
    """Where the Airflow is that keeps both sides in step: the play page then leads to what it saw and did."""

    @property
    def salesforce_url(self) -> str:
        """Log-in and instance URL of the simulated org."""
        return servers.address(self.sockets["salesforce"])

    @property
    def pagerduty_url(self) -> str:
        """REST, Events and OAuth URL of the simulated account."""
        return servers.address(self.sockets["pagerduty"])

    @property
    def control_url(self) -> str:
        """The play page, and the control API below it."""
        return servers.address(self.sockets["control"])

    @property
    def pubsub_endpoint(self) -> str:
        """Host and port of the Pub/Sub API: gRPC without TLS."""
        return f"{servers.HOST}:{self.pubsub_server.port}"

    @property
    def connections(self) -> dict[str, str]:
        """Values for the two `AIRFLOW_CONN_*` environment variables, as JSON text."""
        return {
            "AIRFLOW_CONN_SALESFORCE_DEFAULT": json.dumps(self.salesforce_connection()),
            "AIRFLOW_CONN_PAGERDUTY_DEFAULT": json.dumps(self.pagerduty_connection()),
        }

    def salesforce_connection(self) -> dict[str, object]:
        """The Airflow connection to the simulated org, JWT bearer."""
        return {
            "conn_type": "salesforce",
            "login": salesforce_side.API_USER,
            "extra": {
                "consumer_key": salesforce_side.CONSUMER_KEY,
                "private_key": self.key.private_key,
                "login_url": self.salesforce_url,
                "version": salesforce_side.API_VERSION,
                "pubsub_endpoint": self.pubsub_endpoint,
            },
        }

    def pagerduty_connection(self) -> dict[str, object]:
        """The Airflow connection to the simulated account, by account key."""
        return {
            "conn_type": "pagerduty",
            "password": pagerduty_seed.ACCOUNT_KEY,
            "extra": {
                "from_email": pagerduty_seed.INTEGRATION_USER,
                "base_url": self.pagerduty_url,
                "events_url": self.pagerduty_url,
                "routing_key": pagerduty_seed.OPS_ROUTING_KEY,
                "webhook_secret": pagerduty_seed.WEBHOOK_SECRET,
            },
        }

    def ready(self) -> dict[str, object]:
        """What the ready line and file tell: the addresses and the connections."""
        return {
            "salesforce_url": self.salesforce_url,
            "pagerduty_url": self.pagerduty_url,
            "control_url": self.control_url,
            "pubsub_endpoint": self.pubsub_endpoint,
            "connections": self.connections,
        }

    def person(self, name: str) -> Person:
        """A PagerDuty user by name, e-mail or id, at the website."""
        return pagerduty_person(self.pagerduty, name)

    def reset(self) -> None:
        """Both systems back to their seed and their own habits; no faults, no traffic."""
        self.faults.clear()
        self.habits.reset()
        self.pagerduty.reset()
        salesforce_side.reset(self.salesforce, self.key)
        self.pubsub.clear()
        self.traffic.clear()

    def listeners(self) -> list[servers.Listener]:
        """The three applications on their sockets."""
        systems = {
            "salesforce": salesforce_app(self.salesforce),
            "pagerduty": pagerduty_app(self.pagerduty),
        }
        apps: dict[str, ASGIApp] = {
            name: FaultsAndTraffic(
                app, name, self.faults, self.traffic, f"{self.control_url}/salesforce", self.habits
            )
            for name, app in systems.items()
        }
        apps["control"] = control.create_app(self)
        return [
            servers.Listener(app, self.sockets[name], dates_itself=name != "control")
            for name, app in apps.items()
        ]

    async def serve(self, started: asyncio.Event, stop: asyncio.Event) -> None:
        """Serve everything until `stop`."""
        self.pubsub_server.start()
        await servers.serve(self.listeners(), started, stop)

    def close(self) -> None:
        """Close sockets and databases."""
        self.pubsub_server.close()
        for bound in self.sockets.values():
            bound.close()
        self.pagerduty.close()
        self.salesforce.close()


def open_world(
    folder: Path | None,
    ports: Ports | None = None,
    *,
    clock: Callable[[], datetime] = utc_now,
    seed: int | None = None,
) -> World:
    """Open (or carry on with) the sandbox of a folder, or a fresh one in memory for None.

    Raises OSError naming a port that is taken.
    """
    wanted = ports or Ports()
    sockets: dict[str, socket.socket] = {}
    for name in ("salesforce", "pagerduty", "control"):
        sockets[name] = servers.bind(getattr(wanted, name))
    key = demo_key.kept_in(folder) if folder else demo_key.of_this_process()
    pagerduty = PagerDutyState(folder / "pagerduty.sqlite" if folder else None, clock, seed=seed)
    salesforce = salesforce_side.open_org(
        folder / "salesforce.sqlite" if folder else None, clock, key
    )
    bus = Bus(salesforce.org)
    salesforce.org.store.told.append(bus.committed)
    events = PubSubServer(salesforce, bus, wanted.pubsub)
    world = World(pagerduty, salesforce, FaultPlan(seed or 0), Traffic(), key, sockets, bus, events)
    pagerduty.api_url = world.pagerduty_url
    pagerduty.web_url = f"{world.control_url}/pagerduty"
    return world
