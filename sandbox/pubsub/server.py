"""The Pub/Sub API over gRPC: GetTopic, GetSchema and Subscribe; publishing is not simulated."""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc

from sandbox.pubsub import pubsub_api_pb2 as pb
from sandbox.pubsub.avro import event_name
from sandbox.pubsub.bus import Bus, Sent, replay_id
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.org import ORG_ID, Actor
from sandbox.salesforce.state import SalesforceState

SERVICE = "eventbus.v1.PubSub"
TOPIC = re.compile(r"/data/([A-Za-z][A-Za-z0-9_]*?)(__)?ChangeEvent")
MOST = 100
"""Events that may be asked for and not yet sent."""

IDLE_SECONDS = 60.0
"""How long a stream stays open of which nothing more is asked for."""

STREAMS = 64
CODES = {
    "auth": "sfdc.platform.eventbus.grpc.service.auth.error",
    "headers": "sfdc.platform.eventbus.grpc.service.auth.headers.invalid",
    "topic": "sfdc.platform.eventbus.grpc.topic.get.topic.not.found",
    "access": "sfdc.platform.eventbus.grpc.topic.get.permission.denied",
    "schema": "sfdc.platform.eventbus.grpc.schema.get.schema.not.found",
    "replay": "sfdc.platform.eventbus.grpc.subscription.fetch.replayid.corrupted",
    "no replay": "sfdc.platform.eventbus.grpc.subscription.fetch.replayid.validation.failed",
    "requested": "sfdc.platform.eventbus.grpc.subscription.fetch.requested.events.invalid",
    "down": "sfdc.platform.eventbus.grpc.service.unavailable",
}


@dataclass(slots=True)
class _Stream:
    """One subscription: how many more events it may send, and where it stands."""

    entity: str
    place: int
    cuts: int
    wanted: int = 0
    asked_at: float = field(default_factory=time.monotonic)
    over: bool = False
    refused: str = ""


class PubSubServer:
    """Serves one bus on a port of loopback; 0 takes a free one. Raises OSError for a port that is taken."""

    def __init__(self, state: SalesforceState, bus: Bus, port: int = 0) -> None:
        self._state, self._bus = state, bus
        self._threads = ThreadPoolExecutor(STREAMS, thread_name_prefix="sandbox pubsub")
        # Without SO_REUSEPORT a port that is taken is refused, not shared.
        self._server = grpc.server(self._threads, options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self._rpcs(),))
        try:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        except RuntimeError:
            raise OSError(f"cannot listen on 127.0.0.1:{port}: the port is taken") from None

    def start(self) -> None:
        """Serve until `close`."""
        self._server.start()

    def close(self) -> None:
        """End every stream and stop listening."""
        self._server.stop(0).wait(10)
        self._bus.cut()
        self._threads.shutdown(wait=True)

    def _rpcs(self) -> grpc.GenericRpcHandler:
        def unary(work: Any, request: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(
                work, request.FromString, lambda answer: answer.SerializeToString()
            )

        streaming = grpc.stream_stream_rpc_method_handler(
            self._subscribe, pb.FetchRequest.FromString, pb.FetchResponse.SerializeToString
        )
        methods = {
            "GetTopic": unary(self._get_topic, pb.TopicRequest),
            "GetSchema": unary(self._get_schema, pb.SchemaRequest),
            "Subscribe": streaming,
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _get_topic(self, request: pb.TopicRequest, context: grpc.ServicerContext) -> pb.TopicInfo:
        actor = self._admitted(context, f"GetTopic {request.topic_name}")
        entity = self._entity(request.topic_name, actor, context)
        return pb.TopicInfo(
            topic_name=request.topic_name,
            tenant_guid="core/sandbox/" + ORG_ID,
            can_publish=False,
            can_subscribe=True,
            schema_id=self._bus.schema(entity),
            rpc_id="sandbox",
        )

    def _get_schema(
        self, request: pb.SchemaRequest, context: grpc.ServicerContext
    ) -> pb.SchemaInfo:
        self._admitted(context, f"GetSchema {request.schema_id}")
        schema = self._bus.schemas.get(request.schema_id)
        if schema is None:
            _abort(context, grpc.StatusCode.NOT_FOUND, "schema", "The schema was not found.")
        return pb.SchemaInfo(schema_json=schema, schema_id=request.schema_id, rpc_id="sandbox")

    def _subscribe(
        self, requests: Iterator[pb.FetchRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.FetchResponse]:
        first = next(requests, None)
        if first is None:
            return
        preset = pb.ReplayPreset.Name(first.replay_preset)
        actor = self._admitted(context, f"Subscribe {first.topic_name} {preset}")
        stream = self._opened(first, actor, context)
        self._counted(stream.entity, 1)
        context.add_callback(lambda: self._ended(stream))
        threading.Thread(target=self._listen, args=(stream, requests), daemon=True).start()
        try:
            yield from self._deliveries(stream, context)
        finally:
            self._counted(stream.entity, -1)

    def _opened(
        self, first: pb.FetchRequest, actor: Actor, context: grpc.ServicerContext
    ) -> _Stream:
        entity, bus = self._entity(first.topic_name, actor, context), self._bus
        if first.num_requested <= 0:
            _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "requested", "Ask for at least one.")
        place: int | None = bus.last
        if first.replay_preset == pb.EARLIEST:
            bus.forget_old()
            place = max(bus.expired - 1, 0)
        elif first.replay_preset == pb.CUSTOM:
            code = "replay" if first.replay_id else "no replay"
            place = bus.place(first.replay_id)
            if place is None:
                said = "The replay ID could not be decoded, or is not in the bus any more."
                _abort(context, grpc.StatusCode.INVALID_ARGUMENT, code, said)
        assert place is not None
        return _Stream(entity, place, bus.cuts, min(first.num_requested, MOST))

    def _listen(self, stream: _Stream, requests: Iterator[pb.FetchRequest]) -> None:
        """Take what more is asked for, until the caller has gone."""
        try:
            for request in requests:
                with self._bus.news:
                    if request.num_requested <= 0:
                        stream.refused = "requested"
                    stream.wanted = min(stream.wanted + request.num_requested, MOST)
                    stream.asked_at = time.monotonic()
                    self._bus.news.notify_all()
        except grpc.RpcError:
            pass  # the caller has gone: `_ended` knows
        self._ended(stream)

    def _deliveries(
        self, stream: _Stream, context: grpc.ServicerContext
    ) -> Iterator[pb.FetchResponse]:
        bus = self._bus
        while True:
            with bus.news:
                since = time.monotonic()
                while not self._awake(stream) and (left := self._left(stream, since)) > 0:
                    bus.news.wait(left)
                batch = self._due(stream)
                latest = batch[-1].number if batch else bus.last
                idle = not stream.wanted and time.monotonic() - stream.asked_at >= IDLE_SECONDS
            if stream.over or idle:
                return
            if stream.cuts != bus.cuts:
                _abort(context, grpc.StatusCode.UNAVAILABLE, "down", "The service is restarting.")
            if stream.refused:
                _abort(context, grpc.StatusCode.INVALID_ARGUMENT, stream.refused, "Ask for more.")
            self._actor(context)  # a session that has ended ends its streams
            stream.place, stream.wanted = max(latest, stream.place), stream.wanted - len(batch)
            yield self._response(batch, stream)

    def _awake(self, stream: _Stream) -> bool:
        cut = stream.over or stream.cuts != self._bus.cuts or bool(stream.refused)
        return cut or bool(self._due(stream))

    def _left(self, stream: _Stream, since: float) -> float:
        """Return the seconds until an empty answer is due, or the end of a stream that asks for nothing more."""
        now = time.monotonic()
        left = since + self._bus.keepalive_seconds - now
        return left if stream.wanted else min(left, stream.asked_at + IDLE_SECONDS - now)

    def _due(self, stream: _Stream) -> list[Sent]:
        if not stream.wanted:
            return []
        later = [
            one
            for one in self._bus.events
            if one.number > stream.place and one.entity == stream.entity
        ]
        return later[: stream.wanted]

    def _response(self, batch: list[Sent], stream: _Stream) -> pb.FetchResponse:
        events = [
            pb.ConsumerEvent(
                event=pb.ProducerEvent(
                    id=f"sandbox-{one.number}", schema_id=one.schema_id, payload=one.payload
                ),
                replay_id=one.replay_id,
            )
            for one in batch
        ]
        return pb.FetchResponse(
            events=events,
            latest_replay_id=replay_id(stream.place),
            rpc_id="sandbox",
            pending_num_requested=stream.wanted,
        )

    def _admitted(self, context: grpc.ServicerContext, call: str) -> Actor:
        with self._bus.news:
            self._bus.used = True
            self._bus.calls.append(call)
            down = self._bus.unavailable > 0
            self._bus.unavailable -= down
        if down:
            _abort(context, grpc.StatusCode.UNAVAILABLE, "down", "The service is not available.")
        return self._actor(context)

    def _actor(self, context: grpc.ServicerContext) -> Actor:
        told = {key: str(value) for key, value in context.invocation_metadata()}
        lacking = {"accesstoken", "instanceurl", "tenantid"} - told.keys()
        if lacking or not told["instanceurl"].startswith("http"):
            said = f"Headers are missing or wrong: {', '.join(sorted(lacking)) or 'instanceurl'}."
            _abort(context, grpc.StatusCode.UNAUTHENTICATED, "headers", said)
        try:
            with self._state.at_work():
                actor = self._state.sessions.actor(f"Bearer {told['accesstoken']}")
        except ApiError as refusal:
            _abort(context, grpc.StatusCode.UNAUTHENTICATED, "auth", refusal.message)
        if told["tenantid"] not in (ORG_ID, ORG_ID[:15]):
            _abort(context, grpc.StatusCode.UNAUTHENTICATED, "auth", "The tenant is another one.")
        return actor

    def _entity(self, topic: str, actor: Actor, context: grpc.ServicerContext) -> str:
        found = TOPIC.fullmatch(topic)
        name = f"{found[1]}__c" if found and found[2] else found[1] if found else ""
        entity = self._bus.supported(name)
        if entity is None or topic != f"/data/{event_name(entity)}":
            said = f"The topic {topic} was not found."
            _abort(context, grpc.StatusCode.NOT_FOUND, "topic", said)
        with self._state.at_work():
            visible = self._state.org.view(actor).get(entity) is not None
        if not visible:
            said = f"You have no access to the topic {topic}."
            _abort(context, grpc.StatusCode.PERMISSION_DENIED, "access", said)
        return entity

    def _counted(self, entity: str, more: int) -> None:
        with self._bus.news:
            self._bus.listening[entity] = self._bus.listening.get(entity, 0) + more
            self._bus.news.notify_all()

    def _ended(self, stream: _Stream) -> None:
        with self._bus.news:
            stream.over = True
            self._bus.news.notify_all()


def _abort(
    context: grpc.ServicerContext, status: grpc.StatusCode, code: str, said: str
) -> NoReturn:
    context.set_trailing_metadata((("error-code", CODES[code]),))
    context.abort(status, said)
    raise AssertionError(status)
