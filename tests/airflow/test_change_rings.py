"""A change event of Salesforce makes the waiting trigger look at once: a hint over the same cursor, and never more."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

import pytest

from pd_sf_rules.hooks.runs import ledger_of_process
from pd_sf_rules.hooks.stored import stored_connection
from pd_sf_rules.ledger import signals
from pd_sf_rules.model import SALESFORCE
from pd_sf_rules.triggers import subscription
from pd_sf_rules.triggers.changes import SalesforceChangesTrigger
from pd_sf_rules.triggers.doorbell import NOTES, NOTHING, RULES
from pd_sf_rules.triggers.poll import Poll
from tests.airflow.test_triggers import Ear, listening
from tests.integration.pipeline_world import PAGE_NEW, PipelineWorld, rule
from tests.own_loop import run_in_own_loop

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

POLL = 60.0
SOON = 2.0
ON = {"signals": {"salesforce": "pubsub"}}
DEALS = rule(
    "Deals",
    {"field": "Opportunity.Name", "operation": "changed"},
    {"create_incident": {"service": "Deal desk", "title": "{{ record.Name }}"}},
    object="Opportunity",
)


@pytest.fixture
def watched(world: PipelineWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[PipelineWorld]:
    """A world with a rule on Case and the signal on; this process opens its ledger anew."""
    monkeypatch.setattr(subscription, "SETTLED_SECONDS", 600.0)  # no look but for an event
    world.rules(PAGE_NEW)
    world.settings(**ON)
    ledger_of_process.cache_clear()
    yield world
    ledger_of_process().close()
    ledger_of_process.cache_clear()


def play(
    story: Callable[[Ear], Awaitable[None]], poll_seconds: float = POLL, topic: str = RULES
) -> None:
    """Let a trigger listen, wait for its first ring, and play a story to it."""

    async def told() -> None:
        trigger = SalesforceChangesTrigger(poll_seconds=poll_seconds, topic=topic)
        async with listening(trigger) as (ear,):
            await ear.hear(1)
            await story(ear)

    run_in_own_loop(told())


async def subscribed(world: PipelineWorld, object_name: str = "Case", streams: int = 1) -> None:
    """Wait until Salesforce has the subscription."""
    bus = world.sandbox.pubsub
    assert await asyncio.to_thread(bus.wait_for_listeners, object_name, streams)


def calls(world: PipelineWorld) -> int:
    """How many REST calls Salesforce got so far."""
    return int(world.sandbox.traffic.totals("salesforce")["calls"])


def test_a_change_is_looked_after_at_once(watched: PipelineWorld) -> None:
    """Long before the next poll; the answer to it is one call."""

    async def story(ear: Ear) -> None:
        await subscribed(watched)
        before, started = calls(watched), time.monotonic()
        await asyncio.to_thread(watched.case)
        await ear.hear(2)
        assert time.monotonic() - started < SOON
        assert calls(watched) - before == 1

    play(story)


def test_two_changes_within_a_second(
    watched: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second leaves count and stamp as they are, so that a look sees nothing: the event's own instant rings."""
    org = watched.sandbox.salesforce.org
    moment = org.clock() + timedelta(minutes=1)

    async def story(ear: Ear) -> None:
        await subscribed(watched)
        monkeypatch.setattr(org, "clock", lambda: moment)
        made = await asyncio.to_thread(watched.case)
        await ear.hear(2)
        await asyncio.to_thread(watched.edit, made, Status="Working")
        await ear.hear(3)

    play(story)


def test_an_event_of_what_was_seen_already_rings_nobody(watched: PipelineWorld) -> None:
    """Told late, of another object, or twice: only a change after the last look began is news by itself."""
    poll = Poll(SALESFORCE, "default", stored_connection, lambda: watched.ledger)
    try:
        assert poll.look() == NOTHING
        watched.case()
        assert poll.look() == frozenset({RULES})
        now = watched.clock()
        for told in ({"Case": now - timedelta(minutes=1)}, {"Account": now + timedelta(minutes=1)}):
            poll.told = told
            assert poll.look() == NOTHING
        poll.told = {"Case": now + timedelta(minutes=1)}
        assert [poll.look(), poll.look()] == [frozenset({RULES}), NOTHING]
    finally:
        poll.close()


def test_what_it_is_about_is_the_looks_to_tell(watched: PipelineWorld) -> None:
    """An event of a Case rings nobody who waits for comments."""
    watched.settings(comments={"salesforce_to_pagerduty": True}, **ON)

    async def story(ear: Ear) -> None:
        await subscribed(watched)
        before = calls(watched)
        await asyncio.to_thread(watched.case)
        async with asyncio.timeout(20):
            while calls(watched) == before:  # noqa: ASYNC110 - another thread counts
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        assert ear.rings == 1

    play(story, topic=NOTES)


def test_a_storm_of_changes_is_one_look_a_second(watched: PipelineWorld) -> None:
    """A hundred a second cost Salesforce no more calls than one."""

    async def story(_ear: Ear) -> None:
        await subscribed(watched)
        before, started = calls(watched), time.monotonic()
        while time.monotonic() - started < 2.5:
            await asyncio.to_thread(watched.case)
        assert calls(watched) - before <= 4

    play(story)


def test_nothing_is_heard_with_the_signal_off(watched: PipelineWorld) -> None:
    """As shipped: no login, no stream, and the poll finds the change."""
    watched.settings()

    async def story(ear: Ear) -> None:
        await asyncio.to_thread(watched.case)
        await ear.hear(2)
        assert watched.sandbox.pubsub.calls == []

    play(story, poll_seconds=0.5)


def test_settings_and_rules_are_followed_without_a_restart(watched: PipelineWorld) -> None:
    """A rule on another object is listened to from the next look on; switched off, every stream ends."""

    async def story(_ear: Ear) -> None:
        await subscribed(watched)
        watched.rules(DEALS, file="b.yaml")
        await subscribed(watched, "Opportunity")
        watched.settings()
        await subscribed(watched, "Opportunity", 0)
        await subscribed(watched, "Case", 0)

    play(story, poll_seconds=0.3)


def test_polling_goes_on_beside_a_bus_that_is_down(watched: PipelineWorld) -> None:
    """A change is found by the poll, the trouble is kept in the ledger, and the recovery is heard."""
    watched.sandbox.pubsub.refuse(3)

    async def story(ear: Ear) -> None:
        await asyncio.to_thread(watched.case)
        await ear.hear(2)
        await subscribed(watched)
        with watched.ledger.read() as c:
            broken = signals.signal_of(c, "default", "Case")
        assert broken.broken_since is not None
        assert "service.unavailable" in broken.why
        await asyncio.to_thread(watched.case)
        await ear.hear(3)

    play(story, poll_seconds=0.5)


def test_the_triggers_of_an_account_share_one_subscription(watched: PipelineWorld) -> None:
    """Rules and notes listen to one poll, and so to one stream; with the last of them it ends."""

    async def told() -> None:
        both = [SalesforceChangesTrigger(poll_seconds=POLL, topic=one) for one in (RULES, NOTES)]
        async with listening(*both) as (first, second):
            await first.hear(1)
            await second.hear(1)
            await subscribed(watched)
            await asyncio.to_thread(watched.case)
            await first.hear(2)
            assert watched.sandbox.pubsub.listening["Case"] == 1
        await subscribed(watched, "Case", 0)

    run_in_own_loop(told())
