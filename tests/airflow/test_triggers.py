"""The triggers as Airflow's triggerer runs them: rebuilt from the database, sharing a poll, ringing for ever."""

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent
from airflow.triggers.shared_stream import SharedStreamManager

from pd_sf_rules.hooks.runs import ledger_of_process
from pd_sf_rules.pipeline.switching import turn
from pd_sf_rules.triggers.changes import (
    ChangesTrigger,
    PagerDutyChangesTrigger,
    SalesforceChangesTrigger,
)
from pd_sf_rules.triggers.doorbell import NOTES, RULES
from tests.doorbell import PATIENT, Doorbell
from tests.integration.pipeline_world import PAGE_NEW, PipelineWorld
from tests.own_loop import run_in_own_loop

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

POLL = 0.05


@pytest.fixture
def watched(world: PipelineWorld) -> Iterator[PipelineWorld]:
    """A world with a rule on Case and comments crossing; this process opens its ledger anew."""
    world.rules(PAGE_NEW)
    world.cross_comments()
    ledger_of_process.cache_clear()
    yield world
    ledger_of_process().close()
    ledger_of_process.cache_clear()


def rebuilt(trigger: ChangesTrigger) -> ChangesTrigger:
    """The trigger as the triggerer makes it from the database."""
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    made = getattr(importlib.import_module(module), name)(**arguments)
    assert isinstance(made, ChangesTrigger)
    return made


@pytest.mark.parametrize("kind", [SalesforceChangesTrigger, PagerDutyChangesTrigger])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"integration": "eu", "poll_seconds": 3.0, "topic": NOTES},
        {"baseline": {"since": "2026-01-01T00:00:00+00:00", "seen": []}},
    ],
)
def test_comes_back_equal(kind: type[ChangesTrigger], arguments: dict[str, Any]) -> None:
    """What the database keeps makes an equal trigger."""
    trigger = kind(**arguments)
    again = rebuilt(trigger)
    assert type(again) is kind
    assert again.serialize() == trigger.serialize()
    assert again.shared_stream_key() == trigger.shared_stream_key()


def test_who_shares_a_poll() -> None:
    """Triggers of one side of an integration do, whatever they are about; sensors, sides, integrations do not."""
    rules, notes = SalesforceChangesTrigger(), SalesforceChangesTrigger(topic=NOTES)
    assert rules.shared_stream_key() == notes.shared_stream_key()
    others: list[ChangesTrigger] = [
        PagerDutyChangesTrigger(),
        SalesforceChangesTrigger("eu"),
        SalesforceChangesTrigger(poll_seconds=3.0),
    ]
    assert len({rules.shared_stream_key(), *(one.shared_stream_key() for one in others)}) == 4
    assert SalesforceChangesTrigger(baseline={}).shared_stream_key() is None


class Ear(Doorbell):
    """Counts the events of a trigger."""

    async def listen(self, events: AsyncIterator[TriggerEvent]) -> None:
        """Count for ever."""
        async for _ in events:
            self.ring()


@asynccontextmanager
async def listening(*triggers: ChangesTrigger) -> AsyncIterator[list[Ear]]:
    """Run triggers as the triggerer does: those with a key share their stream, the others run alone."""
    manager, ears = SharedStreamManager(), [Ear() for _ in triggers]
    tasks = []
    for number, (trigger, ear) in enumerate(zip(triggers, ears, strict=True)):
        key = trigger.shared_stream_key()
        if key is None:
            events = trigger.run()
        else:
            stream = manager.subscribe(trigger_id=number, trigger=trigger, key=key)
            events = trigger.filter_shared_stream(stream)
        tasks.append(asyncio.create_task(ear.listen(events)))
    try:
        yield ears
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await manager.stop_all()


async def looked(world: PipelineWorld, system: str, times: int) -> int:
    """Wait for so many more calls to one side; return how many there were in all."""
    before = world.sandbox.traffic.totals(system)["calls"]
    async with asyncio.timeout(PATIENT):
        while (now := world.sandbox.traffic.totals(system)["calls"]) < before + times:  # noqa: ASYNC110
            await asyncio.sleep(POLL)
    return now


def run(story: Callable[[], Awaitable[None]]) -> None:
    """Play a story in an event loop."""

    async def play() -> None:
        await story()

    run_in_own_loop(play())


def test_each_hears_its_own_topic_once(watched: PipelineWorld) -> None:
    """Both ring at the start, for what was missed; then a Case rings the one, and a standing Case nobody."""

    async def story() -> None:
        rules = SalesforceChangesTrigger(poll_seconds=POLL, topic=RULES)
        notes = SalesforceChangesTrigger(poll_seconds=POLL, topic=NOTES)
        async with listening(rules, notes) as (of_rules, of_notes):
            await of_rules.hear(1)
            await of_notes.hear(1)
            case_id = await asyncio.to_thread(watched.case)
            await of_rules.hear(2)
            await looked(watched, "salesforce", 5)
            assert (of_rules.rings, of_notes.rings) == (2, 1)
            await asyncio.to_thread(watched.sandbox.salesforce.comment, case_id, "Hello")
            await of_notes.hear(2)
            await looked(watched, "salesforce", 5)
            assert of_notes.rings == 2

    run(story)


def test_a_ruleset_that_a_person_switched_on_is_watched_for(watched: PipelineWorld) -> None:
    """Its file says off; from the switch on its object's changes ring."""
    watched.rules(PAGE_NEW, enabled=False)

    async def story() -> None:
        async with listening(SalesforceChangesTrigger(poll_seconds=POLL)) as (ear,):
            await ear.hear(1)
            await asyncio.to_thread(watched.case)
            turn(ledger_of_process(), "a.yaml", enabled=True, who="Ana", why="")
            await looked(watched, "salesforce", 3)
            await asyncio.to_thread(watched.case)
            await ear.hear(2)

    run(story)


@pytest.mark.parametrize("kind", [SalesforceChangesTrigger, PagerDutyChangesTrigger])
def test_many_share_one_poll(watched: PipelineWorld, kind: type[ChangesTrigger]) -> None:
    """However many listen, each look is one call, and a latecomer rings at the next look."""

    async def story() -> None:
        few = [kind(poll_seconds=0.5, topic=topic) for topic in (RULES, NOTES)]
        async with listening(*few, *few) as ears:
            for ear in ears:
                await ear.hear(1)
            started = asyncio.get_running_loop().time()
            first = watched.sandbox.traffic.totals(kind.system)["calls"]
            calls = await looked(watched, kind.system, 4) - first
            looks = (asyncio.get_running_loop().time() - started) / 0.5 + 1
            assert calls <= looks

    run(story)


def test_a_latecomer_rings_too(watched: PipelineWorld) -> None:
    """A DAG that is switched on while the poll is running gets its first ring as well."""

    async def story() -> None:
        manager = SharedStreamManager()
        ears = [Ear(), Ear()]
        tasks = []
        for number, topic in enumerate((RULES, NOTES)):
            trigger = PagerDutyChangesTrigger(poll_seconds=POLL, topic=topic)
            key = trigger.shared_stream_key()
            stream = manager.subscribe(trigger_id=number, trigger=trigger, key=key)
            events = trigger.filter_shared_stream(stream)
            tasks.append(asyncio.create_task(ears[number].listen(events)))
            await ears[number].hear(1)
            await looked(watched, "pagerduty", 3)
        for task in tasks:
            task.cancel()
        await manager.stop_all()
        assert [ear.rings for ear in ears] == [1, 1]

    run(story)


@pytest.mark.parametrize("kind", [SalesforceChangesTrigger, PagerDutyChangesTrigger])
def test_a_sensor_hears_only_what_came_after_it(
    watched: PipelineWorld, kind: type[ChangesTrigger]
) -> None:
    """What was there at its first look does not ring; what came between that and the triggerer does."""

    def act() -> None:
        if kind is SalesforceChangesTrigger:
            watched.case()
        else:
            watched.ana().create_incident("Checkout", "Slow")

    async def story() -> None:
        await asyncio.to_thread(act)
        baseline = await asyncio.to_thread(kind.first_look, "default")
        quiet = kind(poll_seconds=POLL, baseline=baseline)
        async with listening(rebuilt(quiet)) as (ear,):
            await looked(watched, kind.system, 4)
            assert ear.rings == 0
        await asyncio.to_thread(act)
        async with listening(rebuilt(quiet)) as (ear,):
            await ear.hear(1)

    run(story)


def test_what_is_wrong_does_not_end_it(watched: PipelineWorld) -> None:
    """An outage in the middle raises nothing, and its end rings."""

    async def story() -> None:
        async with listening(PagerDutyChangesTrigger(poll_seconds=POLL)) as (ear,):
            await ear.hear(1)
            fault = watched.fault("reset_before", "pagerduty", "GET", "/log_entries", times=None)
            await asyncio.to_thread(watched.wait_for_hit, fault, 4)
            assert ear.rings == 1
            watched.sandbox.faults.remove(fault)
            await ear.hear(2)

    run(story)


HUNG = 40
"""More than the threads that Python keeps ready on a small machine."""


@asynccontextmanager
async def silent_server(calls: asyncio.Semaphore) -> AsyncIterator[str]:
    """A server that takes every call, tells it by `calls`, and never answers; its URL."""
    gone = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.release()
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        gone.set()
        server.close()


def test_accounts_that_hang_delay_no_other(
    watched: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many accounts take a call and never answer, the one that answers is looked at in its time."""
    for number in range(HUNG):
        text = f"name: hung{number}\npagerduty_conn_id: hung\n"
        (watched.home / "integrations" / f"hung{number}.yaml").write_text(text)

    async def story() -> None:
        calls = asyncio.Semaphore(0)
        async with silent_server(calls) as url:
            hung = {"conn_type": "pagerduty", "password": "k", "extra": {"base_url": url}}
            monkeypatch.setenv("AIRFLOW_CONN_HUNG", json.dumps(hung))
            stuck = [PagerDutyChangesTrigger(f"hung{n}", poll_seconds=POLL) for n in range(HUNG)]
            async with listening(*stuck), asyncio.timeout(PATIENT):
                for _ in range(HUNG):
                    await calls.acquire()
                async with listening(PagerDutyChangesTrigger(poll_seconds=POLL)) as (ear,):
                    await ear.hear(1)
                    await looked(watched, "pagerduty", 5)

    run(story)
