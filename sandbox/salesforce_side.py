"""How the sandbox opens the simulated org: the demo's app, certificate and integration user."""

import importlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.demo_key import DemoKey

CONSUMER_KEY = "3MVG9sandboxDemoConsumerKey"
SYNC_USER = "pagerduty-sync@acme.example"
API_VERSION = "66.0"


class Absent:
    """Stands in while sandbox.salesforce is not there yet."""

    def close(self) -> None:
        """Nothing to close."""


def open_salesforce(path: Path | None, clock: Callable[[], datetime], key: DemoKey) -> Any:
    """The simulated org, logging in allowed with the demo key."""
    try:
        module = importlib.import_module("sandbox.salesforce.state")
    except ModuleNotFoundError:
        return Absent()
    state = module.SalesforceState(path, clock=clock)
    admit(state, key)
    return state


def admit(state: Any, key: DemoKey) -> None:
    """Upload the certificate and approve the integration user."""
    app_of = importlib.import_module("sandbox.salesforce.settings").ConnectedApp
    state.register_app(
        app_of(consumer_key=CONSUMER_KEY, certificate=key.certificate, usernames=[SYNC_USER])
    )


def reset(state: Any, key: DemoKey) -> None:
    """Back to the seed."""
    if not isinstance(state, Absent):
        state.reset()
        admit(state, key)


def app(state: Any) -> Starlette:
    """The org's application."""
    if isinstance(state, Absent):
        return Starlette(routes=[Route("/{path:path}", _absent)])
    made: Starlette = importlib.import_module("sandbox.salesforce.app").create_app(state)
    return made


async def _absent(_request: Request) -> Response:
    return JSONResponse([{"errorCode": "SERVER_UNAVAILABLE", "message": "not built yet"}], 503)
