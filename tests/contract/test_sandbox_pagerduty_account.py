"""The simulated account: people, priorities, abilities, OAuth, rate limits, events, webhooks."""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import httpx
import pytest
from pagerduty import OAuthTokenClient

from sandbox.pagerduty import courier
from sandbox.pagerduty.seed import (
    OAUTH_CLIENT_ID,
    OAUTH_CLIENT_SECRET,
    OPS_ROUTING_KEY,
    USER_KEY,
)
from sandbox.pagerduty.state import PagerDutyState
from sandbox.world import World
from tests.contract.pagerduty_client import LoopbackClient

Page = Callable[..., dict[str, Any]]
Delivery = tuple[dict[str, str], bytes]


def test_user_query_is_fuzzy_and_find_is_exact(client: LoopbackClient) -> None:
    """`query` finds by part of a name or address; the client's find compares exactly."""
    names = [user["name"] for user in client.rget("users", params={"query": "ana"})]
    assert names == ["Ana Lopez", "Ana Lopez-Marsh"]
    found = client.find("users", "ANA.MARSH@acme.example", attribute="email") or {}
    assert found["name"] == "Ana Lopez-Marsh"
    assert "active" not in found


def test_me_needs_a_users_own_key(world: World, client: LoopbackClient) -> None:
    """An account key has no user."""
    answer = client.get("users/me")
    assert answer.status_code == 400
    assert "account-level access token" in answer.text
    with LoopbackClient(world, USER_KEY) as ana:
        assert ana.rget("users/me")["email"] == "ana@acme.example"


def test_priorities_come_most_severe_first_and_names_may_repeat(
    world: World, client: LoopbackClient
) -> None:
    """An unused level is called ---, more than once; without the feature it is 402."""
    for level in (4, 5):
        doc = world.pagerduty.store.get("priority", f"PPRIO0{level}")
        world.pagerduty.store.put("priority", {**(doc or {}), "name": "---"})
    names = [priority["name"] for priority in client.rget("priorities")]
    assert names == ["P1", "P2", "P3", "---", "---"]
    world.pagerduty.abilities = ["teams"]
    assert client.get("priorities").status_code == 402


def test_abilities_answer_by_status(client: LoopbackClient) -> None:
    """Yes is 204, unknown is 404."""
    assert client.account_has_ability("teams")
    assert client.get("abilities/teleportation").status_code == 404


def test_services_and_policies_are_listed_with_references(client: LoopbackClient) -> None:
    """A routing key never shows; the policy is a reference until included."""
    service = client.find("services", "Support P1") or {}
    assert service["escalation_policy"]["type"] == "escalation_policy_reference"
    assert "routing_key" not in service
    policy = client.rget(f"escalation_policies/{service['escalation_policy']['id']}")
    assert len(policy["escalation_rules"]) == 2


def test_oauth_token_works_within_its_scopes(world: World) -> None:
    """A token has what was granted and 403 names what it lacks."""
    with OAuthTokenClient(OAUTH_CLIENT_SECRET, OAUTH_CLIENT_ID, verify=False) as oauth:
        oauth._url = world.pagerduty_url
        token = oauth.get_scoped_app_token("as_account-us.acme incidents.read services.read")
    assert token["access_token"].startswith("pdus+_")
    with LoopbackClient(world, token["access_token"], auth_type="bearer") as app:
        assert app.rget("incidents") == []
        refused = app.get("users")
    assert refused.status_code == 403
    error = refused.json()["error"]
    assert (error["message"], error["required_scopes"]) == (
        "Token missing required scopes",
        "users.read",
    )
    assert "code" not in error


def test_oauth_refuses_wrong_secret_and_scope(world: World) -> None:
    """A wrong secret is invalid_client, a scope without an account is invalid_request."""
    form = {"grant_type": "client_credentials", "client_id": OAUTH_CLIENT_ID,
            "client_secret": OAUTH_CLIENT_SECRET, "scope": "incidents.read"}  # fmt: skip
    url = f"{world.pagerduty_url}/oauth/token"
    assert httpx.post(url, data=form).json()["error"] == "invalid_request"
    assert httpx.post(url, data={**form, "client_secret": "no"}).json()["error"] == "invalid_client"


def test_rate_limit_is_announced_and_enforced(world: World, client: LoopbackClient) -> None:
    """Answers count down; past the limit 429 tells the seconds to wait."""
    world.pagerduty.limits.per_minute = 1_000_000
    headers = client.get("services").headers
    assert headers["ratelimit-limit"] == "1000000"
    assert 0 < int(headers["ratelimit-reset"]) <= 60
    world.pagerduty.limits.per_minute = 1
    client.get("services")
    refused = client.get("services")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, 2020)
    assert refused.headers["ratelimit-remaining"] == "0"
    assert 0 < int(refused.headers["ratelimit-reset"]) <= 60


def enqueue(world: World, **event: Any) -> httpx.Response:
    """Send one event to the Ops service's routing key."""
    body = {"routing_key": OPS_ROUTING_KEY, **event}
    return httpx.post(f"{world.pagerduty_url}/v2/enqueue", json=body)


def test_events_open_one_incident_per_key_and_close_it(
    world: World, client: LoopbackClient
) -> None:
    """The same key is one incident until resolved; then it opens a new one."""
    payload = {"summary": "Sync failed", "source": "airflow", "severity": "error"}
    trigger = {"event_action": "trigger", "dedup_key": "sync", "payload": payload}
    assert enqueue(world, **trigger).json() == {
        "status": "success", "message": "Event processed", "dedup_key": "sync",
    }  # fmt: skip
    assert enqueue(world, **trigger).status_code == 202
    (incident,) = client.list_all("incidents")
    assert (incident["title"], incident["incident_key"]) == ("Sync failed", None)
    assert incident["service"]["summary"] == "Ops sync"
    assert incident["alert_counts"]["triggered"] == 1
    assert client.list_all("incidents", params={"incident_key": "sync"})[0]["id"] == incident["id"]
    for action in ("acknowledge", "resolve", "resolve"):
        assert enqueue(world, event_action=action, dedup_key="sync").status_code == 202
    assert client.rget(f"incidents/{incident['id']}")["status"] == "resolved"
    agents = {e["agent"]["type"] for e in client.list_all("log_entries") if "agent" in e}
    assert agents == {"service_reference"}
    enqueue(world, **trigger)
    assert len(client.list_all("incidents")) == 2


def test_events_are_checked(world: World) -> None:
    """A bad key, action or payload is 400 with reasons; a change event pages nobody."""
    payload = {"summary": "s", "source": "x", "severity": "fatal"}
    bad = enqueue(world, event_action="trigger", payload=payload)
    assert (bad.status_code, bad.json()["status"]) == (400, "invalid event")
    assert any("severity" in error for error in bad.json()["errors"])
    assert enqueue(world, event_action="resolve").status_code == 400
    assert (
        enqueue(world, routing_key="0" * 32, event_action="resolve", dedup_key="k").status_code
        == 400
    )
    change = {"routing_key": OPS_ROUTING_KEY, "payload": {"summary": "Deployed"}}
    answer = httpx.post(f"{world.pagerduty_url}/v2/change/enqueue", json=change)
    assert answer.status_code == 202
    assert world.pagerduty.store.scalar("SELECT COUNT(*) FROM incidents") == 0


def test_events_are_throttled_per_routing_key(world: World) -> None:
    """Past the limit an event is refused with 429 and not taken in."""
    world.pagerduty.limits.events_per_minute = 1
    payload = {"summary": "s", "source": "x", "severity": "error"}
    statuses = [
        enqueue(world, event_action="trigger", payload=payload).status_code for _ in range(2)
    ]
    assert statuses == [202, 429]
    assert world.pagerduty.store.scalar("SELECT COUNT(*) FROM incidents") == 1


@contextmanager
def receiver(*statuses: int) -> Iterator[tuple[str, "Queue[Delivery]"]]:
    """A loopback endpoint that answers with these statuses in turn, then 202."""
    received: Queue[Delivery] = Queue()
    answers = list(statuses)

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.put((dict(self.headers.items()), body))
            self.send_response(answers.pop(0) if answers else 202)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def subscribe(client: LoopbackClient, url: str, *events: str) -> dict[str, Any]:
    """Subscribe the whole account to some event types."""
    subscription: dict[str, Any] = client.rpost(
        "webhook_subscriptions",
        json={
            "type": "webhook_subscription",
            "events": list(events),
            "filter": {"type": "account_reference"},
            "delivery_method": {"type": "http_delivery_method", "url": url},
        },
    )
    return subscription


def test_webhooks_are_signed_over_the_raw_body(
    world: World, client: LoopbackClient, page: Page
) -> None:
    """Each delivery is compact JSON under v1= HMAC-SHA256 with the secret of the create answer."""
    with receiver() as (url, received):
        subscription = subscribe(client, url, "incident.triggered", "incident.annotated")
        assert (
            client.rget(f"webhook_subscriptions/{subscription['id']}")["delivery_method"]["secret"]
            is None
        )
        incident = page()
        world.person("Ana Lopez").resolve(incident["id"], "Provider is back")
        deliveries = [received.get(timeout=5) for _ in range(2)]
    secret = subscription["delivery_method"]["secret"].encode()
    for headers, body in deliveries:
        expected = "v1=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
        assert headers["X-PagerDuty-Signature"] == expected
        assert headers["X-Webhook-Subscription"] == subscription["id"]
        assert b'": ' not in body
    first, second = (json.loads(body)["event"] for _, body in deliveries)
    assert (first["event_type"], first["data"]["number"]) == ("incident.triggered", 1)
    assert "incident_number" not in first["data"]
    assert second["data"]["content"] == "Resolution Note: Provider is back"
    assert second["data"]["incident"]["id"] == incident["id"]
    assert second["agent"]["summary"] == "Ana Lopez"


def test_failed_delivery_is_retried_in_order(
    world: World, client: LoopbackClient, page: Page
) -> None:
    """After a 500 the same delivery comes again, and later ones of that incident wait for it."""
    world.pagerduty.webhook_retry_seconds = 0.05
    with receiver(500) as (url, received):
        subscribe(client, url, "incident.triggered", "incident.acknowledged")
        world.person("Ana Lopez").acknowledge(page()["id"])
        deliveries = [received.get(timeout=5) for _ in range(3)]
    assert deliveries[0][0]["X-Webhook-Id"] == deliveries[1][0]["X-Webhook-Id"]
    events = [json.loads(body)["event"]["event_type"] for _, body in deliveries]
    assert events == ["incident.triggered", "incident.triggered", "incident.acknowledged"]


def wait_for_drops(state: PagerDutyState, subscription_id: str) -> dict[str, Any]:
    """The subscription once it is disabled; the courier runs beside the test."""
    done = threading.Event()
    for _ in range(100):
        doc = state.store.get("webhook_subscription", subscription_id) or {}
        if doc["delivery_method"]["temporarily_disabled"]:
            return doc
        done.wait(0.05)
    raise AssertionError(f"never disabled: {courier.deliveries(state)}")


def test_three_drops_disable_the_subscription(
    world: World, client: LoopbackClient, page: Page
) -> None:
    """A 4xx drops at once; after three nothing is sent until it is enabled again."""
    with receiver(403, 403, 403) as (url, received):
        subscription = subscribe(client, url, "incident.triggered")
        for number in range(3):
            page(f"number {number}")
        wait_for_drops(world.pagerduty, subscription["id"])
        page("unseen")
        path = f"webhook_subscriptions/{subscription['id']}"
        assert client.post(f"{path}/enable").status_code == 200
        assert client.post(f"{path}/ping").status_code == 202
        bodies = [json.loads(received.get(timeout=5)[1])["event"] for _ in range(4)]
    assert [event["event_type"] for event in bodies] == ["incident.triggered"] * 3 + ["pagey.ping"]


@pytest.mark.parametrize(
    "change",
    [
        {"events": []},
        {"events": ["incident.triggered", "incident.triggered"]},
        {"filter": {"type": "service_reference", "id": "PNOPE"}},
        {"delivery_method": {"type": "http_delivery_method", "url": "http://example.com"}},
    ],
)
def test_bad_subscription_is_refused(client: LoopbackClient, change: dict[str, Any]) -> None:
    """Events are unique and at least one, filters exist, addresses are https or loopback."""
    body = {
        "type": "webhook_subscription",
        "events": ["incident.triggered"],
        "filter": {"type": "account_reference"},
        "delivery_method": {"type": "http_delivery_method", "url": "https://hooks.example/pd"},
        **change,
    }
    answer = client.post("webhook_subscriptions", json={"webhook_subscription": body})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 2001)
