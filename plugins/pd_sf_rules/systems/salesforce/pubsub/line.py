"""The line to the Pub/Sub API: one gRPC channel and one login for an org, shared by its subscriptions.

Nothing here blocks the event loop: a login runs in a thread of the line's own.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import RefusedError
from pd_sf_rules.systems.salesforce.pubsub import pubsub_api_pb2 as pb
from pd_sf_rules.systems.salesforce.pubsub.avro import AvroError
from pd_sf_rules.systems.salesforce.pubsub.change_event import (
    ChangeEvent,
    parsed_schema,
    read_event,
)
from pd_sf_rules.systems.salesforce.pubsub.endpoint import Endpoint
from pd_sf_rules.systems.salesforce.pubsub.refusals import LineDropped, error_of
from pd_sf_rules.systems.salesforce.pubsub.session import SERVICE, Session, open_session

MOST = 100
"""Events asked for and not yet received; the server takes no more (Pub/Sub API guide, "Flow Control")."""

SILENCE_SECONDS = 330.0
"""A server with nothing to say says so within 270 s: one that is silent for longer is not there."""

CALL_SECONDS = 20.0

MOST_SCHEMAS = 64
"""Schemas that are remembered: an object has one, and another one after each change of its fields."""

LONGEST_ANSWER = 32 * 1024 * 1024
"""Bytes. gRPC itself takes no more than 4 MB, and an answer it refuses would come again for ever: a hundred new
records with long texts are more."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one answer held: events, none of which is as good as silence, and the place after them."""

    events: tuple[ChangeEvent, ...]
    unreadable: int
    replay_id: bytes

    @property
    def changed(self) -> bool:
        """Say whether anything changed, be it readable or not."""
        return bool(self.events or self.unreadable)


class Line:
    """`connect` reads the connection anew before each login, so that a mended one counts at once."""

    def __init__(self, connect: Callable[[], ConnectionSpec]) -> None:
        self._connect = connect
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log in for change events")
        self._session: Session | None = None
        self._channel: grpc.aio.Channel | None = None
        self._channel_of: tuple[Endpoint, bytes | None] | None = None
        self._schemas: dict[str, Mapping[str, Any] | None] = {}

    async def batches(self, topic: str, replay_id: bytes | None) -> AsyncGenerator[Batch, None]:
        """Yield what happens after `replay_id`, or from now on for None. Ends never but by an error.

        Raises SyncError: ReplayIdError for a replay id that is too old, LineDropped when the server ended it.
        """
        channel, session = await self._ready()
        call: Any = channel.stream_stream(
            f"{SERVICE}Subscribe", pb.FetchRequest.SerializeToString, pb.FetchResponse.FromString
        )(metadata=session.metadata())
        try:
            await call.write(_first_request(topic, replay_id))
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    answer = await call.read()
                if answer is grpc.aio.EOF:
                    raise await self._ended(call, topic, resumed=replay_id is not None)
                batch = await self._batch(answer)
                missing = MOST - answer.pending_num_requested
                if missing > MOST // 2:
                    await call.write(pb.FetchRequest(topic_name=topic, num_requested=missing))
                yield batch
        except TimeoutError:
            raise LineDropped("Salesforce's event bus has been silent for too long.") from None
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            # gRPC says the same where the channel was closed below the call: another login changed the endpoint.
            raise LineDropped("The line to Salesforce was opened anew.") from None
        except grpc.aio.AioRpcError as error:
            raise self._refused(error, session, topic, resumed=replay_id is not None) from None
        except asyncio.InvalidStateError:  # written to after the server had ended it
            raise await self._ended(call, topic, resumed=replay_id is not None) from None
        finally:
            call.cancel()

    async def close(self) -> None:
        """Hang up."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._channel is not None:
            await self._channel.close()

    async def _ask(self, method: str, request: Any, answer: Any, topic: str) -> Any:
        channel, session = await self._ready()
        call = channel.unary_unary(
            SERVICE + method, type(request).SerializeToString, answer.FromString
        )
        try:
            return await call(request, metadata=session.metadata(), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise self._refused(error, session, topic) from None

    async def _ended(self, call: Any, topic: str, *, resumed: bool = False) -> Exception:
        """Return why a stream is over: the server's own error where it gave one."""
        if await call.code() == grpc.StatusCode.OK:
            return LineDropped("Salesforce ended the subscription.")
        error = grpc.aio.AioRpcError(
            await call.code(),
            await call.initial_metadata(),
            await call.trailing_metadata(),
            details=await call.details(),
        )
        return self._refused(error, self._session, topic, resumed=resumed)

    def _refused(
        self,
        error: grpc.aio.AioRpcError,
        session: Session | None,
        topic: str,
        *,
        resumed: bool = False,
    ) -> Exception:
        if error.code() == grpc.StatusCode.UNAUTHENTICATED and self._session is session:
            self._session = None  # the next call logs in anew
        return error_of(error, topic, resumed=resumed)

    async def _ready(self) -> tuple[grpc.aio.Channel, Session]:
        async with self._lock:
            if self._session is None:
                loop = asyncio.get_running_loop()
                self._session = await loop.run_in_executor(self._thread, self._log_in)
            made_of = (self._session.endpoint, self._session.roots)
            if self._channel is None or self._channel_of != made_of:
                if self._channel is not None:
                    await self._channel.close()
                self._channel, self._channel_of = _channel(*made_of), made_of
            return self._channel, self._session

    def _log_in(self) -> Session:
        return open_session(self._connect())

    async def _batch(self, answer: pb.FetchResponse) -> Batch:
        events: list[ChangeEvent] = []
        for one in answer.events:
            schema = await self._schema(one.event.schema_id)
            if schema is None:
                continue
            try:
                events.append(read_event(schema, one.event.payload))
            except AvroError as error:
                _log.debug("A change event cannot be read: %s", error)
        last = answer.events[-1].replay_id if answer.events else answer.latest_replay_id
        return Batch(tuple(events), len(answer.events) - len(events), last)

    async def _schema(self, schema_id: str) -> Mapping[str, Any] | None:
        """Return a schema, asked for once; None where it cannot be had, or is none."""
        if schema_id in self._schemas:
            return self._schemas[schema_id]
        found: Mapping[str, Any] | None = None
        request = pb.SchemaRequest(schema_id=schema_id)
        try:
            told = await self._ask("GetSchema", request, pb.SchemaInfo, "")
            found = parsed_schema(told.schema_json)
        except (AvroError, RefusedError) as error:
            _log.debug("A schema of change events cannot be had: %s", error)
        if len(self._schemas) >= MOST_SCHEMAS:
            self._schemas.clear()
        self._schemas[schema_id] = found
        return found


def _is_cancelled() -> bool:
    """Say whether somebody wants the task at hand to end."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _first_request(topic: str, replay_id: bytes | None) -> pb.FetchRequest:
    if replay_id is None:
        return pb.FetchRequest(topic_name=topic, replay_preset=pb.LATEST, num_requested=MOST)
    return pb.FetchRequest(
        topic_name=topic, replay_preset=pb.CUSTOM, replay_id=replay_id, num_requested=MOST
    )


def _channel(endpoint: Endpoint, roots: bytes | None) -> grpc.aio.Channel:
    options: list[tuple[str, Any]] = [("grpc.max_receive_message_length", LONGEST_ANSWER)]
    if endpoint.loopback:  # no proxy of the environment for this very machine
        options.append(("grpc.enable_http_proxy", 0))
        return grpc.aio.insecure_channel(endpoint.target, options=options)
    credentials = grpc.ssl_channel_credentials(roots)
    return grpc.aio.secure_channel(endpoint.target, credentials, options=options)
