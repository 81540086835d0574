"""What an answer of Salesforce, or its absence, means for us: one class of `errors` each.

Salesforce tells errors in five shapes: a list of objects (REST), `errors` with `statusCode` inside a
row (collections), the list again inside a composite answer, an object (OAuth, see login.py), and the
HTML or nothing of whatever stands in front of it.
"""

import re
from collections.abc import Mapping
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

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

_UNKNOWN = re.compile(
    r"No such (?:column|relation) '([^']+)'"
    r"|Didn't understand relationship '([^']+)'"
    r"|sObject type '([^']+)' is not supported"
)
_PASSING = frozenset(
    {
        "UNABLE_TO_LOCK_ROW",
        "API_TEMPORARILY_UNAVAILABLE",
        "QUERY_TIMEOUT",
        "INVALID_QUERY_LOCATOR",
        "PROCESSING_HALTED",
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUEST_RUNNING_TOO_LONG",
        "SERVER_UNAVAILABLE",
    }
)
# Conflict, locked, too early: they speak of this moment.
_PASSING_STATUSES = frozenset({409, 423, 425})
# Inside a collection's answer this failed alone and changed nothing.
_PASSING_IN_A_ROW = _PASSING | {"UNKNOWN_EXCEPTION"}
_GONE = frozenset({"ENTITY_IS_DELETED"})
_CONFIGURATION = {
    "API_DISABLED_FOR_ORG": ("login", "Give the user the 'API Enabled' permission."),
    "API_CURRENTLY_DISABLED": ("login", "Give the user the 'API Enabled' permission."),
    "UNSUPPORTED_API_VERSION": ("version", "Set the extra to a version the org serves, e.g. 66.0."),
}
_HINTS = {
    "REQUIRED_FIELD_MISSING": "Give the rule's action a value for it.",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": "Use one of the field's own picklist values.",
    "INVALID_FIELD_FOR_INSERT_UPDATE": "Give the integration user edit access to the field.",
    "INVALID_FIELD": "Check the field's API name and the integration user's field access.",
    "INVALID_TYPE": "Check the object's API name and the integration user's object access.",
    "INSUFFICIENT_ACCESS_OR_READONLY": "Give the integration user edit access to the record.",
    "STRING_TOO_LONG": "Shorten the text in the rule's template.",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "A validation rule of the org said no: meet it or change it.",
}


def error_of(answer: Answer, asked: Asked) -> SyncError:
    """Return the error that a failed exchange amounts to."""
    if answer.failure is not None:
        return _no_answer(answer.failure, asked)
    if answer.trouble:
        return _trouble(answer, asked)
    if answer.status == 429:
        return _limited("Salesforce asks for a pause", answer)
    if 300 <= answer.status < 400:
        return _redirected(answer, asked)
    return _refusal(answer, asked)


def row_error(errors: Any, doing: str, *, of_target: bool) -> SyncError:
    """Return the error of one failed row of a collection (`statusCode`, `message`, `fields`)."""
    first = _first(errors)
    if not first:
        return RefusedError(f"Salesforce refused {doing} without saying why.", status=200)
    code = str(first.get("statusCode") or first.get("errorCode") or "")
    words = _words_of(first)
    if code in _PASSING_IN_A_ROW:
        return RetryableError(f"Salesforce could not do {doing} just now: {words}")
    if code == "REQUEST_LIMIT_EXCEEDED":
        return RateLimitedError(f"{words} ({doing})", retry_after=seconds_asked({}, ()))
    missing = code == "INVALID_CROSS_REFERENCE_KEY" and first.get("fields") in (None, [], ["Id"])
    if code in _GONE or (missing and of_target):
        return SkippableError(f"Salesforce has no such record any more ({doing}): {words}")
    return RefusedError(
        f"Salesforce refused {doing}: {words}", code=code, status=200, hint=_HINTS.get(code, "")
    )


def naming(object_name: str, refusal: RefusedError) -> RefusedError:
    """Say which object and field a query was refused for, where Salesforce tells."""
    wrong = unknown_name(refusal)
    where = object_name if wrong in {"", object_name} else f"{object_name}.{wrong}"
    return RefusedError(
        f"{where}: {refusal.message}", code=refusal.code, status=refusal.status, hint=refusal.hint
    )


def unknown_name(refusal: RefusedError) -> str:
    """Return the field, relationship or object that Salesforce does not know, "" if it tells none."""
    found = _UNKNOWN.search(refusal.message)
    return next((one for one in found.groups() if one), "") if found else ""


def was_not_sent(failure: Exception) -> bool:
    """Say whether a request surely never left: no connection was made."""
    if isinstance(failure, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    reason = getattr(failure.args[0], "reason", None) if failure.args else None
    return isinstance(reason, NewConnectionError | ConnectTimeoutError | ProxyError)


def _no_answer(failure: Exception, asked: Asked) -> SyncError:
    kind = type(failure).__name__
    if "CERTIFICATE_VERIFY_FAILED" in str(failure):
        return ConnectionConfigError(
            asked.conn_id,
            "the server's TLS certificate is not trusted here.",
            hint="Set REQUESTS_CA_BUNDLE to the CA file of your proxy or server.",
        )
    if isinstance(failure, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return ConnectionConfigError(
            asked.conn_id, f"cannot call that address ({kind}).", field="instance_url"
        )
    if was_not_sent(failure):
        return RetryableError(f"Salesforce could not be reached for {asked.doing} ({kind}).")
    return _lost(f"no answer from Salesforce to {asked.doing} ({kind})", asked)


def _trouble(answer: Answer, asked: Asked) -> SyncError:
    words = _words(answer.body)
    told = f"HTTP {answer.status}" + (f": {words}" if words else "")
    return _lost(f"Salesforce answered {asked.doing} with {told}", asked)


def _lost(what: str, asked: Asked) -> SyncError:
    sentence = what[0].upper() + what[1:]
    if asked.write:
        return UncertainError(f"{sentence}; it may have been done.")
    return RetryableError(f"{sentence}.")


def _limited(what: str, answer: Answer) -> SyncError:
    words = _words(answer.body)
    return RateLimitedError(
        f"{what}: {words}" if words else f"{what}.",
        retry_after=seconds_asked(answer.headers, ("Retry-After",)),
    )


def _redirected(answer: Answer, asked: Asked) -> SyncError:
    return ConnectionConfigError(
        asked.conn_id,
        f"the server sends {asked.doing} elsewhere (HTTP {answer.status}).",
        field="login_url",
        hint="Use the org's own My Domain address.",
    )


def _refusal(answer: Answer, asked: Asked) -> SyncError:
    first = _first(answer.body)
    code = str(first.get("errorCode") or first.get("statusCode") or first.get("error") or "")
    words = _words(answer.body) or f"HTTP {answer.status}"
    if code == "REQUEST_LIMIT_EXCEEDED":
        return _limited("Salesforce's API limit is used up", answer)
    if answer.status == 401:
        return ConnectionConfigError(
            asked.conn_id,
            f"Salesforce does not accept our token: {words}",
            hint="Check that the user is active and the app allows API access.",
        )
    if code in _CONFIGURATION or answer.status == 410:
        name, hint = _CONFIGURATION.get(code, _CONFIGURATION["UNSUPPORTED_API_VERSION"])
        return ConnectionConfigError(asked.conn_id, words, field=name, hint=hint)
    if code in _PASSING or answer.status in _PASSING_STATUSES:
        return RetryableError(f"Salesforce could not do {asked.doing} just now: {words}")
    if code in _GONE or (answer.status == 404 and asked.of_target):
        return SkippableError(f"Salesforce has no such record any more ({asked.doing}): {words}")
    return RefusedError(
        f"Salesforce refused {asked.doing}: {words}",
        code=code,
        status=answer.status,
        hint=_HINTS.get(code, ""),
    )


def _first(body: Any) -> Mapping[str, Any]:
    """Return the first error of a body: of a list, or of what an envelope (`error`, `errors`) holds."""
    row = body[0] if isinstance(body, list) and body else body
    if not isinstance(row, Mapping):
        return {}
    inner = next(
        (row[n] for n in ("error", "errors") if isinstance(row.get(n), Mapping | list)), None
    )
    return (_first(inner) or row) if inner else row


def _words(body: Any) -> str:
    if isinstance(body, str):
        return plain_words(body)
    return _words_of(_first(body))


def _words_of(row: Mapping[str, Any]) -> str:
    code = str(row.get("errorCode") or row.get("statusCode") or row.get("error") or "")
    message = str(row.get("message") or row.get("error_description") or "")
    named = row.get("fields")
    fields = (
        [str(one) for one in named if str(one) not in message] if isinstance(named, list) else []
    )
    told = plain_words(
        message.rpartition("ERROR at Row")[2] if "ERROR at Row" in message else message
    )
    told = re.sub(r"^:\d+:Column:\d+ ", "", told)
    if fields:
        told = f"{told} (fields: {', '.join(fields)})"
    return f"{code}: {told}".strip(": ") if code and code not in told else told
