"""A running sandbox for the contract tests, and the official PagerDuty client pointed at it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.pagerduty.seed import INTEGRATION_USER
from sandbox.running import running_sandbox
from sandbox.world import World
from tests.contract.pagerduty_client import LoopbackClient


@pytest.fixture(scope="module")
def _served() -> Iterator[World]:
    """One served sandbox for all tests of a file."""
    with running_sandbox(seed=7) as world:
        yield world


@pytest.fixture
def world(_served: World) -> World:
    """The sandbox as freshly seeded."""
    _served.reset()
    return _served


@pytest.fixture
def client(world: World) -> Iterator[LoopbackClient]:
    """The official client with the account key, writing as the integration user."""
    with LoopbackClient(world, default_from=INTEGRATION_USER) as made:
        yield made


@pytest.fixture
def page(client: LoopbackClient) -> Callable[..., dict[str, Any]]:
    """Create an incident through the API: `page(title, **members)`."""

    def create(title: str = "Card failures", **members: Any) -> dict[str, Any]:
        service = {"id": "PSUPP01", "type": "service_reference"}
        body = {"type": "incident", "title": title, "service": service, **members}
        incident: dict[str, Any] = client.rpost("incidents", json=body)
        return incident

    return create
