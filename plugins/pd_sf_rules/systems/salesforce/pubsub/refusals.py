"""What the Pub/Sub API refuses, as errors of ours.

Codes: Pub/Sub API guide, "Handle Errors": the gRPC status, and Salesforce's own word in the trailer `error-code`.
"""

from typing import Any

import grpc

from pd_sf_rules.errors import RateLimitedError, RefusedError, RetryableError, SyncError
from pd_sf_rules.systems.answers import plain_words

SLOW_SECONDS = 300.0
_TRAILER = "error-code"
_ADVICE = {
    grpc.StatusCode.NOT_FOUND: "Are there change events for this object, and may the sync's user read it?",
    grpc.StatusCode.PERMISSION_DENIED: "Give the sync's user View All on the object.",
}
_FOR_GOOD = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.FAILED_PRECONDITION,
    }
)


class LineDropped(RetryableError):  # noqa: N818 - what happened, as its siblings are named by what to do
    """The stream is over, and nothing is wrong with it: it is to be taken up where it ended."""


class SessionEndedError(RetryableError):
    """The token is not believed any more: log in again."""


class ReplayIdError(RetryableError):
    """The place is not known any more, after 72 hours at the latest: read from the cursor, and listen from now on."""


def error_of(error: Any, topic: str, *, resumed: bool = False) -> SyncError:
    """Return the error of ours for a refusal, be it of a blocking call or another.

    Its words are cut and hold no metadata of the call.
    `resumed` says that the call named a place: an argument that is refused then is that one.
    """
    status, code = error.code(), _code_of(error)
    said = plain_words(error.details() or "")
    what = f"Salesforce's event bus refused {topic or 'a call'}: {code or status.name}"
    told = f"{what} ({said})." if said else f"{what}."
    if "replayid" in code or (resumed and status == grpc.StatusCode.INVALID_ARGUMENT):
        return ReplayIdError(told)
    if status == grpc.StatusCode.UNAUTHENTICATED:
        return SessionEndedError(told)
    if status == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return RateLimitedError(told, retry_after=SLOW_SECONDS)
    if status in _FOR_GOOD:
        return RefusedError(told, code=code or status.name, hint=_ADVICE.get(status, ""))
    return RetryableError(told)


def _code_of(error: Any) -> str:
    """Return Salesforce's own word, "" where it gave none."""
    for name, value in error.trailing_metadata() or ():
        if name == _TRAILER:
            return plain_words(
                value if isinstance(value, str) else value.decode("ascii", "replace")
            )
    return ""
