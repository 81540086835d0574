"""Subscriptions to the sandbox's change events, as a triggerer holds them, for the tests of what they outlast."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pd_sf_rules.cli.connecting import connect
from pd_sf_rules.ledger import Ledger, signals
from pd_sf_rules.ledger.signals import Signal
from pd_sf_rules.systems.salesforce.pubsub.line import Line
from pd_sf_rules.triggers.subscription import Subscription
from tests.doorbell import Doorbell
from tests.integration.pipeline_world import PipelineWorld

PATIENT = 20.0


@asynccontextmanager
async def listening(
    world: PipelineWorld, object_name: str = "Case", *, wait: bool = True
) -> AsyncIterator[Doorbell]:
    """Listen to an object's change events as a triggerer does, until the block ends."""
    bell = Doorbell()
    line = Line(lambda: connect("salesforce_default"))
    listener = Subscription("default", object_name, line, lambda: world.ledger, bell.ring)
    task = asyncio.create_task(listener.run())
    try:
        if wait:
            await streams(world, 1, object_name)
        yield bell
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await line.close()


async def streams(world: PipelineWorld, count: int, object_name: str = "Case") -> None:
    """Wait until Salesforce has so many subscriptions."""
    bus = world.sandbox.pubsub
    assert await asyncio.to_thread(bus.wait_for_listeners, object_name, count)


async def kept(world: PipelineWorld, when: Callable[[Signal], bool]) -> Signal:
    """Wait until the ledger knows that of the subscription."""
    async with asyncio.timeout(PATIENT):
        while not when(found := known(world.ledger)):  # noqa: ASYNC110 - a thread writes it
            await asyncio.sleep(0.01)
    return found


def known(ledger: Ledger) -> Signal:
    """What the ledger knows of the events of Cases."""
    with ledger.read() as c:
        return signals.signal_of(c, "default", "Case")


def subscribed_with(world: PipelineWorld) -> list[str]:
    """The presets of all subscriptions so far."""
    calls = [one.split() for one in world.sandbox.pubsub.calls]
    return [words[2] for words in calls if words[0] == "Subscribe"]
