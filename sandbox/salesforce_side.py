"""How the sandbox opens the simulated org: the demo's connected app, certificate and user."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sandbox.demo_key import DemoKey
from sandbox.salesforce.seed import API_USER
from sandbox.salesforce.settings import ConnectedApp
from sandbox.salesforce.state import API_VERSION, SalesforceState

CONSUMER_KEY = "3MVG9sandboxDemoConsumerKey"

__all__ = ["API_USER", "API_VERSION", "CONSUMER_KEY", "admit", "open_org", "reset"]


def open_org(path: Path | None, clock: Callable[[], datetime], key: DemoKey) -> SalesforceState:
    """The simulated org of a file (None: memory), with the demo key's certificate uploaded."""
    state = SalesforceState(path, clock=clock)
    admit(state, key)
    return state


def admit(state: SalesforceState, key: DemoKey) -> None:
    """Register the demo's connected app for the integration user."""
    state.register_app(
        ConnectedApp(consumer_key=CONSUMER_KEY, certificate=key.certificate, usernames=[API_USER])
    )


def reset(state: SalesforceState, key: DemoKey) -> None:
    """Back to a newly planted org that the demo key may log in to."""
    state.reset()
    admit(state, key)
