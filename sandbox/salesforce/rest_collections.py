"""REST: up to 200 records in one call, with a result for each."""

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sandbox.salesforce import dml, errors, incoming
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.ids import normalise
from sandbox.salesforce.rest import ApiCall, ApiReply
from sandbox.salesforce.rest_rows import print_row, write_options

if TYPE_CHECKING:
    from sandbox.salesforce.state import SalesforceState

MOST_RECORDS = 200
MOST_CHUNKS = 10
ROLLED_BACK = ApiError(
    400,
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone "
    "header",
)
RowWriter = Callable[[int], dict[str, Any]]


def create(state: "SalesforceState", call: ApiCall) -> ApiReply:
    """Answer ``POST composite/sobjects``."""
    records = _records(call)

    def write(place: int) -> dict[str, Any]:
        record = records[place]
        options = write_options(call, place)
        return _success(dml.create(state.org, call.actor, _type(record), record, options))

    return _each(state, len(records), write, all_or_none=_all_or_none(call))


def update(state: "SalesforceState", call: ApiCall) -> ApiReply:
    """Answer ``PATCH composite/sobjects``."""
    records = _records(call)

    def write(place: int) -> dict[str, Any]:
        record = dict(records[place])
        raw_id = next((record.pop(key) for key in list(record) if key.casefold() == "id"), None)
        if raw_id is None:
            raise errors.bad_request("MISSING_ARGUMENT", "Id not specified in an update call")
        sobject = dml.visible_object(state.org, call.actor, _type(record))
        record_id = dml.record_id_of(raw_id, sobject)
        _as_row(lambda: dml.existing(state.org, call.actor, record_id))
        dml.update(state.org, call.actor, record_id, record, write_options(call, place))
        return _success(record_id)

    return _each(state, len(records), write, all_or_none=_all_or_none(call))


def upsert(state: "SalesforceState", call: ApiCall, name: str, key: str) -> ApiReply:
    """Answer ``PATCH composite/sobjects/{name}/{external id field}``."""
    records = _records(call)
    sobject = dml.visible_object(state.org, call.actor, name)
    field = incoming.external_id_field(sobject, key)
    keys = [_take(dict(record), field.name)[0] for record in records]

    def write(place: int) -> dict[str, Any]:
        value, record = _take(dict(records[place]), field.name)
        if value in (None, ""):
            raise errors.bad_request("MISSING_ARGUMENT", f"{field.name} not specified")
        if keys.count(value) > 1:
            text = f"Duplicate external id specified: {value}"
            raise errors.bad_request("DUPLICATE_VALUE", text, field.name)
        record_id, is_new = dml.upsert(
            state.org,
            call.actor,
            (sobject.name, field.name, value),
            record,
            write_options(call, place),
        )
        return {**_success(record_id), "created": is_new}

    return _each(state, len(records), write, all_or_none=_all_or_none(call))


def remove(state: "SalesforceState", call: ApiCall) -> ApiReply:
    """Answer ``DELETE composite/sobjects?ids=...``."""
    ids = [each.strip() for each in call.query.get("ids", "").split(",") if each.strip()]
    _check_size(len(ids))

    def write(place: int) -> dict[str, Any]:
        record_id = normalise(ids[place])
        if record_id is None:
            raise errors.bad_request("MALFORMED_ID", f"bad id {ids[place]}")
        _as_row(lambda: dml.existing(state.org, call.actor, record_id))
        dml.delete(state.org, call.actor, record_id, write_options(call, place))
        return _success(record_id)

    wanted = call.query.get("allOrNone", "").lower() == "true"
    return _each(state, len(ids), write, all_or_none=wanted)


def retrieve(state: "SalesforceState", call: ApiCall, name: str) -> ApiReply:
    """Answer ``GET`` or ``POST composite/sobjects/{name}`` with ids and fields."""
    sobject = dml.visible_object(state.org, call.actor, name)
    if call.method == "POST":
        body = call.object_body()
        ids, names = list(body.get("ids", [])), ",".join(body.get("fields", []))
    else:
        ids = [each for each in call.query.get("ids", "").split(",") if each]
        names = call.query.get("fields", "")
    if not names:
        raise errors.bad_request("MISSING_ARGUMENT", "The fields parameter is required")
    if len(ids) > 2000:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", "cannot ask for more than 2000 records")
    records = []
    for each in ids:
        record_id = dml.record_id_of(each, sobject)
        row = state.org.row(record_id, call.actor)
        live = row is not None and not row.get("IsDeleted")
        printed = print_row(sobject, row, call.version, names) if row and live else None
        records.append(printed)
    return ApiReply(200, records)


def _each(state: "SalesforceState", count: int, write: RowWriter, *, all_or_none: bool) -> ApiReply:
    """Write the rows in order; each failed one takes back only itself, unless all must hold."""
    with state.org.store.transaction() as start:
        results = [_one(state, write, place) for place in range(count)]
        if all_or_none and not all(each["success"] for each in results):
            state.org.store.take_back(start)
            failed = {"success": False, "errors": [ROLLED_BACK.row()]}
            results = [failed if each["success"] else each for each in results]
    return ApiReply(200, results)


def _one(state: "SalesforceState", write: RowWriter, place: int) -> dict[str, Any]:
    try:
        with state.org.store.transaction():
            return write(place)
    except ApiError as refusal:
        return {"success": False, "errors": [refusal.row()]}


def _as_row(look: Callable[[], Any]) -> None:
    """Run a look-up; a record that is not there has another code inside a collection."""
    try:
        look()
    except ApiError as refusal:
        if refusal.code != "NOT_FOUND":
            raise
        text = "invalid cross reference id"
        raise errors.bad_request("INVALID_CROSS_REFERENCE_KEY", text) from None


def _success(record_id: str) -> dict[str, Any]:
    return {"id": record_id, "success": True, "errors": []}


def _records(call: ApiCall) -> list[dict[str, Any]]:
    records = call.object_body().get("records")
    if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
        raise ApiError(400, "JSON_PARSER_ERROR", "records must be a list of objects")
    _check_size(len(records))
    kinds = [str((each.get("attributes") or {}).get("type")) for each in records]
    chunks = 1 + sum(1 for one, other in pairwise(kinds) if one != other)
    if chunks > MOST_CHUNKS:
        text = (
            "Cannot have more than 10 chunks in a single operation. Please rearrange the data to "
            "reduce chunking."
        )
        raise ApiError(400, "LIMIT_EXCEEDED", text)
    return records


def _check_size(count: int) -> None:
    if count > MOST_RECORDS:
        text = "record limit reached. cannot submit more than 200 records into this call"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", text)


def _type(record: dict[str, Any]) -> str:
    name = (record.get("attributes") or {}).get("type")
    if not isinstance(name, str):
        text = "Include attributes with the object's type in each record"
        raise errors.bad_request("INVALID_FIELD", text)
    return name


def _all_or_none(call: ApiCall) -> bool:
    return call.object_body().get("allOrNone") is True


def _take(record: dict[str, Any], name: str) -> tuple[Any, dict[str, Any]]:
    key = next((each for each in record if each.casefold() == name.casefold()), None)
    value = record.pop(key) if key else None
    return value, record
