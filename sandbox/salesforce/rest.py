"""One REST call: what comes in, what goes out, and which function answers it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sandbox.salesforce import errors
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.org import Actor

if TYPE_CHECKING:
    from sandbox.salesforce.state import SalesforceState


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """A call below ``/services/data/vNN.0``; ``segments`` are decoded, without the version.

    ``body`` is the parsed JSON (None: no body), ``headers`` have lower-case names.
    """

    method: str
    segments: tuple[str, ...]
    version: str
    actor: Actor
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    host: str = ""

    @property
    def path(self) -> str:
        """Return the versioned path that addresses of other resources begin with."""
        return f"/services/data/v{self.version}"

    def object_body(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object. Raises ApiError JSON_PARSER_ERROR."""
        if not isinstance(self.body, dict):
            text = "The HTTP entity body is required, but this request has no entity body."
            raise ApiError(400, "JSON_PARSER_ERROR", text)
        return self.body


@dataclass(frozen=True, slots=True)
class ApiReply:
    """An answer; a body of None is an empty one."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[..., ApiReply]


@dataclass(frozen=True, slots=True)
class Route:
    """A path such as ``sobjects/{name}/{id}`` with one function per HTTP method."""

    pattern: str
    methods: Mapping[str, Answer]
    writes: bool = True  # False: even a POST changes nothing by itself

    def captures(self, segments: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the captured segments if the path fits, else None."""
        parts = self.pattern.split("/") if self.pattern else []
        if len(parts) != len(segments):
            return None
        caught = []
        for part, segment in zip(parts, segments, strict=True):
            if part.startswith("{"):
                caught.append(segment)
            elif part.casefold() != segment.casefold():
                return None
        return tuple(caught)


def answer(state: "SalesforceState", routes: tuple[Route, ...], call: ApiCall) -> ApiReply:
    """Find and run the function for a call; refusals become replies in the REST shape."""
    reply, route = ApiReply(404, [errors.not_found().rest()]), None
    try:
        for route in routes:
            caught = route.captures(call.segments)
            if caught is not None:
                function = _function(route, call.method)
                with state.org.store.transaction():
                    reply = function(state, call, *caught)
                break
    except ApiError as refusal:
        reply = ApiReply(refusal.status, [refusal.rest()])
    if call.method not in {"GET", "HEAD"} and route is not None and route.writes:
        state.note_write(call, reply.status)
    return reply


def _function(route: Route, method: str) -> Answer:
    function = route.methods.get("GET" if method == "HEAD" else method)
    if function is None:
        allowed = ["HEAD", *route.methods] if "GET" in route.methods else list(route.methods)
        text = f"HTTP Method '{method}' not allowed. Allowed are {','.join(allowed)}"
        raise ApiError(405, "METHOD_NOT_ALLOWED", text)
    return function


def split_url(url: str) -> tuple[str | None, tuple[str, ...], dict[str, str]]:
    """Return (version, segments, query) of a ``/services/data/...`` address."""
    parts = urlsplit(url)
    segments = [unquote(each) for each in parts.path.split("/") if each]
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    rest = segments[2:] if [s.casefold() for s in segments[:2]] == ["services", "data"] else []
    match = re.fullmatch(r"v(\d+\.\d)", rest[0]) if rest else None
    return (match[1] if match else None), tuple(rest[1:]), query
