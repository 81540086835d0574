"""Several uvicorn servers in one event loop on loopback, each on its own socket."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.middleware import CONNECTION

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Listener:
    """An application and the bound socket it will be served on."""

    app: ASGIApp
    socket: socket.socket
    dates_itself: bool = False  # the application sends its own Date, from a clock that may be off


def bind(port: int) -> socket.socket:
    """A socket on loopback; port 0 takes a free one. Raises OSError naming a port that is taken."""
    # The protocol is named so that asyncio sets TCP_NODELAY: without it every answer waits 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"cannot listen on {HOST}:{port}: {error.strerror}") from None
    bound.listen(512)
    return bound


def address(bound: socket.socket) -> str:
    """The base URL of a bound socket."""
    return f"http://{HOST}:{bound.getsockname()[1]}"


class _Protocol(H11Protocol):
    """Tells the application its connection, so that a planned fault can cut it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, CONNECTION: transport}


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the sandbox."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(listeners: Sequence[Listener], started: asyncio.Event, stop: asyncio.Event) -> None:
    """Serve all until `stop`; sets `started` once every application has come up."""
    servers = [
        _Server(
            uvicorn.Config(
                listener.app, http=_Protocol, lifespan="on", loop="asyncio", log_config=None,
                access_log=False, date_header=not listener.dates_itself,
                timeout_graceful_shutdown=1, timeout_keep_alive=75,
            )
        )
        for listener in listeners
    ]  # fmt: skip
    tasks = [
        asyncio.create_task(server.serve(sockets=[listener.socket]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    stopping = asyncio.create_task(stop.wait())
    try:
        while not all(server.started for server in servers):
            if any(task.done() for task in tasks):
                break
            await asyncio.sleep(0.01)
        else:
            started.set()
        await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)
