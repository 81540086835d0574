"""Writes to records: collections of up to 200 rows, each row with its own result."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from pd_sf_rules.errors import (
    ConnectionConfigError,
    RateLimitedError,
    RefusedError,
    SyncError,
    UncertainError,
)
from pd_sf_rules.systems.results import WriteResult, failed
from pd_sf_rules.systems.salesforce import soql
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.systems.salesforce.refusals import row_error

ROWS_PER_CALL = 200
# Assignment rules run on every REST write unless told not to. A field update must not move a record
# to another owner, and a create that names its owner means it.
_NO_ASSIGNMENT = {"Sforce-Auto-Assign": "FALSE"}


@dataclass(frozen=True, slots=True)
class RecordUpdate:
    """Set `fields` (API name: value, None empties) of one record."""

    object: str
    record_id: str
    fields: Mapping[str, Any]

    @property
    def doing(self) -> str:
        """Name this write for error texts."""
        return f"update of {self.object} {self.record_id}"


@dataclass(frozen=True, slots=True)
class RecordCreate:
    """Create one record with `fields` (API name: value)."""

    object: str
    fields: Mapping[str, Any]

    @property
    def doing(self) -> str:
        """Name this write for error texts."""
        return f"creation of a {self.object}"

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of this write: an owner that is given must not be chosen again by a rule."""
        return _NO_ASSIGNMENT if any(name.lower() == "ownerid" for name in self.fields) else {}


_Row = TypeVar("_Row", RecordUpdate, RecordCreate)


def update_records(client: SalesforceClient, updates: Sequence[RecordUpdate]) -> list[WriteResult]:
    """Update records, up to 200 a call, each settled alone; results in the order of `updates`.

    A record that is gone is a SkippableError in its result, a lost answer an UncertainError.
    """
    return _settle(updates, _update_calls(updates), lambda rows: _update(client, rows))


def create_records(client: SalesforceClient, creates: Sequence[RecordCreate]) -> list[WriteResult]:
    """Create records, up to 200 a call, each settled alone; results in the order of `creates`.

    An UncertainError in a result means that the record may exist: look before creating it again.
    """
    return _settle(creates, _create_calls(creates), lambda rows: _create(client, rows))


def _update_calls(updates: Sequence[RecordUpdate]) -> Iterator[list[int]]:
    """Yield positions for one call each: one object, no record twice, a record's updates in order."""
    waiting = list(range(len(updates)))
    while waiting:
        object_name = updates[waiting[0]].object
        call: list[int] = []
        left: list[int] = []
        ids: set[str] = set()
        for at in waiting:
            fits = updates[at].object == object_name and len(call) < ROWS_PER_CALL
            (call if fits and updates[at].record_id[:15] not in ids else left).append(at)
            ids.add(updates[at].record_id[:15])
        yield call
        waiting = left


def _create_calls(creates: Sequence[RecordCreate]) -> Iterator[list[int]]:
    kinds: dict[tuple[str, bool], list[int]] = {}
    for at, create in enumerate(creates):
        kinds.setdefault((create.object, bool(create.headers)), []).append(at)
    for positions in kinds.values():
        for start in range(0, len(positions), ROWS_PER_CALL):
            yield positions[start : start + ROWS_PER_CALL]


def _settle(
    rows: Sequence[_Row],
    calls: Iterable[list[int]],
    send: Callable[[Sequence[_Row]], list[WriteResult]],
) -> list[WriteResult]:
    """Send call after call; after an error that every call would meet, the rest is not sent."""
    results: dict[int, WriteResult] = {}
    stop: SyncError | None = None
    for positions in calls:
        answers = [failed(stop)] * len(positions) if stop else _sent(positions, rows, send)
        results.update(zip(positions, answers, strict=True))
        stop = next(
            (
                one.error
                for one in answers
                if isinstance(one.error, ConnectionConfigError | RateLimitedError)
            ),
            None,
        )
    return [results[at] for at in range(len(rows))]


def _sent(
    positions: Sequence[int],
    rows: Sequence[_Row],
    send: Callable[[Sequence[_Row]], list[WriteResult]],
) -> list[WriteResult]:
    try:
        return send([rows[at] for at in positions])
    except SyncError as error:
        return [failed(error)] * len(positions)


def _update(client: SalesforceClient, rows: Sequence[RecordUpdate]) -> list[WriteResult]:
    if len(rows) == 1:
        return [_update_one(client, rows[0])]
    records = [_record(row.object, row.fields) | {"id": row.record_id} for row in rows]
    body = {"allOrNone": False, "records": records}
    doing = f"{len(rows)} updates of {rows[0].object}"
    try:
        answer = client.patch("composite/sobjects", body, headers=_NO_ASSIGNMENT, doing=doing)
    except RefusedError as refusal:
        if refusal.status not in {404, 405}:
            raise
        return [_alone(_update_one, client, row) for row in rows]
    return _row_results(answer, rows, created=False)


def _create(client: SalesforceClient, rows: Sequence[RecordCreate]) -> list[WriteResult]:
    if len(rows) == 1:
        return [_create_one(client, rows[0])]
    body = {"allOrNone": False, "records": [_record(row.object, row.fields) for row in rows]}
    doing = f"{len(rows)} creations of {rows[0].object}"
    try:
        answer = client.post("composite/sobjects", body, headers=rows[0].headers, doing=doing)
    except RefusedError as refusal:
        if refusal.status not in {404, 405}:
            raise
        return [_alone(_create_one, client, row) for row in rows]
    return _row_results(answer, rows, created=True)


def _alone(
    send: Callable[[SalesforceClient, _Row], WriteResult], client: SalesforceClient, row: _Row
) -> WriteResult:
    try:
        return send(client, row)
    except SyncError as error:
        return failed(error)


def _update_one(client: SalesforceClient, row: RecordUpdate) -> WriteResult:
    path = f"sobjects/{soql.name(row.object)}/{quote(row.record_id, safe='')}"
    fields = _checked(row.fields)
    client.patch(path, fields, headers=_NO_ASSIGNMENT, doing=f"the {row.doing}")
    return WriteResult(id=row.record_id, error=None)


def _create_one(client: SalesforceClient, row: RecordCreate) -> WriteResult:
    path = f"sobjects/{soql.name(row.object)}/"
    answer = client.post(path, _checked(row.fields), headers=row.headers, doing=f"the {row.doing}")
    if not isinstance(answer, Mapping) or not answer.get("id"):
        raise UncertainError(f"Salesforce's answer to the {row.doing} names no record.")
    if answer.get("success") is False:
        return failed(row_error(answer.get("errors"), row.doing, of_target=False))
    return WriteResult(id=str(answer["id"]), error=None, created=True)


def _row_results(answer: Any, rows: Sequence[_Row], *, created: bool) -> list[WriteResult]:
    if not isinstance(answer, list) or len(answer) != len(rows):
        raise UncertainError("Salesforce's answer does not tell about every row that was sent.")
    return [_row_result(one, row, created=created) for one, row in zip(answer, rows, strict=True)]


def _row_result(answer: Any, row: RecordUpdate | RecordCreate, *, created: bool) -> WriteResult:
    told = answer if isinstance(answer, Mapping) else {}
    if told.get("success") is not True:
        return failed(row_error(told.get("errors"), row.doing, of_target=not created))
    given = row.record_id if isinstance(row, RecordUpdate) else None
    return WriteResult(id=given or str(told.get("id") or "") or None, error=None, created=created)


def _record(object_name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"attributes": {"type": soql.name(object_name)}, **_checked(fields)}


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {soql.name(name): value for name, value in fields.items()}
