"""Refusals planned by a test: row locks, failed rows of a collection, any error code."""

from dataclasses import asdict, dataclass, field
from typing import Any

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.ids import normalise


@dataclass(slots=True, kw_only=True)
class Refusal:
    """What to refuse, how often and with which words; a field left None matches anything.

    ``operation`` is create, update, delete, upsert or query; ``position`` the row's place (from
    0) in a collections call, which then is the only kind of call it applies to.
    """

    code: str
    message: str
    status: int = 400
    times: int = 1
    object: str | None = None
    record_id: str | None = None
    operation: str | None = None
    position: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)  # beside the message: duplicate matches

    def __post_init__(self) -> None:
        if self.record_id is not None:
            self.record_id = normalise(self.record_id) or self.record_id

    def fits(self, attempt: "Attempt") -> bool:
        """Whether this refusal is meant for that attempt."""
        return (
            self.times > 0
            and (self.object is None or self.object.casefold() == attempt.object.casefold())
            and (self.record_id is None or self.record_id in attempt.record_ids)
            and (self.operation is None or self.operation == attempt.operation)
            and (self.position is None or self.position == attempt.position)
        ) and not (attempt.operation == "query" and self.operation != "query")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A write or a query that is about to happen, and the ids it would touch or lock."""

    operation: str
    object: str
    record_ids: tuple[str, ...] = ()
    position: int | None = None


def row_lock(record_id: str, times: int) -> Refusal:
    """Return the refusal of the next writes to a record or to children of it."""
    text = f"unable to obtain exclusive access to this record or 1 records: {record_id}"
    return Refusal(code="UNABLE_TO_LOCK_ROW", message=text, times=times, record_id=record_id)


def take(refusals: list[Refusal], attempt: Attempt) -> ApiError | None:
    """Use up one planned refusal that fits and return its error, or None."""
    for each in refusals:
        if each.fits(attempt):
            each.times -= 1
            refusals[:] = [kept for kept in refusals if kept.times > 0]
            return ApiError(each.status, each.code, each.message, (), tuple(each.extra.items()))
    return None


def to_json(refusals: list[Refusal]) -> list[dict[str, Any]]:
    """Return the plan as JSON."""
    return [asdict(each) for each in refusals]
