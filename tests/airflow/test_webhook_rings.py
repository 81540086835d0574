"""A webhook in the ledger makes the waiting trigger look at once: a hint over the same cursor, and never more."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from pd_sf_rules.hooks.runs import ledger_of_process
from pd_sf_rules.ledger import doorbells
from pd_sf_rules.ledger.doorbells import PING, Doorbell
from pd_sf_rules.triggers import rings
from pd_sf_rules.triggers.changes import PagerDutyChangesTrigger
from sandbox.pagerduty import webhooks
from sandbox.pagerduty.delivery_queue import DeliveryFaults
from sandbox.pagerduty.seed import WEBHOOK_SECRET
from sandbox.pagerduty.state import LogEntryFaults
from tests.airflow.test_triggers import Ear, listening
from tests.integration.pipeline_world import PAGE_NEW, PipelineWorld
from tests.integration.webhook_endpoint import running_endpoint
from tests.own_loop import run_in_own_loop

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

NEVER = 600.0
"""Seconds between two looks of a poll that no test waits for."""

_numbers = count(1)


@pytest.fixture
def watched(world: PipelineWorld) -> Iterator[PipelineWorld]:
    """A world with a rule; this process opens its ledger anew."""
    world.rules(PAGE_NEW)
    ledger_of_process.cache_clear()
    yield world
    ledger_of_process().close()
    ledger_of_process.cache_clear()


def webhook(world: PipelineWorld, event_type: str = "incident.acknowledged") -> None:
    """What the endpoint writes, on whatever host it runs."""
    now = datetime.now(UTC)
    with world.ledger.begin() as c:
        assert doorbells.ring(
            c, Doorbell("default", f"E{next(_numbers)}", event_type, "Q", now, now)
        )


def calls(world: PipelineWorld) -> int:
    """How many requests PagerDuty got so far."""
    return int(world.sandbox.traffic.totals("pagerduty")["calls"])


def play(
    world: PipelineWorld, story: Callable[[Ear], Awaitable[None]], poll_seconds: float = NEVER
) -> None:
    """Let a trigger listen, wait for its first ring, and play a story to it; a ping came long ago."""
    webhook(world, PING)

    async def told() -> None:
        async with listening(PagerDutyChangesTrigger(poll_seconds=poll_seconds)) as (ear,):
            await ear.hear(1)
            await story(ear)

    run_in_own_loop(told())


def test_a_webhook_is_looked_after_at_once(watched: PipelineWorld) -> None:
    """Long before the next poll; the answer to a webhook is one request."""
    incident = watched.ana().create_incident("Checkout", "Slow")

    async def story(ear: Ear) -> None:
        before, started = calls(watched), time.monotonic()
        await asyncio.to_thread(watched.ana().acknowledge, incident["id"])
        await asyncio.to_thread(webhook, watched)
        await ear.hear(2)
        assert time.monotonic() - started < 5
        assert calls(watched) - before == 1

    play(watched, story)


def test_an_entry_that_shows_late_is_found(watched: PipelineWorld) -> None:
    """The webhook is quicker than the log: the trigger looks again within seconds, not only at the next poll."""
    incident = watched.ana().create_incident("Checkout", "Slow")

    async def story(ear: Ear) -> None:
        watched.sandbox.pagerduty.log_entry_faults = LogEntryFaults(late=1.0, late_seconds=1.5)
        await asyncio.to_thread(watched.ana().acknowledge, incident["id"])
        await asyncio.to_thread(webhook, watched)
        await ear.hear(2)

    play(watched, story)


def test_a_webhook_about_nothing_costs_a_few_looks(
    watched: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts no run; a ping is not even looked after."""
    monkeypatch.setattr(rings, "LOOK_AGAIN_SECONDS", (0.1, 0.2, 0.3, 0.4))

    async def story(ear: Ear) -> None:
        before = calls(watched)
        await asyncio.to_thread(webhook, watched, PING)
        await asyncio.sleep(1.0)
        assert calls(watched) == before
        await asyncio.to_thread(webhook, watched)
        await asyncio.sleep(2.5)
        assert calls(watched) - before == 1 + len(rings.LOOK_AGAIN_SECONDS)
        assert ear.rings == 1

    play(watched, story)


def test_a_storm_of_webhooks_is_one_look_a_second(watched: PipelineWorld) -> None:
    """A hundred a second cost PagerDuty no more requests than one."""

    async def story(_ear: Ear) -> None:
        before, started = calls(watched), time.monotonic()
        while time.monotonic() - started < 2.5:
            await asyncio.to_thread(webhook, watched)
        assert calls(watched) - before <= 4

    play(watched, story)


def test_a_side_in_trouble_is_not_asked_more_often(watched: PipelineWorld) -> None:
    """While PagerDuty refuses, webhooks do not shorten the growing pauses; its recovery rings."""

    async def story(ear: Ear) -> None:
        refusal: dict[str, Any] = {"status": 403, "body": {}}  # one that no look repeats by itself
        fault = watched.fault("answer", "pagerduty", "GET", "/log_entries", times=None, **refusal)
        await asyncio.to_thread(watched.wait_for_hit, fault, 7)
        hits, started = watched.hits(fault), time.monotonic()
        while time.monotonic() - started < 2:
            await asyncio.to_thread(webhook, watched)
            await asyncio.sleep(0.05)
        assert (
            watched.hits(fault) - hits <= 2
        )  # a look is two requests as long as the clock is unknown
        watched.sandbox.faults.remove(fault)
        await ear.hear(2)

    play(watched, story, poll_seconds=0.3)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(DeliveryFaults(), id="once"),
        pytest.param(DeliveryFaults(double=1.0), id="twice"),
        pytest.param(DeliveryFaults(late=1.0, late_seconds=0.5), id="late"),
        pytest.param(DeliveryFaults(drop=1.0), id="lost"),
    ],
)
def test_all_the_way_from_pagerduty(watched: PipelineWorld, faults: DeliveryFaults) -> None:
    """Delivered by HTTP to the endpoint, once, twice or late: one ring. A lost one is found by the next poll."""
    incident = watched.ana().create_incident("Checkout", "Slow")
    with running_endpoint(watched.ledger, WEBHOOK_SECRET) as endpoint:
        method = {"type": "http_delivery_method", "url": endpoint.address()}
        subscription = {
            "events": ["incident.acknowledged"],
            "filter": {"type": "account_reference"},
            "delivery_method": method,
        }
        webhooks.subscribe(watched.sandbox.pagerduty, subscription, secret=WEBHOOK_SECRET)
        watched.sandbox.pagerduty.delivery_faults = faults

        async def story(ear: Ear) -> None:
            await asyncio.to_thread(watched.ana().acknowledge, incident["id"])
            await ear.hear(2)
            if not faults.drop:
                async with asyncio.timeout(20):
                    while len(endpoint.rung()) < 2:  # noqa: ASYNC110 - another process would write it
                        await asyncio.sleep(0.02)
            assert ear.rings == 2

        play(watched, story, poll_seconds=2.0 if faults.drop else NEVER)


def test_without_webhooks_the_ledger_is_left_alone(watched: PipelineWorld) -> None:
    """Where none ever came, the first one waits for the next poll, and is heard by it."""

    async def told() -> None:
        async with listening(PagerDutyChangesTrigger(poll_seconds=0.5)) as (ear,):
            await ear.hear(1)
            incident = await asyncio.to_thread(watched.ana().create_incident, "Checkout", "Slow")
            await asyncio.to_thread(webhook, watched)
            await ear.hear(2)
            await asyncio.to_thread(watched.ana().acknowledge, incident["id"])
            await asyncio.to_thread(webhook, watched)
            await ear.hear(3)

    run_in_own_loop(told())
