"""Who may call: API keys, OAuth tokens and scopes, the `From` rule, and the rate limit."""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sandbox.pagerduty.shapes import Actor, Doc, Refusal, parse_instant, to_seconds
from sandbox.pagerduty.state import PagerDutyState

FROM_MISSING = (
    'You must specify a user\'s email address in the "From" header to perform this action'
)
SCOPES = frozenset(
    f"{name}.{right}"
    for name in (
        "incidents", "priorities", "users", "services", "teams", "abilities",
        "escalation_policies", "incident_types", "custom_fields", "incident_workflows",
        "incident_workflows:instances", "webhook_subscriptions",
    )
    for right in ("read", "write")
)  # fmt: skip
TOKEN_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated credential; `scopes` None means everything."""

    credential: str
    user_id: str | None = None
    read_only: bool = False
    scopes: frozenset[str] | None = None


def _unauthorized() -> Refusal:
    return Refusal(401, 2006, "Authentication failed", ["Invalid or missing credentials"])


def authenticate(state: PagerDutyState, authorization: str | None) -> Caller:
    """The caller behind an Authorization header; raises Refusal 401."""
    scheme, _, credential = (authorization or "").strip().partition(" ")
    if scheme.lower() == "token":
        name, _, key = credential.strip().partition("=")
        known = state.keys.get(key.strip().strip('"')) if name.strip() == "token" else None
        if known is None:
            raise _unauthorized()
        return Caller(key, known.user_id, known.read_only)
    token = (
        state.store.get("oauth_token", credential.strip()) if scheme.lower() == "bearer" else None
    )
    if token is None or parse_instant(token["expires_at"]) <= state.now():
        raise _unauthorized()
    return Caller(credential, scopes=frozenset(token["scopes"]))


def check_right(caller: Caller, method: str, scope: str) -> None:
    """Raise Refusal 403 when a read-only key writes or an OAuth token lacks the scope."""
    if caller.read_only and method != "GET":
        raise Refusal(403, 2010, "Access Denied", ["Read-only API key"])
    if caller.scopes is not None and scope not in caller.scopes:
        extra = {"required_scopes": scope, "token_scopes": " ".join(sorted(caller.scopes))}
        raise Refusal(403, None, "Token missing required scopes", extra=extra)


def acting_user(
    state: PagerDutyState, caller: Caller, from_email: str | None, *, required: bool
) -> Actor | None:
    """The user a write is made as: of the user's key, or named by `From`.

    Raises Refusal 400 when the header is required and missing, or names no active user.
    """
    if from_email:
        user = state.find_user(from_email)
        if user is None or user["email"].casefold() != from_email.casefold():
            raise Refusal(400, 1008, "Requester User Not Found", ["Requester User Not Found"])
        return Actor("user", user["id"], "api")
    if caller.user_id:
        return Actor("user", caller.user_id, "api")
    if required:
        raise Refusal(400, 2016, FROM_MISSING, [FROM_MISSING])
    return None


def grant_token(state: PagerDutyState, form: Mapping[str, str]) -> tuple[int, Doc]:
    """POST /oauth/token with client credentials: (status, body)."""
    client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    if form.get("grant_type") != "client_credentials":
        return 400, {"error": "unsupported_grant_type"}
    if not secret or state.oauth_clients.get(client_id) != secret:
        return 401, {"error": "invalid_client", "error_description": "Client authentication failed"}
    asked = form.get("scope", "").split()
    accounts = {f"as_account-us.{state.subdomain}", f"as_account-eu.{state.subdomain}"}
    granted = sorted(scope for scope in asked if scope in SCOPES)
    if not accounts.intersection(asked) or not granted:
        return 400, {"error": "invalid_request", "error_description": "Invalid scope"}
    token = f"pdus+_{state.new_id('', 32)}"
    expires = state.now() + timedelta(seconds=TOKEN_SECONDS)
    state.store.put(
        "oauth_token", {"id": token, "scopes": granted, "expires_at": to_seconds(expires)}
    )
    return 200, {
        "access_token": token,
        "scope": " ".join([*sorted(accounts.intersection(asked)), *granted]),
        "token_type": "bearer",
        "expires_in": TOKEN_SECONDS,
    }


class RateLimit:
    """Fixed windows of a minute per credential, and per credential and operation."""

    def __init__(self, state: PagerDutyState) -> None:
        self._state = state
        self._used: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._window = 0
        self._limits = state.limits

    def spend_event(self, routing_key: str) -> bool:
        """Count an event of a routing key; whether it still fits this minute."""
        self._turn(time.time())
        limit = self._state.limits.events_per_minute
        self._used[routing_key, "events"] += 1
        return not limit or self._used[routing_key, "events"] <= limit

    def _turn(self, now: float) -> None:
        """Begin to count anew with each minute, and after a reset, which gives the state new limits."""
        window = int(now // self._state.limits.window_seconds)
        if window != self._window or self._limits is not self._state.limits:
            self._window, self._limits = window, self._state.limits
            self._used.clear()

    def spend(self, caller: Caller, operation: str) -> dict[str, str]:
        """Count a request; the headers of its answer. Raises Refusal 429 (code 2020)."""
        now = time.time()
        self._turn(now)
        limits = self._state.limits
        nearest: tuple[int, int] | None = None
        for scope, limit in (
            ("", limits.per_minute),
            (operation, limits.per_operation.get(operation, 0)),
        ):
            if limit:
                self._used[caller.credential, scope] += 1
                left = limit - self._used[caller.credential, scope]
                nearest = min(nearest or (left, limit), (left, limit))
        if nearest is None:
            return {}
        reset = limits.window_seconds - int(now % limits.window_seconds)
        headers = headers_for(nearest[1], max(nearest[0], 0), reset)
        if nearest[0] < 0:
            raise RateLimited(headers)
        return headers


def headers_for(limit: int, remaining: int, reset_seconds: int) -> dict[str, str]:
    """The three rate-limit headers; `reset` counts whole seconds from now."""
    return {
        "ratelimit-limit": str(limit),
        "ratelimit-remaining": str(remaining),
        "ratelimit-reset": str(reset_seconds),
    }


class RateLimited(Refusal):
    """429 with the body and headers PagerDuty sends."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__(429, 2020, "Rate Limit Exceeded", ["Rate Limit Exceeded"])
        self.headers = headers
