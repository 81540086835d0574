"""REST: single records, their describe, and which of them changed."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from sandbox.salesforce import describe, dml, errors, incoming
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.moments import print_instant, read_instant
from sandbox.salesforce.rest import ApiCall, ApiReply
from sandbox.salesforce.schema import Row, SObject
from sandbox.salesforce.soql.projection import attributes
from sandbox.salesforce.values import print_value

if TYPE_CHECKING:
    from sandbox.salesforce.state import SalesforceState

NO_CONTENT = ApiReply(204)


def describe_all(state: "SalesforceState", call: ApiCall) -> ApiReply:
    """Answer ``GET sobjects``."""
    return ApiReply(200, describe.describe_global(state.org.view(call.actor), call.path))


def basic(state: "SalesforceState", call: ApiCall, name: str) -> ApiReply:
    """Answer ``GET sobjects/{name}``."""
    sobject = dml.visible_object(state.org, call.actor, name)
    brief = describe.brief(sobject, call.path)
    return ApiReply(200, {"objectDescribe": brief, "recentItems": []})


def describe_one(state: "SalesforceState", call: ApiCall, name: str) -> ApiReply:
    """Answer ``GET sobjects/{name}/describe``."""
    sobject = dml.visible_object(state.org, call.actor, name)
    last = state.org.schema_changed
    since = _header_date(call.headers, "if-modified-since")
    if since is not None and last <= since:
        return ApiReply(304)
    headers = {"Last-Modified": format_datetime(last, usegmt=True)}
    body = describe.describe(state.org.view(call.actor), sobject, call.path)
    return ApiReply(200, body, headers)


def create(state: "SalesforceState", call: ApiCall, name: str) -> ApiReply:
    """Answer ``POST sobjects/{name}``."""
    record_id = dml.create(state.org, call.actor, name, call.object_body(), write_options(call))
    return created(call, name, record_id)


def read(state: "SalesforceState", call: ApiCall, name: str, raw_id: str) -> ApiReply:
    """Answer ``GET sobjects/{name}/{id}``, with ``fields`` only those."""
    sobject, row = _addressed(state, call, name, raw_id)
    since = _header_date(call.headers, "if-modified-since")
    if since is not None and _modified(row) <= since:
        return ApiReply(304)
    _check_unmodified(call, row)
    return ApiReply(200, print_row(sobject, row, call.version, call.query.get("fields")))


def change(state: "SalesforceState", call: ApiCall, name: str, raw_id: str) -> ApiReply:
    """Answer ``PATCH sobjects/{name}/{id}``."""
    _, row = _addressed(state, call, name, raw_id)
    _check_unmodified(call, row)
    dml.update(state.org, call.actor, str(row["Id"]), call.object_body(), write_options(call))
    return NO_CONTENT


def remove(state: "SalesforceState", call: ApiCall, name: str, raw_id: str) -> ApiReply:
    """Answer ``DELETE sobjects/{name}/{id}``."""
    _, row = _addressed(state, call, name, raw_id)
    dml.delete(state.org, call.actor, str(row["Id"]))
    return NO_CONTENT


def read_by_key(
    state: "SalesforceState", call: ApiCall, name: str, field: str, value: str
) -> ApiReply:
    """Answer ``GET sobjects/{name}/{external id field}/{value}``."""
    record_id = _one_by_key(state, call, name, field, value)
    return read(state, call, name, record_id)


def upsert(state: "SalesforceState", call: ApiCall, name: str, field: str, value: str) -> ApiReply:
    """Answer ``PATCH sobjects/{name}/{external id field}/{value}``."""
    sobject = dml.visible_object(state.org, call.actor, name)
    key = incoming.external_id_field(sobject, field)
    body = call.object_body()
    if key.name.casefold() in {each.casefold() for each in body}:
        text = f"The {key.name} field should not be specified in the sobject data."
        raise errors.bad_request("INVALID_FIELD", text)
    found = incoming.find_by_key(state.org, call.actor, sobject, key, value)
    if len(found) > 1:
        return ApiReply(300, [f"{call.path}/sobjects/{sobject.name}/{each}" for each in found])
    if not found and (call.query.get("updateOnly") or "").lower() == "true":
        raise errors.not_found()
    record_id, is_new = dml.upsert(
        state.org, call.actor, (sobject.name, key.name, value), body, write_options(call)
    )
    if is_new:
        return created(call, sobject.name, record_id, created=True)
    if float(call.version) < 46:
        return NO_CONTENT
    return ApiReply(200, {"id": record_id, "success": True, "errors": [], "created": False})


def remove_by_key(
    state: "SalesforceState", call: ApiCall, name: str, field: str, value: str
) -> ApiReply:
    """Answer ``DELETE sobjects/{name}/{external id field}/{value}``."""
    return remove(state, call, name, _one_by_key(state, call, name, field, value))


def updated(state: "SalesforceState", call: ApiCall, name: str) -> ApiReply:
    """Answer ``GET sobjects/{name}/updated``: ids by SystemModstamp, whole minutes."""
    sobject, start, end = _window(state, call, name)
    ids = [
        row["Id"] for row in state.org.rows(sobject.name, call.actor) if start <= _stamp(row) < end
    ]
    return ApiReply(200, {"ids": ids, "latestDateCovered": _covered(state, end)})


def deleted(state: "SalesforceState", call: ApiCall, name: str) -> ApiReply:
    """Answer ``GET sobjects/{name}/deleted``."""
    sobject, start, end = _window(state, call, name)
    gone = [
        {"id": row["Id"], "deletedDate": print_instant(_stamp(row))}
        for row in state.org.rows(sobject.name, call.actor, deleted=True)
        if row.get("IsDeleted") and start <= _stamp(row) < end
    ]
    earliest = state.org.now() - timedelta(days=30)
    return ApiReply(
        200,
        {
            "deletedRecords": gone,
            "earliestDateAvailable": print_instant(earliest),
            "latestDateCovered": _covered(state, end),
        },
    )


def created(call: ApiCall, name: str, record_id: str, **more: Any) -> ApiReply:
    """Return the reply to a create, with its Location."""
    body = {"id": record_id, "success": True, "errors": [], **more}
    return ApiReply(201, body, {"Location": f"{call.path}/sobjects/{name}/{record_id}"})


def print_row(sobject: SObject, row: Row, version: str, names: str | None = None) -> dict[str, Any]:
    """Return a record as JSON: all fields, or those in a comma-separated list."""
    fields = list(sobject.fields)
    if names:
        fields = []
        for name in (each.strip() for each in names.split(",")):
            field = sobject.field(name)
            if field is None:
                raise errors.no_such_column(name, sobject.name)
            fields.append(field)
    record: dict[str, Any] = {"attributes": attributes(sobject.name, row, version)}
    for each in fields:
        empty = False if each.type == "boolean" else None
        record[each.name] = print_value(row.get(each.name, empty))
    return record


def write_options(call: ApiCall, position: int | None = None) -> dml.WriteOptions:
    """Return how a call wants its writes done, from its headers."""
    assign = call.headers.get("sforce-auto-assign", "TRUE").upper() != "FALSE"
    cut = call.headers.get("sforce-allow-field-truncation", "").upper() == "TRUE"
    return dml.WriteOptions(position=position, auto_assign=assign, truncate=cut)


def _addressed(
    state: "SalesforceState", call: ApiCall, name: str, raw_id: str
) -> tuple[SObject, Row]:
    sobject = dml.visible_object(state.org, call.actor, name)
    try:
        record_id = dml.record_id_of(raw_id, sobject)
    except ApiError:
        text = f"Provided external ID field does not exist or is not accessible: {raw_id}"
        raise errors.not_found(text) from None
    return dml.existing(state.org, call.actor, record_id)


def _one_by_key(state: "SalesforceState", call: ApiCall, name: str, field: str, value: str) -> str:
    sobject = dml.visible_object(state.org, call.actor, name)
    key = incoming.external_id_field(sobject, field)
    found = incoming.find_by_key(state.org, call.actor, sobject, key, value)
    if len(found) != 1:
        raise errors.not_found()
    return found[0]


def _check_unmodified(call: ApiCall, row: Row) -> None:
    before = _header_date(call.headers, "if-unmodified-since")
    if before is not None and _modified(row) > before:
        text = "The requested resource was modified since the given time"
        raise ApiError(412, "PRECONDITION_FAILED", text)


def _header_date(headers: Mapping[str, str], name: str) -> datetime | None:
    if name not in headers:
        return None
    try:
        return parsedate_to_datetime(headers[name]).astimezone(UTC)
    except ValueError:
        return None


def _modified(row: Row) -> datetime:
    moment = row["LastModifiedDate"]
    assert isinstance(moment, datetime)
    return moment


def _stamp(row: Row) -> datetime:
    moment = row["SystemModstamp"]
    assert isinstance(moment, datetime)
    return moment


def _window(
    state: "SalesforceState", call: ApiCall, name: str
) -> tuple[SObject, datetime, datetime]:
    sobject = dml.visible_object(state.org, call.actor, name)
    start = read_instant(call.query.get("start", ""))
    end = read_instant(call.query.get("end", ""))
    if start is None or end is None:
        raise ApiError(400, "INVALID_REPLICATION_DATE", "start and end must be ISO 8601 instants")
    start, end = (each.replace(second=0) for each in (start, end))
    if start >= end:
        raise ApiError(400, "INVALID_REPLICATION_DATE", "startDate must be before endDate")
    if start < state.org.now() - timedelta(days=30):
        text = "startDate cannot be more than 30 days ago"
        raise ApiError(400, "INVALID_REPLICATION_DATE", text)
    return sobject, start, end


def _covered(state: "SalesforceState", end: datetime) -> str:
    """Return ``latestDateCovered``: kept below every transaction that is still open."""
    held = state.org.held.oldest()
    latest = min(end, state.org.now())
    return print_instant(min(latest, held) if held else latest)
