"""What must never end a subscription to change events for good, nor keep its trouble from being told."""

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime, timedelta

import pytest

from pd_sf_rules.cli.connecting import connect
from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import ConfigError, RefusedError, RetryableError
from pd_sf_rules.ledger import Ledger, signals
from pd_sf_rules.ledger.signals import Signal
from pd_sf_rules.model import SALESFORCE
from pd_sf_rules.pipeline.signals import unheard
from pd_sf_rules.settings import load_integration
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.systems.salesforce.pubsub.endpoint import check_packages
from pd_sf_rules.systems.salesforce.pubsub.line import Line
from pd_sf_rules.triggers import subscription
from pd_sf_rules.triggers.change_rings import ChangeRings
from pd_sf_rules.triggers.doorbell import NOTHING, RULES
from pd_sf_rules.triggers.poll import Poll
from pd_sf_rules.triggers.subscription import Subscription
from tests.doorbell import Doorbell
from tests.integration.change_listening import PATIENT, kept, listening, streams
from tests.integration.pipeline_world import PAGE, PAGE_NEW, PipelineWorld, rule
from tests.own_loop import run_in_own_loop

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

ON = {"signals": {"salesforce": "pubsub"}}
OBJECTS = ("Account", "Asset", "Case", "Contact", "Opportunity", "Outage__c", "Task")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait out, and no look but for an event."""
    monkeypatch.setattr(subscription, "SHORTEST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(subscription, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(subscription, "SLOW_SECONDS", 0.05)
    monkeypatch.setattr(subscription, "SETTLED_SECONDS", 600.0)
    monkeypatch.setattr(subscription, "KEPT_EVERY", timedelta(0))


def test_a_channel_that_another_login_replaces(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewed bundle of certificates makes a new channel; whoever still listened to the old one goes on, too."""
    bundle = world.home / "bundle.pem"
    bundle.write_text("the first")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))

    async def story() -> None:
        bells, line = {"Case": Doorbell(), "Account": Doorbell()}, Line(_connected)
        tasks = [
            asyncio.create_task(
                Subscription("default", one, line, lambda: world.ledger, bell.ring).run()
            )
            for one, bell in bells.items()
        ]
        for one in bells:
            await streams(world, 1, one)
        await asyncio.to_thread(world.case)
        await bells["Case"].hear(1)
        await asyncio.to_thread(world.sandbox.pubsub.gap, "Account", ["001000000000001AAA"])
        await bells["Account"].hear(1)
        bundle.write_text("the next")
        world.sandbox.salesforce.faults.kill_sessions()
        await asyncio.to_thread(world.case)  # its stream meets the dead session first
        await bells["Case"].hear(2)
        await asyncio.to_thread(world.sandbox.pubsub.gap, "Account", ["001000000000001AAA"])
        await bells["Account"].hear(2)
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await line.close()

    run_in_own_loop(story())


def _connected() -> ConnectionSpec:
    return connect("salesforce_default")


def test_a_subscription_that_broke_is_begun_again(
    world: PipelineWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that nobody thought of, out of the ledger say: the next look begins another, and says so."""
    world.rules(PAGE_NEW)
    world.settings(**ON)
    broken = [True]

    def ledger() -> Ledger:
        if broken.pop() if broken else False:
            raise ValueError("a row that nobody can read")
        return world.ledger

    async def story() -> None:
        poll = Poll(SALESFORCE, "default", connect, lambda: world.ledger)
        rings = ChangeRings(poll, _connected, ledger)
        try:
            poll.look()
            async with asyncio.timeout(PATIENT):
                while broken or "listened to any more" not in caplog.text:
                    await rings.pause(0.05, found=False)
            await streams(world, 1)
        finally:
            await rings.close()
            poll.close()

    run_in_own_loop(story())
    assert "changes of Case of integration 'default'" in caplog.text
    assert "ValueError" in caplog.text


def test_an_answer_of_many_long_records(world: PipelineWorld) -> None:
    """More than the 4 MB that gRPC takes by itself: refused, it would be asked for again and again."""

    async def story() -> None:
        async with listening(world) as bell:
            await asyncio.to_thread(world.case)
            await bell.hear(1)
            await kept(world, lambda one: one.replay_id is not None)
        await streams(world, 0)
        for _ in range(60):
            world.sandbox.pubsub.hostile("Case", b"x" * 100_000, "{}")
        last = world.sandbox.pubsub.events[-1].replay_id
        async with listening(world) as bell:
            await kept(world, lambda one: one.replay_id == last)
            assert bell.rings

    run_in_own_loop(story())


def test_a_long_pause_of_the_triggerer_is_no_silence(world: PipelineWorld) -> None:
    """After an upgrade, or with a rule that is on again, health does not alert before the bus had time to speak."""
    world.rules(PAGE_NEW)
    world.settings(**ON)
    long_ago = datetime.now(UTC) - timedelta(minutes=40)
    with world.ledger.begin() as c:
        signals.keep_signal(c, "default", Signal("Case", heard_at=long_ago))
    assert len(list(unheard(world.ledger, load_integration("default")))) == 1

    async def story() -> None:
        async with listening(world):
            pass

    run_in_own_loop(story())
    assert list(unheard(world.ledger, load_integration("default"))) == []


def test_schemas_do_not_pile_up(world: PipelineWorld) -> None:
    """Of each the header alone is kept, and of an org that changes its fields for years no more than a few."""
    line = Line(_connected)
    wide = {"fields": [{"name": str(n), "type": "string", "doc": "x" * 100} for n in range(500)]}

    async def story() -> None:
        listener = Subscription("default", "Case", line, lambda: world.ledger, Doorbell().ring)
        task = asyncio.create_task(listener.run())
        await streams(world, 1)
        for number in range(150):
            schema = json.dumps({**wide, "name": f"Case{number}"})
            world.sandbox.pubsub.hostile("Case", b"", schema)
        last = world.sandbox.pubsub.events[-1].replay_id
        await kept(world, lambda one: one.replay_id == last)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await line.close()

    run_in_own_loop(story())
    assert 0 < len(line._schemas) <= 64
    assert len(json.dumps(list(line._schemas.values()))) < 64 * 200


def test_a_refusal_after_a_cut_is_told(
    world: PipelineWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """What a person must mend is warned of once, also where the stream was cut first; and again after it was well."""

    def warned() -> int:
        return sum(one.levelno == logging.WARNING for one in caplog.records)

    async def story() -> None:
        line = Line(_connected)
        listener = Subscription("default", "Case", line, lambda: world.ledger, Doorbell().ring)
        refusal = RefusedError("Give the sync's user View All.")
        try:
            for error, told in ((RetryableError("Cut."), 0), (refusal, 1), (refusal, 1)):
                await listener._failed(error)
                assert warned() == told
            listener._complained, listener.failures = False, 0
            await listener._failed(refusal)
            assert warned() == 2
        finally:
            await line.close()

    run_in_own_loop(story())


def test_packages_that_do_not_fit_leave_polling_alone(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An older protobuf refuses messages of a newer one at their import: one sentence says so, looks go on."""
    from google.protobuf import runtime_version  # noqa: PLC0415 - like who uses it

    world.rules(PAGE_NEW)
    world.settings(**ON)
    name = "pd_sf_rules.systems.salesforce.pubsub.pubsub_api_pb2"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys.modules["pd_sf_rules.systems.salesforce.pubsub"], "pubsub_api_pb2", 0)
    monkeypatch.delattr("pd_sf_rules.systems.salesforce.pubsub.pubsub_api_pb2")
    monkeypatch.setattr(runtime_version, "MAJOR", 5)
    with pytest.raises(ConfigError, match=r"VersionError.*Install grpcio and protobuf"):
        check_packages()

    async def story() -> None:
        poll = Poll(SALESFORCE, "default", connect, lambda: world.ledger)
        rings = ChangeRings(poll, _connected, lambda: world.ledger)
        poll.look()
        await rings.pause(0.01, found=False)
        await rings.close()
        poll.close()

    run_in_own_loop(story())
    assert "Integration 'default': Salesforce's change events cannot use" in caplog.text


def test_an_event_rings_for_an_object_whose_turn_it_was_not(world: PipelineWorld) -> None:
    """Of more objects than a call holds a look asks some: of the others, an event from before it is news."""
    world.settings(**ON)
    world.rules(
        *(
            rule(f"New {one}", {"field": f"{one}.Id", "operation": "changed"}, PAGE, object=one)
            for one in OBJECTS
        )
    )
    poll = Poll(SALESFORCE, "default", connect, lambda: world.ledger)
    try:
        assert poll.look() == NOTHING
        objects = poll.signalled()
        assert set(objects) == set(OBJECTS)
        first = _between(world, poll)  # asks about the first five
        poll.told = {objects[0]: first}
        assert poll.look() == NOTHING  # asks about the last two and the first three
        poll.told = {objects[-1]: first}
        assert poll.look() == NOTHING
        later = _between(world, poll)
        poll.told = dict.fromkeys(objects[:5], later)
        assert poll.look() == frozenset({RULES})
    finally:
        poll.close()


def _between(world: PipelineWorld, poll: Poll) -> datetime:
    """Look after ten seconds without any news; return an instant in between."""
    world.clock.pass_(seconds=5)
    at = world.clock()
    world.clock.pass_(seconds=5)
    assert isinstance(poll._client, SalesforceClient)
    poll._client.check()  # the answer tells the client what time it is
    assert poll.look() == NOTHING
    return at
