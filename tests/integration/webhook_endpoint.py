"""The webhook endpoint behind a real socket, and somebody who sends to it."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from pd_sf_rules.ledger import Ledger, doorbells
from pd_sf_rules.ledger.tables import doorbells as doorbells_table
from pd_sf_rules.pipeline.opening import connect_from_environment
from pd_sf_rules.systems.pagerduty.webhooks import SIGNATURE_HEADER, signature
from pd_sf_rules.webhooks.app import webhooks_app

PREFIX = "/pd-sf-webhooks"
START_SECONDS = 20.0
_numbers = count(1)


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an ASGI app under PREFIX on a free loopback port; yields its base URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        Starlette(routes=[Mount(PREFIX, app)]), log_level="warning", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        until = time.monotonic() + START_SECONDS
        while not server.started:
            assert thread.is_alive(), "the endpoint did not start"
            assert time.monotonic() < until, "the endpoint did not start"
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
        listener.close()


def event(event_type: str = "incident.acknowledged", **more: Any) -> dict[str, Any]:
    """A webhook's envelope with an event id of its own."""
    told = {
        "id": f"01EVENT{next(_numbers):019d}",
        "event_type": event_type,
        "resource_type": "incident",
        "occurred_at": datetime.now(UTC).isoformat(),
        "agent": None,
        "client": None,
        "data": {"id": "Q0INC0000000A1", "type": "incident", "title": "Do not keep this"},
    }
    return {"event": told | more}


def body_of(envelope: Any) -> bytes:
    """Compact JSON, as PagerDuty sends it."""
    return json.dumps(envelope, separators=(",", ":")).encode()


@dataclass(slots=True)
class Endpoint:
    """The endpoint of a ledger under test. `secret` signs what is sent unless a test says otherwise."""

    url: str
    ledger: Ledger
    secret: str
    client: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, timeout=30))

    def address(self, integration: str = "default") -> str:
        """The address that PagerDuty is given."""
        return f"{self.url}{PREFIX}/pagerduty/{integration}"

    def send(
        self, body: bytes | None = None, *, signed: str | None = None, integration: str = "default"
    ) -> httpx.Response:
        """POST a body (default: a fresh event) under a signature (default: the right one)."""
        sent = body_of(event()) if body is None else body
        header = signature(sent, self.secret) if signed is None else signed
        headers = {SIGNATURE_HEADER: header, "Content-Type": "application/json"}
        return self.client.post(self.address(integration), content=sent, headers=headers)

    def rung(self) -> list[str]:
        """The event ids kept, in the order of arrival."""
        query = doorbells_table.select().order_by(doorbells_table.c.seq)
        with self.ledger.read() as c:
            return [row.event_id for row in c.execute(query)]

    def newest(self) -> doorbells.Doorbell:
        """The webhook kept last."""
        with self.ledger.read() as c:
            found = doorbells.newest_doorbell(c, "default")
        assert found is not None
        return found


@contextmanager
def running_endpoint(ledger: Ledger, secret: str) -> Iterator[Endpoint]:
    """Serve the endpoint over a ledger and the connections in the environment."""
    with served(webhooks_app(lambda: ledger, connect_from_environment)) as url:
        endpoint = Endpoint(url, ledger, secret)
        try:
            yield endpoint
        finally:
            endpoint.client.close()
