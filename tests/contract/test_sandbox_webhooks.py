"""The simulated PagerDuty's webhooks: lost, doubled, late, pinged, switched off for a day, as its users meet them."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx

from sandbox.pagerduty import courier, delivery_queue
from sandbox.world import World
from tests.contract.pagerduty_client import LoopbackClient
from tests.contract.test_sandbox_pagerduty_account import receiver, subscribe, wait_for_drops

Page = Callable[..., dict[str, Any]]


def settings(world: World, **values: Any) -> None:
    """Set something over the control API, as a test of another process does."""
    httpx.post(f"{world.control_url}/pagerduty/settings", json=values).raise_for_status()


def told(delivery: tuple[dict[str, str], bytes]) -> str:
    """The title of the incident that a delivery is about."""
    return str(json.loads(delivery[1])["event"]["data"]["title"])


def test_deliveries_can_be_lost(world: World, client: LoopbackClient, page: Page) -> None:
    """A lost one never comes; the next one does."""
    with receiver() as (url, received):
        subscribe(client, url, "incident.triggered")
        settings(world, delivery_faults={"drop": 1.0})
        page("lost")
        settings(world, delivery_faults={})
        page("kept")
        assert told(received.get(timeout=5)) == "kept"
    assert courier.deliveries(world.pagerduty)[0]["state"] == "lost"


def test_deliveries_can_come_twice(world: World, client: LoopbackClient, page: Page) -> None:
    """The same event under the same webhook id."""
    with receiver() as (url, received):
        subscribe(client, url, "incident.triggered")
        settings(world, delivery_faults={"double": 1.0})
        page("twice")
        first, second = (received.get(timeout=5) for _ in range(2))
    assert first[1] == second[1]
    assert first[0]["X-Webhook-Id"] == second[0]["X-Webhook-Id"]


def test_deliveries_can_come_out_of_order(world: World, client: LoopbackClient, page: Page) -> None:
    """A late one holds nobody up, and arrives after what happened later."""
    with receiver() as (url, received):
        subscribe(client, url, "incident.triggered", "incident.acknowledged")
        settings(world, delivery_faults={"late": 1.0, "late_seconds": 0.5, "seed": 3})
        incident = page()
        settings(world, delivery_faults={})
        world.person("Ana Lopez").acknowledge(incident["id"])
        types = [json.loads(received.get(timeout=5)[1])["event"]["event_type"] for _ in range(2)]
    assert types == ["incident.acknowledged", "incident.triggered"]


def test_a_subscription_that_was_switched_off_comes_back_after_a_day(
    world: World, client: LoopbackClient, page: Page
) -> None:
    """For 24 hours it says so itself and is told nothing; then it is told again, unasked."""
    with receiver(403, 403, 403) as (url, received):
        made = subscribe(client, url, "incident.triggered")
        for number in range(3):
            page(f"number {number}")
        wait_for_drops(world.pagerduty, made["id"])
        path = f"webhook_subscriptions/{made['id']}"
        assert client.rget(path)["delivery_method"]["temporarily_disabled"] is True
        page("unseen")
        clock = world.pagerduty.clock
        day = timedelta(seconds=delivery_queue.DISABLED_SECONDS + 1)
        world.pagerduty.clock = lambda: clock() + day
        try:
            assert client.rget(path)["delivery_method"]["temporarily_disabled"] is False
            page("seen")
            titles = [told(received.get(timeout=5)) for _ in range(4)]
        finally:
            world.pagerduty.clock = clock
    assert titles[3] == "seen"


def test_subscriptions_can_be_listed_changed_and_removed(
    world: World, client: LoopbackClient
) -> None:
    """Events, activity and description change; the address does not, and the secret is told once."""
    made = subscribe(client, "https://hooks.example/pd", "incident.triggered")
    path = f"webhook_subscriptions/{made['id']}"
    changed = client.rput(
        path,
        json={
            "events": ["incident.resolved"],
            "active": False,
            "delivery_method": {"type": "http_delivery_method", "url": "https://elsewhere.example"},
        },
    )
    assert (changed["events"], changed["active"]) == (["incident.resolved"], False)
    assert changed["delivery_method"]["url"] == "https://hooks.example/pd"
    (listed,) = client.list_all("webhook_subscriptions")
    assert listed["delivery_method"]["secret"] is None
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
