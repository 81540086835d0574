"""The ASGI layer in front of each simulated system: strikes with planned faults, keeps the traffic."""

import asyncio
import json
import re
import socket
import struct
import time
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.faults import TAKES_EFFECT, FaultPlan, Strike
from sandbox.habits import Habits
from sandbox.traffic import Traffic

SILENT = frozenset({"timeout_before", "timeout_after", "reset_before", "reset_after"})
CONTROL_PREFIX = "/__sandbox__"
# Links to a record in the org's own pages: Lightning's, and the short classic form.
WEB_LINK = re.compile(r"/lightning/r/.*|/[A-Za-z0-9]{15}([A-Za-z0-9]{3})?")
HTML_PAGE = "<!DOCTYPE html><html><head><title>503</title></head><body><h1>Service Unavailable</h1></body></html>"
# Set by the server's protocol class, so that a fault can cut the very connection.
CONNECTION = "sandbox_connection"


class _Answer:
    """Collects what the application sends instead of sending it."""

    def __init__(self) -> None:
        self.start: Message | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")

    @property
    def status(self) -> int | None:
        return int(self.start["status"]) if self.start else None

    async def send(self, send: Send, body: bytes) -> None:
        """Send it with another body and a fitting length."""
        if self.start is None:
            return
        kept = [(k, v) for k, v in self.start["headers"] if k.lower() != b"content-length"]
        length = (b"content-length", str(len(body)).encode())
        bodyless = self.start["status"] in (204, 304)
        await send({**self.start, "headers": kept if bodyless else [*kept, length]})
        await send({"type": "http.response.body", "body": b"" if bodyless else body})

    def speak(self, habits: Habits) -> None:
        """Say it in this server's way."""
        if self.start is not None:
            self.start["headers"] = habits.headers(list(self.start["headers"]))
            self.body = habits.body(self.start["status"], self.body)


class FaultsAndTraffic:
    """Wraps one system's application; requests to its control surface pass untouched.

    Links to a record in the system's own web interface lead to the play page at `web_url`.
    """

    def __init__(
        self,
        app: ASGIApp,
        system: str,
        plan: FaultPlan,
        traffic: Traffic,
        web_url: str,
        habits: Habits | None = None,
    ) -> None:
        self._habits = habits or Habits()
        self._app = app
        self._web_url = web_url
        self._system = system
        self._plan = plan
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or what a fault makes of it."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        if WEB_LINK.fullmatch(scope["path"]):
            await RedirectResponse(self._web_url + scope["path"])(scope, receive, send)
            return
        started = time.time()
        raw = await _read(receive)
        strike = self._plan.strike(self._system, scope["method"], scope["path"])
        scope = {**scope, "query_string": self._habits.asked(scope["query_string"])}
        answer = _Answer()
        takes_effect = strike is None or strike.kind in TAKES_EFFECT
        if takes_effect:
            await self._app(scope, _replay(raw, receive), answer)
        elif strike is not None and strike.kind not in SILENT:
            await response_of(strike, self._system)(scope, receive, answer)
        answer.speak(self._habits)
        # Kept before the client hears anything, so that a test never looks too early.
        self._traffic.note(
            started=started, system=self._system, method=scope["method"], path=scope["path"],
            query=scope["query_string"].decode(), sender=_header(scope, b"from"),
            raw=raw, took_effect=takes_effect,
            status=None if strike and strike.kind in SILENT else answer.status,
            fault=strike.kind if strike else None,
        )  # fmt: skip
        await _deliver(strike, answer, scope, receive, send)


async def _deliver(
    strike: Strike | None, answer: _Answer, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send the answer, or do to the connection what the fault says."""
    refused = answer.status is not None and answer.status >= 400
    if strike is None or (refused and strike.kind in ("html_done", "empty_done")):
        # A refused call took no effect: nothing answers it as if it had.
        await answer.send(send, answer.body)
        return
    if strike.kind in ("timeout_before", "timeout_after"):
        await _hang(receive, strike.fault.seconds)
    if strike.kind in SILENT:
        await _cut(scope, receive, reset=strike.kind.startswith("reset"))
        return
    if strike.kind == "slow":
        await asyncio.sleep(strike.fault.seconds)
    if strike.kind in ("html_done", "empty_done") and answer.start is not None:
        answer.start["status"] = 200
    cut_short = answer.body[: len(answer.body) // 2] or b'{"'
    if strike.kind == "cut_off":
        await _send_half(scope, send, answer, cut_short)
        return
    instead = {"malformed_json": cut_short, "html_done": HTML_PAGE.encode(), "empty_done": b""}
    await answer.send(send, instead.get(strike.kind, answer.body))


async def _send_half(scope: Scope, send: Send, answer: _Answer, half: bytes) -> None:
    """Promise more bytes than come, and end the connection."""
    if answer.start is None:
        return
    kept = [(k, v) for k, v in answer.start["headers"] if k.lower() != b"content-length"]
    length = (b"content-length", str(len(half) + 64).encode())
    await send({**answer.start, "status": 200, "headers": [*kept, length]})
    await send({"type": "http.response.body", "body": half, "more_body": True})
    scope["state"][CONNECTION].close()


def response_of(strike: Strike, system: str) -> Response:
    """The made-up answer of a fault that keeps the call from the system."""
    fault = strike.fault
    if strike.kind == "rate_limited":
        return _rate_limited(fault.headers, fault.reset_seconds, system)
    if strike.kind in ("unauthorized", "request_limit", "row_locked"):
        return _held_off(strike.kind, system)
    if strike.kind == "html":
        return HTMLResponse(HTML_PAGE, fault.status)
    if strike.kind == "answer" and fault.body is not None:
        text = isinstance(fault.body, str)
        content = fault.body if text else json.dumps(fault.body)
        kind = "text/plain" if text else "application/json"
        return Response(content, fault.status, fault.extra_headers, media_type=kind)
    if strike.kind == "answer":
        return Response(None, fault.status, fault.extra_headers)
    return JSONResponse(_server_error(system), fault.status)


def _rate_limited(with_headers: bool, reset_seconds: int, system: str) -> Response:  # noqa: FBT001
    if not with_headers:
        return Response(None, 429)
    message = {"message": "Rate Limit Exceeded", "code": 2020, "errors": ["Rate Limit Exceeded"]}
    body: Any = {"error": message}
    headers = {
        "ratelimit-limit": "960",
        "ratelimit-remaining": "0",
        "ratelimit-reset": str(reset_seconds),
    }
    if system == "salesforce":
        body = [{"errorCode": "TOO_MANY_REQUESTS", "message": "Too many requests"}]
        headers = {"Retry-After": str(reset_seconds)}
    return JSONResponse(body, 429, headers)


def _held_off(kind: str, system: str) -> Response:
    """Refuse for the moment, in the words of Salesforce; PagerDuty has its own for the same."""
    if kind == "unauthorized":
        return JSONResponse(_unauthorized(system), 401)
    if system != "salesforce":
        conflict = {"error": {"message": "Data Updated Since Last Request", "code": 1005}}
        locked = kind == "row_locked"
        return JSONResponse(conflict, 409) if locked else _rate_limited(False, 1, system)
    code, status, message = {
        "request_limit": ("REQUEST_LIMIT_EXCEEDED", 403, "TotalRequests Limit exceeded."),
        "row_locked": (
            "UNABLE_TO_LOCK_ROW",
            400,
            "unable to obtain exclusive access to this record",
        ),
    }[kind]
    return JSONResponse([{"message": message, "errorCode": code}], status)


def _unauthorized(system: str) -> Any:
    if system == "salesforce":
        return [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    return {"error": {"message": "Authentication failed", "code": 2006}}


def _server_error(system: str) -> Any:
    if system == "salesforce":
        return [{"message": "An unexpected error occurred", "errorCode": "UNKNOWN_EXCEPTION"}]
    return {"error": {"message": "Internal Server Error", "code": 2000}}


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message: Message = await receive()
        body += bytes(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return body


def _replay(raw: bytes, receive: Receive) -> Receive:
    """Give the application the body that was already read."""
    sent = False

    async def replayed() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": raw, "more_body": False}

    return replayed


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _hang(receive: Receive, seconds: float) -> None:
    """Say nothing for that long, or until the client gives up."""
    try:
        await asyncio.wait_for(_gone(receive), seconds)
    except (TimeoutError, asyncio.CancelledError):
        # Cancelled means that the server stops: the connection is cut right away then.
        return


async def _cut(scope: Scope, receive: Receive, *, reset: bool) -> None:
    """Close the client's connection without an answer; with a reset instead of an end if asked."""
    transport: asyncio.Transport = scope["state"][CONNECTION]
    if reset and not transport.is_closing():
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
    # The server must have noticed before we return, or it would complain about a missing answer.
    await _gone(receive)
