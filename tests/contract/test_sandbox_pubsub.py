"""The sandbox's Pub/Sub API as a stranger's client meets it: plain gRPC calls, and Avro read by fastavro."""

import hashlib
import io
import json
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastavro
import grpc
import httpx
import pytest

from sandbox.pubsub import pubsub_api_pb2 as pb
from sandbox.pubsub.bus import replay_id
from sandbox.salesforce.org import ORG_ID
from sandbox.world import World

ROOT = Path(__file__).resolve().parents[2]
OURS = ROOT / "plugins" / "pd_sf_rules" / "systems" / "salesforce" / "pubsub"
CASE = "/data/CaseChangeEvent"
PATIENCE = 20.0
Status = grpc.StatusCode


@dataclass
class Caller:
    """Calls the service as the integration user."""

    world: World
    channel: grpc.Channel
    metadata: dict[str, str]

    def topic(self, name: str = CASE) -> pb.TopicInfo:
        """GetTopic."""
        request = pb.TopicRequest(topic_name=name)
        told: pb.TopicInfo = self._unary("GetTopic", request, pb.TopicInfo)
        return told

    def schema(self, schema_id: str) -> dict[str, Any]:
        """GetSchema, parsed."""
        request = pb.SchemaRequest(schema_id=schema_id)
        told = self._unary("GetSchema", request, pb.SchemaInfo)
        schema: dict[str, Any] = json.loads(told.schema_json)
        return schema

    def subscribe(self, wanted: int = 10, topic: str = CASE, **first: Any) -> "Stream":
        """Subscribe, asking for so many events."""
        asked: queue.Queue[pb.FetchRequest | None] = queue.Queue()
        asked.put(pb.FetchRequest(topic_name=topic, num_requested=wanted, **first))
        call = self.channel.stream_stream(
            "/eventbus.v1.PubSub/Subscribe",
            pb.FetchRequest.SerializeToString,
            pb.FetchResponse.FromString,
        )(iter(asked.get, None), metadata=tuple(self.metadata.items()), timeout=PATIENCE)
        return Stream(call, asked, self)

    def _unary(self, method: str, request: Any, answer: Any) -> Any:
        call = self.channel.unary_unary(
            f"/eventbus.v1.PubSub/{method}", type(request).SerializeToString, answer.FromString
        )
        return call(request, metadata=tuple(self.metadata.items()), timeout=PATIENCE)


@dataclass
class Stream:
    """One open subscription."""

    call: Any
    asked: "queue.Queue[pb.FetchRequest | None]"
    caller: Caller
    answers: list[pb.FetchResponse] = field(default_factory=list)

    def open(self) -> "Stream":
        """Wait until the server has it."""
        assert self.caller.world.pubsub.wait_for_listeners("Case")
        return self

    def events(self, count: int) -> list[dict[str, Any]]:
        """The next events, decoded."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            self.answers.append(next(self.call))
            for one in self.answers[-1].events:
                schema = fastavro.parse_schema(self.caller.schema(one.event.schema_id))
                raw = io.BytesIO(one.event.payload)
                read: Any = fastavro.schemaless_reader(raw, schema, None)
                assert raw.read() == b""
                found.append(read | {"replay_id": one.replay_id})
        return found

    def more(self, wanted: int) -> None:
        """Ask for more."""
        self.asked.put(pb.FetchRequest(topic_name=CASE, num_requested=wanted))

    def close(self) -> None:
        """Hang up."""
        self.asked.put(None)
        self.call.cancel()


@pytest.fixture
def caller(world: World) -> Iterator[Caller]:
    """A caller with a session of the integration user."""
    user = world.salesforce.org.user("pagerduty-sync@acme.example")
    assert user is not None
    token = world.salesforce.sessions.open(str(user["Id"]))
    metadata = {"accesstoken": token, "instanceurl": world.salesforce_url, "tenantid": ORG_ID}
    with grpc.insecure_channel(world.pubsub_endpoint) as channel:
        yield Caller(world, channel, metadata)


def refusal(work: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    """The status and Salesforce's own word of a refused call."""
    with pytest.raises(grpc.RpcError) as caught:
        work()
    error: Any = caught.value
    trailer = dict(error.trailing_metadata())
    return error.code(), str(trailer["error-code"]).rpartition("grpc.")[2]


def case(world: World, **fields: Any) -> str:
    """A new Case by a person."""
    return world.salesforce.create("Case", {"Subject": "Slow", "Origin": "Web", **fields})


def test_both_sides_speak_the_published_definition() -> None:
    """The definition is Salesforce's own, byte for byte, and what was made from it is one thing on both sides."""
    proto = OURS / "pubsub_api.proto"
    told = (OURS / "PROVENANCE.md").read_text(encoding="utf-8")
    assert hashlib.sha256(proto.read_bytes()).hexdigest() in told
    for name in ("pubsub_api_pb2.py", "pubsub_api_pb2.pyi"):
        assert (OURS / name).read_bytes() == (ROOT / "sandbox" / "pubsub" / name).read_bytes()
    said = proto.read_text(encoding="utf-8")
    for message in pb.DESCRIPTOR.message_types_by_name.values():
        for one in message.fields:
            assert f" {one.name} = {one.number};" in said, one.full_name


def test_a_topic_tells_its_schema(caller: Caller) -> None:
    """The schema of an object's events is a record whose first field is the header."""
    topic = caller.topic()
    assert (topic.topic_name, topic.can_subscribe, topic.can_publish) == (CASE, True, False)
    schema = caller.schema(topic.schema_id)
    assert (schema["name"], schema["fields"][0]["name"]) == ("CaseChangeEvent", "ChangeEventHeader")
    assert {"Subject", "Status"} <= {one["name"] for one in schema["fields"]}


def test_every_kind_of_change_is_told(caller: Caller) -> None:
    """Created, changed, deleted, brought back: in order, with the new values alone and the fields that changed."""
    world, stream = caller.world, caller.subscribe().open()
    made = case(world, Priority="Low")
    world.salesforce.update(made, {"Priority": "High", "Subject": None})
    world.salesforce.touch([made])  # no field changed: nothing to tell
    world.salesforce.delete(made)
    world.salesforce.undelete(made)
    events = stream.events(4)
    headers = [one["ChangeEventHeader"] for one in events]
    assert [one["changeType"] for one in headers] == ["CREATE", "UPDATE", "DELETE", "UNDELETE"]
    assert {(one["entityName"], *one["recordIds"]) for one in headers} == {("Case", made)}
    assert (events[1]["Priority"], events[1]["Subject"], events[1]["Status"]) == (
        "High",
        None,
        None,
    )
    names = [one["name"] for one in caller.schema(caller.topic().schema_id)["fields"]]
    told = [bits(names, headers[1][key]) for key in ("changedFields", "nulledFields")]
    assert told[1] == {"Subject"}
    assert {"Priority", "Subject"} <= told[0]
    assert "Status" not in told[0]
    places = [one["replay_id"] for one in events]
    assert len(set(places)) == 4
    stream.close()


def bits(names: list[str], bitmaps: list[str]) -> set[str]:
    """The fields that a bitmap names, as the vendor's samples read it."""
    number = int(bitmaps[0], 16)
    return {name for place, name in enumerate(names) if number >> place & 1}


def test_no_more_comes_than_was_asked_for(caller: Caller) -> None:
    """Flow control: two of three events, then the third when more is asked for."""
    stream = caller.subscribe(wanted=2).open()
    for _ in range(3):
        case(caller.world)
    assert len(stream.events(2)) == 2
    assert stream.answers[-1].pending_num_requested == 0
    threading.Timer(0.2, stream.more, [5]).start()
    assert len(stream.events(1)) == 1
    assert stream.answers[-1].pending_num_requested == 4
    stream.close()


def test_a_stream_is_taken_up_where_it_ended(caller: Caller) -> None:
    """After the place that was told: nothing twice, nothing left out; EARLIEST has all of it."""
    stream = caller.subscribe().open()
    first = case(caller.world)
    place = stream.events(1)[0]["replay_id"]
    stream.close()
    assert caller.world.pubsub.wait_for_listeners("Case", 0)
    second = case(caller.world)
    again = caller.subscribe(replay_preset=pb.CUSTOM, replay_id=place)
    assert again.events(1)[0]["ChangeEventHeader"]["recordIds"] == [second]
    all_of_it = caller.subscribe(replay_preset=pb.EARLIEST)
    found = [one["ChangeEventHeader"]["recordIds"] for one in all_of_it.events(2)]
    assert found == [[first], [second]]
    again.close()
    all_of_it.close()


def test_silence_is_broken_with_the_latest_place(caller: Caller) -> None:
    """Where nothing happens an empty answer says so, and up to where."""
    caller.topic()
    case(caller.world)
    caller.world.pubsub.keepalive_seconds = 0.1
    stream = caller.subscribe()
    answer = next(stream.call)
    assert not answer.events
    assert answer.latest_replay_id == replay_id(caller.world.pubsub.last)
    stream.close()


def test_places_that_are_not_known_are_refused(caller: Caller) -> None:
    """Bytes of any kind, none at all, and what is older than the bus keeps."""
    stream = caller.subscribe().open()
    case(caller.world)
    place = stream.events(1)[0]["replay_id"]
    stream.close()
    caller.world.pubsub.expire()
    wrong = Status.INVALID_ARGUMENT, "subscription.fetch.replayid.corrupted"
    for raw in (place, b"nonsense", b"\x0a\x51" + bytes(7) + b"\x01", replay_id(10**9)):
        stream = caller.subscribe(replay_preset=pb.CUSTOM, replay_id=raw)
        assert refusal(lambda stream=stream: next(stream.call)) == wrong  # type: ignore[misc]
    stream = caller.subscribe(replay_preset=pb.CUSTOM)
    word = "subscription.fetch.replayid.validation.failed"
    assert refusal(lambda: next(stream.call)) == (Status.INVALID_ARGUMENT, word)


@pytest.mark.parametrize(
    ("metadata", "word"),
    [
        ({"accesstoken": "00D!wrong"}, "service.auth.error"),
        ({"tenantid": "00D000000000000AAA"}, "service.auth.error"),
        ({"instanceurl": "acme"}, "service.auth.headers.invalid"),
    ],
)
def test_strangers_are_refused(caller: Caller, metadata: dict[str, str], word: str) -> None:
    """Every call needs a live token, the instance and the org it belongs to."""
    caller.metadata |= metadata
    assert refusal(caller.topic) == (Status.UNAUTHENTICATED, word)
    stream = caller.subscribe()
    assert refusal(lambda: next(stream.call)) == (Status.UNAUTHENTICATED, word)


def test_a_session_that_ends_ends_its_stream(caller: Caller) -> None:
    """A killed session gets no event any more."""
    stream = caller.subscribe().open()
    caller.world.salesforce.faults.kill_sessions()
    case(caller.world)
    told = refusal(lambda: next(stream.call))
    assert told == (Status.UNAUTHENTICATED, "service.auth.error")


@pytest.mark.parametrize(
    "topic", ["/data/CaseCommentChangeEvent", "/data/NoneChangeEvent", "/event/X__e", ""]
)
def test_topics_that_are_not_there(caller: Caller, topic: str) -> None:
    """Objects without change events, unknown ones, and other kinds of topics."""
    assert refusal(lambda: caller.topic(topic)) == (
        Status.NOT_FOUND,
        "topic.get.topic.not.found",
    )


def test_an_object_that_the_user_cannot_see(caller: Caller) -> None:
    """Its topic is refused."""
    caller.world.salesforce.faults.set_access("Case", None, "none")
    word = "topic.get.permission.denied"
    assert refusal(caller.topic) == (Status.PERMISSION_DENIED, word)


def test_what_is_not_selected_tells_nothing(caller: Caller) -> None:
    """Only objects that are selected for Change Data Capture have events."""
    caller.topic()
    caller.world.salesforce.faults.set(captured=["Account"])
    case(caller.world)
    caller.world.salesforce.create("Account", {"Name": "Acme"})
    stream = caller.subscribe(topic="/data/AccountChangeEvent", replay_preset=pb.EARLIEST)
    (event,) = stream.events(1)
    assert event["ChangeEventHeader"]["entityName"] == "Account"
    stream.close()


def test_trouble_on_demand(caller: Caller) -> None:
    """By the control API: gaps, an overflow, calls that are refused, streams that are cut."""
    control = httpx.Client(base_url=caller.world.control_url)
    stream = caller.subscribe().open()
    control.post("/salesforce/pubsub", json={"gap": {"object": "Case", "ids": ["500X"]}})
    control.post("/salesforce/pubsub", json={"overflow": "Case"})
    headers = [one["ChangeEventHeader"] for one in stream.events(2)]
    assert [one["changeType"] for one in headers] == ["GAP_UPDATE", "GAP_OVERFLOW"]
    told = control.post("/salesforce/pubsub", json={"unavailable": 1}).json()
    assert told["events"] >= 2
    word = "service.unavailable"
    assert refusal(lambda: next(stream.call)) == (Status.UNAVAILABLE, word)
    assert refusal(caller.topic) == (Status.UNAVAILABLE, word)
    assert caller.topic().can_subscribe
    assert control.post("/salesforce/pubsub", json={"gap": {"object": "No"}}).status_code == 404
    assert control.post("/salesforce/pubsub", json={"nothing": 1}).status_code == 400
    control.close()
