"""One REST call from the outside in: authentication, limits, From, JSON, paging, error envelope."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.pagerduty import access, timers
from sandbox.pagerduty.shapes import (
    Actor,
    Doc,
    Refusal,
    arguments_error,
    invalid,
    parse_instant,
    to_seconds,
)
from sandbox.pagerduty.state import PagerDutyState

DEFAULT_LIMIT = 25
MAX_LIMIT = 100
MAX_REACH = 10_000
TOO_FAR = (
    "Offset+limit exceeds maximum allowed value of 10000. Please try to refine your search to"
    " reduce the returned set of records below this number, like adding a date range."
)


@dataclass(frozen=True, slots=True)
class Call:
    """What an operation gets: the account, who asks, and the request's parts, already checked."""

    state: PagerDutyState
    caller: access.Caller
    actor: Actor | None
    path: dict[str, Any]
    query: QueryParams
    body: Any

    @property
    def user(self) -> Actor:
        """The acting user of an operation that requires one."""
        if self.actor is None:
            raise Refusal(400, 2016, access.FROM_MISSING, [access.FROM_MISSING])
        return self.actor

    def member(self, name: str) -> Any:
        """A member of the JSON body, None where it is missing."""
        return self.body.get(name) if isinstance(self.body, dict) else None

    @property
    def include(self) -> tuple[str, ...]:
        """The values of `include[]`."""
        return self.several("include")

    def several(self, name: str) -> tuple[str, ...]:
        """The values of a set filter (`name[]`, repeated)."""
        return tuple(self.query.getlist(f"{name}[]"))

    @property
    def zone(self) -> str:
        """The time zone that stamps of log entries and notes are shown in."""
        wanted = self.query.get("time_zone") or self.state.time_zone
        try:
            return ZoneInfo(wanted).key
        except (ZoneInfoNotFoundError, ValueError):
            raise invalid("time_zone is invalid") from None

    def flag(self, name: str) -> bool:
        """A true/false parameter."""
        return self.query.get(name, "").lower() == "true"

    def instant(self, name: str) -> str | None:
        """A date-time parameter as a stored stamp, rounded up to the second it does not pass."""
        text = self.query.get(name)
        if not text:
            return None
        try:
            instant = parse_instant(text, self.state.time_zone)
        except ValueError:
            raise Refusal(
                400, 2004, "Invalid Since/Until Parameters", [f"{name} is invalid"]
            ) from None
        return to_seconds(instant + timedelta(seconds=1 if instant.microsecond else 0))


Answer = Doc | tuple[int, Doc | None]
Operation = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Page:
    """Classic paging of one request."""

    offset: int
    limit: int
    with_total: bool

    def answer(self, name: str, items: list[Doc], *, more: bool, total: Callable[[], int]) -> Doc:
        """The page envelope: `total` is null unless it was asked for."""
        return {
            name: items,
            "limit": self.limit,
            "offset": self.offset,
            "more": more,
            "total": total() if self.with_total else None,
        }

    def of(self, name: str, items: list[Doc]) -> Doc:
        """The envelope for a whole list that is cut here."""
        end = self.offset + self.limit
        return self.answer(
            name, items[self.offset : end], more=len(items) > end, total=lambda: len(items)
        )


def page(call: Call) -> Page:
    """`limit` (clamped to 100) and `offset`; raises Refusal past 10,000 rows."""

    def number(name: str, default: int) -> int:
        text = call.query.get(name)
        if text is None:
            return default
        if not text.isdigit():
            raise invalid(f"{name} must be a whole number")
        return int(text)

    limit = min(number("limit", DEFAULT_LIMIT), MAX_LIMIT) or DEFAULT_LIMIT
    offset = number("offset", 0)
    if offset + limit > MAX_REACH:
        raise arguments_error(TOO_FAR)
    return Page(offset, limit, call.flag("total"))


async def _body(request: Request) -> Any:
    raw = await request.body()
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        raise invalid("Request body is not valid JSON") from None


def _answer(result: Answer, headers: dict[str, str]) -> Response:
    status, content = result if isinstance(result, tuple) else (200, result)
    if content is None:
        return Response(status_code=status, headers=headers)
    return JSONResponse(content, status_code=status, headers=headers)


def refused(refusal: Refusal, headers: dict[str, str]) -> Response:
    """The error envelope as a response."""
    own = refusal.headers if isinstance(refusal, access.RateLimited) else headers
    return JSONResponse(refusal.body, status_code=refusal.status, headers=own)


def route(
    state: PagerDutyState,
    limit: access.RateLimit,
    method: str,
    path: str,
    operation: Operation,
    scope: str,
    *,
    needs_from: bool = False,
) -> Route:
    """A REST operation behind authentication, limits, scope and the From rule."""

    async def endpoint(request: Request) -> Response:
        headers: dict[str, str] = {}
        try:
            timers.run_due(state)
            caller = access.authenticate(state, request.headers.get("authorization"))
            headers = limit.spend(caller, f"{method} {path}")
            access.check_right(caller, method, scope)
            writes = method != "GET"
            sender = request.headers.get("from") if writes else None
            actor = access.acting_user(state, caller, sender, required=needs_from)
            call = Call(
                state, caller, actor, request.path_params, request.query_params,
                await _body(request) if writes else None,
            )  # fmt: skip
            return _answer(operation(call), headers)
        except Refusal as refusal:
            return refused(refusal, headers)

    return Route(path, endpoint, methods=[method])
