"""A webhook through the real thing: PagerDuty to the api-server, the ledger, the triggerer, and a run that acts."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from embedded import EmbeddedAirflowError
from pd_sf_rules.ledger import doorbells
from sandbox.pagerduty import webhooks
from tests.airflow.sync_world import SHARED, SyncWorld, eventually
from tests.integration.pipeline_world import mirror

pytestmark = pytest.mark.xdist_group(SHARED)

HOOKED = "hooked"
DAG = f"pagerduty_to_salesforce__{HOOKED}"
SECRET = "sandbox-webhook-secret"
POLL_SECONDS = 600
TITLE = "Rung by a webhook"


@pytest.fixture(scope="module")
def world(shared_sync: SyncWorld) -> Iterator[SyncWorld]:
    """The shared Airflow with one more integration, which polls every ten minutes and has a webhook."""
    files = [shared_sync.sides.home / name / "hooked.yaml" for name in ("integrations", "rulesets")]
    _write(*files)
    subscription = webhooks.subscribe(
        shared_sync.sides.sandbox.pagerduty,
        {
            "events": list(webhooks.INCIDENT_EVENTS),
            "filter": {"type": "account_reference"},
            "delivery_method": {
                "type": "http_delivery_method",
                "url": f"{shared_sync.airflow.base_url}/pd-sf-webhooks/pagerduty/{HOOKED}",
            },
        },
        secret=SECRET,
    )
    webhooks.ping(shared_sync.sides.sandbox.pagerduty, subscription["id"])
    eventually(lambda: newest(shared_sync), "the ping in the ledger")
    eventually(lambda: _unpaused(shared_sync), f"the DAG {DAG}")
    eventually(lambda: shared_sync.rung(DAG), f"the first run of {DAG}")
    yield shared_sync
    shared_sync.sides.sandbox.pagerduty.store.delete("webhook_subscription", subscription["id"])
    shared_sync.airflow.call("PATCH", f"/dags/{DAG}", json={"is_paused": True})
    for path in files:
        path.unlink()


def _write(integration: Path, ruleset: Path) -> None:
    integration.write_text(yaml.safe_dump({"name": HOOKED, "poll_seconds": POLL_SECONDS}))
    titled = {"field": "incident.title", "operation": "starts_with", "value": TITLE}
    record = {"object": "Case", "fields": {"Subject": "{{ incident.title }}", "Origin": "Web"}}
    rules = [mirror("Case", {"all": [titled]}, {"create_record": record})]
    head = {"version": 1, "name": "Hooked", "enabled": True, "integration": HOOKED}
    ruleset.write_text(yaml.safe_dump(head | {"rules": rules}))


def _unpaused(world: SyncWorld) -> bool:
    try:
        world.airflow.unpause(DAG)
    except EmbeddedAirflowError:
        return False
    return True


def newest(world: SyncWorld) -> doorbells.Doorbell | None:
    """The webhook that arrived last."""
    with world.sides.ledger.read() as c:
        return doorbells.newest_doorbell(c, HOOKED)


def case_of(world: SyncWorld, title: str) -> dict[str, Any] | None:
    """The Case of that subject, if it is there."""
    return next((one for one in world.sides.cases() if one["Subject"] == title), None)


def test_a_webhook_starts_a_run_at_once(world: SyncWorld) -> None:
    """Minutes before the next poll, through the api-server's open route; and the run does what rules say."""
    title = f"{TITLE} {time.time()}"
    runs = len(world.airflow.runs(DAG))
    started = time.monotonic()
    world.sides.ana().create_incident("Checkout", title)
    eventually(lambda: case_of(world, title), "the Case")
    assert time.monotonic() - started < POLL_SECONDS / 10
    last = newest(world)
    assert last is not None
    assert last.event_type == "incident.triggered"
    assert abs((datetime.now(UTC) - last.received_at).total_seconds()) < POLL_SECONDS
    assert len(world.airflow.runs(DAG)) > runs


def test_the_open_route_opens_nothing_else(world: SyncWorld) -> None:
    """In the real api-server: without a signature 401, alive for anybody, and Airflow's own pages closed still."""
    url = world.airflow.base_url
    answer = httpx.post(f"{url}/pd-sf-webhooks/pagerduty/{HOOKED}", json={"event": {}})
    assert (answer.status_code, answer.content) == (401, b"")
    assert httpx.get(f"{url}/pd-sf-webhooks/health").json() == {"status": "alive"}
    assert httpx.get(f"{url}/pd-sf-rules/summary").status_code in {302, 401}
    long = b"x" * (2 * 1024 * 1024)
    assert httpx.post(f"{url}/pd-sf-webhooks/pagerduty/{HOOKED}", content=long).status_code == 413
