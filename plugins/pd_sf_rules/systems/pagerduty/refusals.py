"""What an answer of PagerDuty, or its absence, means for us: one class of `errors` each.

The envelope is `{"error": {"code", "message", "errors": [...]}}`. Codes repeat across causes (2001,
2002), so the sentence decides wherever one is known. OpenAPI and "Errors" page of the vendor's docs.
"""

from collections.abc import Mapping
from typing import Any

import httpx2

from pd_sf_rules.errors import (
    ConnectionConfigError,
    RateLimitedError,
    RefusedError,
    RetryableError,
    SkippableError,
    SyncError,
    UncertainError,
)
from pd_sf_rules.systems.answers import Answer, Asked, plain_words
from pd_sf_rules.systems.waiting import seconds_asked

_NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)
_DONE_ALREADY = (
    "already resolved",
    "already acknowledged",
    "already merged",
    "already been merged",
)
# Conflict, locked, too early: they speak of this moment.
_PASSING_STATUSES = frozenset({409, 423, 425})
_DUPLICATE = "key already exists"
# The `code` of that refusal here: PagerDuty's own, 2002, also means other things.
DUPLICATE_KEY = "duplicate_incident_key"
_FROM_MISSING = 'from" header'
_FROM_UNKNOWN = "requester user not found"


def error_of(answer: Answer, asked: Asked) -> SyncError:
    """Return the error that a failed exchange amounts to."""
    if answer.failure is not None:
        return _no_answer(answer.failure, asked)
    words = words_of(answer.body)
    if answer.trouble:
        told = f"HTTP {answer.status}" + (f": {words}" if words else "")
        return _lost(f"PagerDuty answered {asked.doing} with {told}", asked)
    if answer.status == 429:
        wait = seconds_asked(answer.headers, ("ratelimit-reset", "Retry-After"))
        return RateLimitedError("PagerDuty asks for a pause (rate limit).", retry_after=wait)
    return _refusal(answer, words or f"HTTP {answer.status}", asked)


def words_of(body: Any) -> str:
    """Return the server's own words without tags or line breaks, cut to a readable length."""
    if isinstance(body, str):
        return plain_words(body)
    if isinstance(body, list):
        return plain_words("; ".join(filter(None, map(words_of, body))))
    return _words_in(body) if isinstance(body, Mapping) else ""


def _words_in(body: Mapping[str, Any]) -> str:
    error = body.get("error", body.get("errors") if not body.get("message") else None)
    if isinstance(error, list):
        return words_of(error)
    if isinstance(error, str):
        return plain_words(f"{error}: {body.get('error_description') or body.get('message') or ''}")
    if not isinstance(error, Mapping):
        return plain_words(str(body.get("message") or ""))
    details = error.get("errors")
    told = [str(error.get("message") or "")]
    told += [str(one) for one in details] if isinstance(details, list) else [str(details or "")]
    if error.get("required_scopes"):
        told.append(f"required scopes: {error['required_scopes']}")
    return plain_words("; ".join(one for one in told if one.strip()))


def _refusal(answer: Answer, words: str, asked: Asked) -> SyncError:
    lower = words.lower()
    code = DUPLICATE_KEY if _DUPLICATE in lower else _code(answer.body)
    configuration = _configuration(answer, words, asked)
    if configuration is not None:
        return configuration
    if code == "1001" or any(one in lower for one in _DONE_ALREADY):
        return SkippableError(f"PagerDuty has nothing to do for {asked.doing}: {words}")
    if code == "1005" or answer.status in _PASSING_STATUSES:
        return RetryableError(f"PagerDuty could not do {asked.doing} just now: {words}")
    if answer.status == 404 and asked.of_target:
        return SkippableError(f"PagerDuty has no such incident any more ({asked.doing}): {words}")
    return RefusedError(
        f"PagerDuty refused {asked.doing}: {words}",
        code=code,
        status=answer.status,
        hint=_hint(answer),
    )


def _configuration(answer: Answer, words: str, asked: Asked) -> ConnectionConfigError | None:
    lower = words.lower()
    if answer.status == 401:
        return ConnectionConfigError(
            asked.conn_id,
            f"PagerDuty does not accept our key: {words}",
            field="password",
            hint="Check the API key; an EU account needs base_url https://api.eu.pagerduty.com.",
        )
    if 300 <= answer.status < 400:
        hint = "Use https://api.pagerduty.com or https://api.eu.pagerduty.com."
        message = f"the server sends {asked.doing} elsewhere (HTTP {answer.status})."
        return ConnectionConfigError(asked.conn_id, message, field="base_url", hint=hint)
    if _FROM_UNKNOWN in lower or _FROM_MISSING in lower:
        hint = "Give the e-mail address of an active PagerDuty user."
        return ConnectionConfigError(asked.conn_id, words, field="from_email", hint=hint)
    return None


def _hint(answer: Answer) -> str:
    if answer.status == 402:
        return "The account's plan lacks this ability."
    if answer.status == 403:
        return "Give the key or the app the right (or scope) to do this."
    return ""


def _no_answer(failure: Exception, asked: Asked) -> SyncError:
    kind = type(failure).__name__
    if "CERTIFICATE_VERIFY_FAILED" in str(failure):
        return ConnectionConfigError(
            asked.conn_id,
            "the server's TLS certificate is not trusted here.",
            hint="Set SSL_CERT_FILE to the CA file of your proxy or server.",
        )
    if isinstance(failure, httpx2.InvalidURL):
        message = f"cannot call that address ({kind})."
        return ConnectionConfigError(asked.conn_id, message, field="base_url")
    if isinstance(failure, _NOT_SENT):
        return RetryableError(f"PagerDuty could not be reached for {asked.doing} ({kind}).")
    return _lost(f"No answer from PagerDuty to {asked.doing} ({kind})", asked)


def _lost(what: str, asked: Asked) -> SyncError:
    if asked.write:
        return UncertainError(f"{what}; it may have been done.")
    return RetryableError(f"{what}.")


def _code(body: Any) -> str:
    error = body.get("error") if isinstance(body, Mapping) else None
    code = error.get("code") if isinstance(error, Mapping) else None
    return "" if code is None else str(code)
