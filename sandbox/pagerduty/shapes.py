"""The nouns every module of the simulated PagerDuty shares: documents, instants, actors, refusals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

Doc = dict[str, Any]


def utc_now() -> datetime:
    """The current instant, timezone-aware UTC."""
    return datetime.now(UTC)


def to_seconds(instant: datetime) -> str:
    """REST timestamp: ISO 8601 in UTC with whole seconds, so stored stamps sort as text."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_milliseconds(instant: datetime) -> str:
    """Webhook `occurred_at`: ISO 8601 in UTC with milliseconds."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_instant(text: str, zone: str = "Etc/UTC") -> datetime:
    """Any ISO 8601 date or date-time to UTC; one without offset is read in `zone`.

    Raises ValueError when the text is no such thing.
    """
    instant = datetime.fromisoformat(text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def in_zone(stamp: str, zone: str) -> str:
    """A stored stamp as lists in that time zone show it: `Z` in UTC, else with its offset."""
    local = parse_instant(stamp).astimezone(ZoneInfo(zone))
    return local.isoformat() if local.utcoffset() else stamp


def ref(kind: str, identifier: str) -> Doc:
    """A stored pointer to another resource; rendering turns it into a reference or a full object."""
    return {"ref": kind, "id": identifier}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something and by which channel, as log entries and webhooks tell it."""

    kind: str  # user | service
    id: str
    channel: str  # website | api | auto | timeout

    @property
    def pointer(self) -> Doc:
        """The stored pointer to the acting user or service."""
        return ref(self.kind, self.id)


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault of ours
    """An answer in PagerDuty's error envelope instead of a result."""

    def __init__(
        self,
        status: int,
        code: int | None,
        message: str,
        errors: Sequence[str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message} {list(errors or ())}")
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors
        self.extra = extra

    @property
    def body(self) -> Doc:
        """The JSON body: `{"error": {"message", "code"?, "errors"?, ...}}`."""
        error: Doc = {"message": self.message}
        if self.code is not None:
            error["code"] = self.code
        if self.errors is not None:
            error["errors"] = list(self.errors)
        return {"error": {**error, **(self.extra or {})}}


def invalid(*errors: str) -> Refusal:
    """400 with code 2001, the answer to nearly every kind of bad input."""
    return Refusal(400, 2001, "Invalid Input Provided", errors)


def arguments_error(*errors: str) -> Refusal:
    """400 with code 2002, used for a duplicate incident key and for the paging limit."""
    return Refusal(400, 2002, "Arguments Caused Error", errors)


def not_found(what: str = "") -> Refusal:
    """404 with code 2100."""
    return Refusal(404, 2100, "Not Found", [f"{what} Not Found".strip()] if what else None)
