"""A tiny HTTP server whose every answer a test writes down: other people's servers, and bad luck."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """What arrived: header names in lower case, the body parsed where it is JSON."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    """An answer. `body` is sent as JSON unless it is text or bytes.

    `cut` closes the connection in the middle of it, `hang_up` after it without a word.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    date: bool = True
    cut: bool = False
    hang_up: bool = False


@dataclass(frozen=True)
class Silence:
    """No answer: the connection stays open until the test ends."""


@dataclass(frozen=True)
class Reset:
    """No answer: the connection is reset."""


Answering = Reply | Silence | Reset
Script = Answering | Sequence[Answering] | Callable[[Request], Answering]


class Scripted:
    """The server. `on` says what to answer; of several answers the last is repeated for ever.

    What is put into `closing` is called when the server ends.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self.over = threading.Event()
        self.hung_up = threading.Event()
        self.closing: list[Callable[[], None]] = []
        self._scripts: dict[tuple[str, str], Script] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def on(
        self, method: str, path: str, *answers: Answering | Callable[[Request], Answering]
    ) -> None:
        """Answer `method` on `path` (without its query) so from now on."""
        first = answers[0]
        script: Script = [one for one in answers if not callable(one)]
        self._scripts[method, path] = first if callable(first) else script
        self._counts[method, path] = 0

    def sent(self, method: str, path: str) -> list[Request]:
        """Return the requests that arrived for `method` on `path`."""
        return [one for one in self.requests if (one.method, one.path) == (method, path)]

    def answer(self, request: Request) -> Answering:
        """Note a request and return what to answer; 404 where nothing was said."""
        key = request.method, request.path
        with self._lock:
            self.requests.append(request)
            number = self._counts.get(key, 0)
            self._counts[key] = number + 1
        script = self._scripts.get(key)
        if script is None:
            return Reply(
                404, [{"errorCode": "NOT_FOUND", "message": "The resource does not exist"}]
            )
        if callable(script):
            return script(request)
        if isinstance(script, Sequence):
            return script[min(number, len(script) - 1)]
        return script


class _Exchange(BaseHTTPRequestHandler):
    """One connection; keeps it open between requests, as real servers do."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    script: Scripted

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer()

    def do_POST(self) -> None:
        """Answer a POST."""
        self._answer()

    def do_PUT(self) -> None:
        """Answer a PUT."""
        self._answer()

    def do_PATCH(self) -> None:
        """Answer a PATCH."""
        self._answer()

    def do_CONNECT(self) -> None:
        """Refuse to be a proxy, on the record."""
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's own name
        """Keep the test output quiet."""

    def _answer(self) -> None:
        reply = self.script.answer(self._request())
        if isinstance(reply, Silence):
            self.script.over.wait(30)
            self.close_connection = True
        elif isinstance(reply, Reset):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        else:
            self._send(reply)

    def _request(self) -> Request:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = self.path if self.command == "CONNECT" else parts.path
        return Request(self.command, path, parse_qs(parts.query), headers, _parsed(raw))

    def _send(self, reply: Reply) -> None:
        raw = reply.body if isinstance(reply.body, bytes) else _text(reply.body).encode()
        self.send_response_only(reply.status)
        if reply.date and "Date" not in reply.headers:
            self.send_header("Date", self.date_time_string())
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "Content-Type" not in reply.headers:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw[: len(raw) // 2] if reply.cut else raw)
        if reply.cut or reply.hang_up:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            self.script.hung_up.set()


def _parsed(raw: bytes) -> Any:
    text = raw.decode()
    try:
        return json.loads(text) if text else None
    except ValueError:
        return {name: values[0] for name, values in parse_qs(text).items()}


def _text(body: Any) -> str:
    if body is None:
        return ""
    return body if isinstance(body, str) else json.dumps(body)


@contextmanager
def scripted_server() -> Iterator[Scripted]:
    """Serve a `Scripted` on a free loopback port while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Exchange)
    server.daemon_threads = True
    script = Scripted(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = type("_Bound", (_Exchange,), {"script": script})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield script
    finally:
        for close in script.closing:
            close()
        script.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
