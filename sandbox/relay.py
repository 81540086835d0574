"""`python -m sandbox.relay HOST:PORT=HOST:PORT ...`: hands TCP connections on, from each left to its right address.

The sandbox listens on loopback and the product takes plain http on loopback only. In containers, a relay beside each of
them (in the same network namespace) makes the sandbox's loopback ports theirs.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Route:
    """Where to listen, and where to hand on."""

    listen: tuple[str, int]
    target: tuple[str, int]


def route(text: str) -> Route:
    """`HOST:PORT=HOST:PORT` as a route. Raises ValueError when it is not of that form."""
    left, _, right = text.partition("=")
    return Route(_address(left), _address(right))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"expected HOST:PORT=HOST:PORT, got '{text}'")
    return host, int(port)


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything from one side to the other, then its end; a broken side ends both."""
    try:
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except (ConnectionError, OSError):
        writer.transport.abort()


async def start(one: Route) -> asyncio.Server:
    """Listen and hand on; one that cannot reach its target closes the connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*one.target)
        except OSError as error:
            sys.stderr.write(f"relay: {one.target[0]}:{one.target[1]}: {error}\n")
            writer.transport.abort()
            return
        await asyncio.gather(_pour(reader, far_writer), _pour(far_reader, writer))
        for side in (far_writer, writer):
            side.close()

    return await asyncio.start_server(connected, *one.listen)


async def relay(routes: Sequence[Route]) -> None:
    """Serve every route until TERM or INT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    servers = [await start(one) for one in routes]
    await stop.wait()
    for server in servers:
        server.close()


def main(argv: Sequence[str]) -> int:
    """Relay until told to stop; 2 and one sentence when the arguments are not routes."""
    try:
        routes = [route(text) for text in argv]
    except ValueError as error:
        sys.stderr.write(f"relay: {error}\n")
        return 2
    asyncio.run(relay(routes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
