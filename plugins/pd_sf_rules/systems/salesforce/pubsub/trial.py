"""Try whether Salesforce lets us subscribe: for people and health checks, apart from the line that listens.

By gRPC's blocking calls: its asyncio side knows one event loop a process, and whoever asks here may have none.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import RefusedError, SyncError
from pd_sf_rules.systems.salesforce.pubsub import pubsub_api_pb2 as pb
from pd_sf_rules.systems.salesforce.pubsub.refusals import error_of
from pd_sf_rules.systems.salesforce.pubsub.session import SERVICE, Session, open_session

CALL_SECONDS = 20.0


def tried(
    spec: ConnectionSpec, topics: Sequence[str], seconds: float
) -> Mapping[str, SyncError | None]:
    """Log in, ask for each topic, begin a subscription to each and wait for so long at most; return what was refused.

    Raises SyncError when the login is refused. No event is read.
    """
    session = open_session(spec)
    found: dict[str, SyncError | None] = {}
    with _channel(session) as channel:
        for topic in topics:
            found[topic] = _asked(channel, session, topic)
        calls = {
            topic: _subscribed(channel, session, topic, seconds)
            for topic, refusal in found.items()
            if refusal is None
        }
        for topic, call in calls.items():
            found[topic] = _outcome(call, topic)
    return found


def _asked(channel: grpc.Channel, session: Session, topic: str) -> SyncError | None:
    ask: Any = channel.unary_unary(
        f"{SERVICE}GetTopic", pb.TopicRequest.SerializeToString, pb.TopicInfo.FromString
    )
    request = pb.TopicRequest(topic_name=topic)
    try:
        told = ask(request, metadata=session.metadata(), timeout=CALL_SECONDS)
    except grpc.RpcError as error:
        return error_of(error, topic)
    return None if told.can_subscribe else RefusedError(f"Nobody may subscribe to {topic}.")


def _subscribed(channel: grpc.Channel, session: Session, topic: str, seconds: float) -> Any:
    subscribe: Any = channel.stream_stream(
        f"{SERVICE}Subscribe", pb.FetchRequest.SerializeToString, pb.FetchResponse.FromString
    )
    first = pb.FetchRequest(topic_name=topic, replay_preset=pb.LATEST, num_requested=1)
    return subscribe(iter([first]), metadata=session.metadata(), timeout=seconds)


def _outcome(call: Iterator[Any], topic: str) -> SyncError | None:
    """Return what ended a subscription, None where nothing but our own time did."""
    try:
        next(call, None)
    except grpc.RpcError as error:
        refusal: Any = error
        if refusal.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
            return error_of(refusal, topic)
    return None


def _channel(session: Session) -> grpc.Channel:
    target = session.endpoint.target
    if session.endpoint.loopback:
        return grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)])
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(session.roots))
