"""Subscriptions to Salesforce's change events: what rings, where they are taken up again, and what they outlast."""

import asyncio
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from pd_sf_rules.cli.connecting import connect
from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import ConnectionConfigError
from pd_sf_rules.ledger import Ledger, signals
from pd_sf_rules.ledger.signals import Signal
from pd_sf_rules.pipeline.checks import Check
from pd_sf_rules.pipeline.health import health
from pd_sf_rules.pipeline.signals import signal_checks, unheard
from pd_sf_rules.settings import load_integration
from pd_sf_rules.systems.salesforce.pubsub import endpoint
from pd_sf_rules.systems.salesforce.pubsub.endpoint import check_packages, endpoint_of
from pd_sf_rules.systems.salesforce.pubsub.line import Line
from pd_sf_rules.triggers import subscription
from pd_sf_rules.triggers.subscription import Subscription
from tests.contract.salesforce_clients import log_in
from tests.doorbell import Doorbell
from tests.integration.change_listening import (
    kept,
    known,
    listening,
    streams,
    subscribed_with,
)
from tests.integration.pipeline_world import PAGE_NEW, ROOT, PipelineWorld
from tests.integration.salesforce_source import deploy, zipped
from tests.own_loop import run_in_own_loop

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

SELECTED = ROOT / "salesforce" / "change-data-capture"
ON = {"signals": {"salesforce": "pubsub"}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait out; their lengths have a test of their own."""
    monkeypatch.setattr(subscription, "SHORTEST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(subscription, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(subscription, "SLOW_SECONDS", 0.05)
    monkeypatch.setattr(subscription, "SETTLED_SECONDS", 600.0)
    monkeypatch.setattr(subscription, "KEPT_EVERY", timedelta(0))


def test_every_change_rings_and_the_place_is_kept(both_worlds: PipelineWorld) -> None:
    """On SQLite and PostgreSQL; the ledger then knows the place and that all is well."""
    world = both_worlds

    async def story() -> None:
        async with listening(world) as bell:
            made = await asyncio.to_thread(world.case)
            await bell.hear(1)
            first = await kept(world, lambda one: one.replay_id is not None)
            await asyncio.to_thread(world.edit, made, Status="Working")
            await bell.hear(2)
            later = await kept(world, lambda one: one.replay_id != first.replay_id)
            assert later.changed_at is not None
            assert (later.broken_since, later.why) == (None, "")

    run_in_own_loop(story())


def test_a_restart_takes_up_where_it_ended(world: PipelineWorld) -> None:
    """What happened meanwhile rings, by the replay id that was kept; without news nothing rings."""

    async def story() -> None:
        async with listening(world) as bell:
            await asyncio.to_thread(world.case)
            await bell.hear(1)
            await kept(world, lambda one: one.replay_id is not None)
        await streams(world, 0)
        await asyncio.to_thread(world.case, "Meanwhile")
        async with listening(world) as bell:
            await bell.hear(1)
        await streams(world, 0)
        world.sandbox.pubsub.keepalive_seconds = 0.05
        heard_at = known(world.ledger).heard_at
        async with listening(world) as bell:
            await kept(world, lambda one: one.heard_at != heard_at)
            assert bell.rings == 0
        assert subscribed_with(world) == ["LATEST", "CUSTOM", "CUSTOM"]

    run_in_own_loop(story())


@pytest.mark.parametrize("place", ["expired", "nonsense"])
def test_a_place_that_is_not_known_any_more(world: PipelineWorld, place: str) -> None:
    """After 72 hours, or where the kept bytes are none: a look at once, and listening from now on."""

    async def story() -> None:
        async with listening(world) as bell:
            await asyncio.to_thread(world.case)
            await bell.hear(1)
            await kept(world, lambda one: one.replay_id is not None)
        await streams(world, 0)
        if place == "expired":
            world.clock.pass_(hours=73)
        else:
            with world.ledger.begin() as c:
                signals.keep_signal(c, "default", Signal("Case", replay_id=b"?"))
        async with listening(world) as bell:
            await bell.hear(1)
            await asyncio.to_thread(world.case)
            await bell.hear(2)
            await kept(world, lambda one: one.broken_since is None)
        assert subscribed_with(world) == ["LATEST", "CUSTOM", "LATEST"]

    run_in_own_loop(story())


def test_what_happened_before_the_first_subscription_stood_is_looked_for(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a place to begin at nothing tells when it stands: one look follows after a moment."""
    monkeypatch.setattr(subscription, "SETTLED_SECONDS", 0.1)

    async def story() -> None:
        async with listening(world) as bell:
            await bell.hear(1)
            await asyncio.to_thread(world.case)
            await bell.hear(2)
            await kept(world, lambda one: one.replay_id is not None)
        async with listening(world) as bell:
            await asyncio.to_thread(world.case)
            await bell.hear(1)
            await asyncio.sleep(0.3)
            assert bell.rings == 1

    run_in_own_loop(story())


def test_the_source_selects_cases(world: PipelineWorld) -> None:
    """What `salesforce/change-data-capture` deploys is what makes Salesforce tell changes of Cases at all."""
    world.sandbox.salesforce.faults.set(captured=[])
    paths = [one for one in SELECTED.rglob("*") if one.is_file()]
    files = {str(one.relative_to(SELECTED)): one.read_bytes() for one in paths}
    wrong = {
        name: content.replace(b"CaseChangeEvent<", b"NoneChangeEvent<")
        for name, content in files.items()
    }
    with log_in(world.sandbox) as client:
        assert not deploy(client, zipped(wrong))["success"]

    async def story() -> None:
        async with listening(world) as bell:
            await asyncio.to_thread(world.case)
            with log_in(world.sandbox) as client:
                assert (await asyncio.to_thread(deploy, client, zipped(files)))["success"]
            await asyncio.to_thread(world.case)
            await bell.hear(1)
            assert world.sandbox.salesforce.org.settings.captured == ["Case"]
            assert [one.entity for one in world.sandbox.pubsub.events] == ["Case"]

    run_in_own_loop(story())


def test_gaps_ring_like_changes(world: PipelineWorld) -> None:
    """Salesforce cannot say what changed, be it one record or any: the cursor finds it."""

    async def story() -> None:
        async with listening(world) as bell:
            await asyncio.to_thread(world.sandbox.pubsub.gap, "Case", ["500000000000001AAA"])
            await bell.hear(1)
            await asyncio.to_thread(world.sandbox.pubsub.overflow, "Case")
            await bell.hear(2)

    run_in_own_loop(story())


def test_it_outlasts_a_service_that_is_away(world: PipelineWorld) -> None:
    """Streams that are cut and calls that are refused; what happened meanwhile rings once it is back."""

    async def story() -> None:
        async with listening(world) as bell:
            await asyncio.to_thread(world.case)
            await bell.hear(1)
            await kept(world, lambda one: one.replay_id is not None)
            world.sandbox.pubsub.refuse(4)
            broken = await kept(world, lambda one: one.broken_since is not None)
            assert "service.unavailable" in broken.why
            await asyncio.to_thread(world.case, "Meanwhile")
            await bell.hear(2)
            await kept(world, lambda one: one.broken_since is None)
        assert subscribed_with(world) == ["LATEST", *["CUSTOM"] * 5]

    run_in_own_loop(story())


def test_a_session_that_ended_is_renewed(world: PipelineWorld) -> None:
    """The event that met the dead session is heard all the same, after one login."""

    async def story() -> None:
        async with listening(world) as bell:
            await asyncio.to_thread(world.case)
            await bell.hear(1)
            await kept(world, lambda one: one.replay_id is not None)
            before = logins(world)
            world.sandbox.salesforce.faults.kill_sessions()
            await asyncio.to_thread(world.case)
            await bell.hear(2)
            assert logins(world) - before == 1

    run_in_own_loop(story())


def logins(world: PipelineWorld) -> int:
    """How many logins Salesforce got so far."""
    found = world.sandbox.traffic.requests("salesforce")
    return sum(one.path.endswith("/oauth2/token") for one in found)


def test_a_connection_that_is_wrong_is_read_again(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the login is refused the trouble is kept, in words; the mended connection counts at once."""
    good = world.sandbox.connections["AIRFLOW_CONN_SALESFORCE_DEFAULT"]
    name = "AIRFLOW_CONN_SALESFORCE_DEFAULT"
    monkeypatch.setenv(name, good.replace("sandboxDemoConsumerKey", "another"))

    async def story() -> None:
        async with listening(world, wait=False) as bell:
            broken = await kept(world, lambda one: one.broken_since is not None)
            assert "consumer_key" in broken.why
            monkeypatch.setenv(name, good)
            await streams(world, 1)
            await asyncio.to_thread(world.case)
            await bell.hear(1)

    run_in_own_loop(story())


@pytest.mark.parametrize(
    "schema",
    [
        "no json",
        "[1]",
        "{}",
        '{"fields": [{"type": {"type": "array", "items": "null"}}]}',
        '{"fields": [{"type": {"name": "A", "type": "record", "fields": [{"name": "a", "type": "A"}]}}]}',
        "[" * 100_000,
    ],
)
def test_events_that_cannot_be_read_ring_too(world: PipelineWorld, schema: str) -> None:
    """A hostile schema or payload stops nothing and holds nothing up: something happened, so a look follows."""

    async def story() -> None:
        async with listening(world) as bell:
            bus = world.sandbox.pubsub
            payload = b"\xff" * 9 + b"\x01" + b"\xfe" * 50
            await asyncio.to_thread(bus.hostile, "Case", payload, schema)
            await bell.hear(1)
            bus.schemas.clear()  # a schema that nobody has
            await asyncio.to_thread(bus.hostile, "Case", b"", "gone")
            bus.schemas.clear()
            await bell.hear(2)
            await asyncio.to_thread(world.case)
            await bell.hear(3)

    run_in_own_loop(story())


def test_a_great_storm_is_taken_in(world: PipelineWorld) -> None:
    """More events than are asked for at once: the stream goes on, and the last of them is heard."""

    async def story() -> None:
        async with listening(world):
            fields = {"Subject": "Slow", "Origin": "Web"}
            for _ in range(350):
                await asyncio.to_thread(world.sandbox.salesforce.create, "Case", fields)
            last = world.sandbox.pubsub.events[-1].replay_id
            await kept(world, lambda one: one.replay_id == last)

    run_in_own_loop(story())


def test_the_event_loop_is_never_held_up(world: PipelineWorld) -> None:
    """Whatever may wait, the login and the ledger, is done in other threads than the triggerer's loop."""
    used: set[tuple[str, int]] = set()

    def connection() -> ConnectionSpec:
        used.add(("login", threading.get_ident()))
        return connect("salesforce_default")

    def ledger() -> Ledger:
        used.add(("ledger", threading.get_ident()))
        return world.ledger

    async def story() -> None:
        bell, line = Doorbell(), Line(connection)
        task = asyncio.create_task(Subscription("default", "Case", line, ledger, bell.ring).run())
        await streams(world, 1)
        world.sandbox.pubsub.refuse(1)
        await kept(world, lambda one: one.broken_since is not None)
        await streams(world, 1)
        await asyncio.to_thread(world.case)
        await bell.hear(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await line.close()

    run_in_own_loop(story())
    assert {what for what, _ in used} == {"login", "ledger"}
    assert threading.get_ident() not in {thread for _, thread in used}


def test_pauses_grow_and_differ(monkeypatch: pytest.MonkeyPatch, world: PipelineWorld) -> None:
    """From a second to a minute, never two alike; what a person must mend waits five minutes."""
    monkeypatch.undo()

    async def story() -> None:
        line = Line(lambda: connect("nobody"))
        listener = Subscription("default", "Case", line, lambda: world.ledger, Doorbell().ring)
        try:
            error = ConnectionConfigError("salesforce_default", "is wrong.")
            pauses = [await listener._failed(error) for _ in range(9)]
            assert 0.5 <= pauses[0] <= 1.0
            assert 2.0 <= pauses[2] <= 4.0
            assert all(30.0 <= one <= 60.0 for one in pauses[6:])
            assert len(set(pauses)) == 9
        finally:
            await line.close()

    run_in_own_loop(story())


def checked(world: PipelineWorld) -> list[Check]:
    """What the doctor says."""
    return signal_checks(world.ledger, load_integration("default"), connect)


def test_the_doctor_tries_each_subscription(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off, accepted, refused and broken, each in one sentence; an org without events of comments is well."""
    monkeypatch.setattr("pd_sf_rules.pipeline.signals.TRIED_SECONDS", 0.2)
    world.rules(PAGE_NEW)
    (off,) = checked(world)
    assert off.ok
    assert "Off" in off.said
    world.settings(comments={"salesforce_to_pagerduty": True}, **ON)
    case, comment = checked(world)
    assert (case.ok, comment.ok) == (True, True)
    assert "accepted" in case.said
    assert "no change events" in comment.said
    world.sandbox.salesforce.faults.set_access("Case", None, "none")
    refused, _ = checked(world)
    assert not refused.ok
    assert "View All" in refused.said
    world.sandbox.pubsub.refuse(2)
    away, _ = checked(world)
    assert not away.ok
    assert "service.unavailable" in away.said


def test_health_tells_what_is_down_for_long(world: PipelineWorld) -> None:
    """After a quarter of an hour, not before; and only while it is switched on and a rule needs it."""
    world.rules(PAGE_NEW)
    world.settings(**ON)
    now = datetime.now(UTC)

    def told(signal: Signal) -> list[str]:
        with world.ledger.begin() as c:
            signals.keep_signal(c, "default", signal)
        return list(unheard(world.ledger, load_integration("default")))

    long_ago = now - timedelta(minutes=16)
    assert told(Signal("Case", heard_at=now)) == []
    assert told(Signal("Case", broken_since=now - timedelta(minutes=14), why="Away.")) == []
    assert told(Signal("Account", broken_since=long_ago, why="Away.")) == []
    (silent,) = told(Signal("Case", heard_at=long_ago))
    assert "Is the triggerer running?" in silent
    (down,) = told(Signal("Case", heard_at=long_ago, broken_since=long_ago, why="Away."))
    assert "Away. Polling every 10 s goes on." in down
    assert down in health(world.ledger, load_integration("default"), connect).findings
    world.settings()
    assert list(unheard(world.ledger, load_integration("default"))) == []


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("", "api.pubsub.salesforce.com:7443"),
        ("api.deu.pubsub.salesforce.com:443", "api.deu.pubsub.salesforce.com:443"),
        ("127.0.0.1:7011", "127.0.0.1:7011"),
        ("[::1]:7011", "[::1]:7011"),
    ],
)
def test_where_the_token_may_go(text: str, target: str) -> None:
    """Salesforce's own hosts, by TLS; loopback, without."""
    told = endpoint_of(ConnectionSpec("sf", "salesforce", extra={"pubsub_endpoint": text}))
    assert (told.target, told.loopback) == (target, "salesforce" not in target)


@pytest.mark.parametrize(
    "text",
    [
        "pubsub.example.com:7443",
        "api.pubsub.salesforce.com.example.com:7443",
        "evilpubsub.salesforce.com.:7443",
        "api.pubsub.salesforce.com",
        "api.pubsub.salesforce.com:0",
        "dns://8.8.8.8/api.pubsub.salesforce.com:7443",
        "unix:/tmp/socket",
        "user@api.pubsub.salesforce.com:7443",
        "api.pubsub.salesforce.com:7443\n",
    ],
)
def test_where_the_token_may_not_go(text: str) -> None:
    """Any other host, and what only looks like one."""
    with pytest.raises(ConnectionConfigError, match="pubsub_endpoint"):
        endpoint_of(ConnectionSpec("sf", "salesforce", extra={"pubsub_endpoint": text}))


def test_a_simulated_org_never_asks_salesforce() -> None:
    """With a login on loopback the endpoint must be said: its token is nobody else's business."""
    spec = ConnectionSpec("sf", "salesforce", extra={"login_url": "http://127.0.0.1:1"})
    with pytest.raises(ConnectionConfigError, match="is missing"):
        endpoint_of(spec)


def test_missing_packages_are_named(world: PipelineWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what to install, to the doctor and to health; nothing else breaks."""
    world.rules(PAGE_NEW)
    world.settings(**ON)
    monkeypatch.setitem(sys.modules, "grpc.aio", None)
    with pytest.raises(Exception, match="Install grpcio and protobuf"):
        check_packages()
    (check,) = checked(world)
    assert not check.ok
    assert "Install grpcio and protobuf" in check.said
    (finding,) = unheard(world.ledger, load_integration("default"))
    assert "Install grpcio" in finding


def test_nobody_waits_for_what_is_off() -> None:
    """To name the trigger, or to look at health, imports neither gRPC nor a client."""
    asked = "import sys, pd_sf_rules.triggers.change_rings, pd_sf_rules.pipeline.signals; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert {"grpc", "google.protobuf", "simple_salesforce"}.isdisjoint(done.stdout.split())


def test_certificates_are_those_of_the_other_calls(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A company's own authority is named once, for REST and for gRPC."""
    bundle = tmp_path_factory.mktemp("ca") / "ca.pem"
    bundle.write_bytes(b"PEM")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    assert endpoint.trusted_roots() == b"PEM"
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert endpoint.trusted_roots() is None
