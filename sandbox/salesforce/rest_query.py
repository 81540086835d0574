"""REST: queries and their pages."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.errors import ApiError, malformed_query
from sandbox.salesforce.ids import mint
from sandbox.salesforce.rest import ApiCall, ApiReply
from sandbox.salesforce.soql.execution import Result, run

if TYPE_CHECKING:
    from sandbox.salesforce.state import SalesforceState

SMALLEST_BATCH, LARGEST_BATCH = 200, 2000
MOST_LOCATORS = 100


@dataclass(slots=True)
class Locators:
    """Results whose later pages may still be asked for; the oldest give way."""

    _open: dict[str, tuple[str, Result, int]] = field(default_factory=dict)
    _serial: int = 0

    def keep(self, user_id: str, result: Result, size: int) -> str:
        """Keep a result and return its locator."""
        self._serial += 1
        locator = mint("0r8", self._serial)
        self._open[locator] = (user_id, result, size)
        while len(self._open) > MOST_LOCATORS:
            del self._open[next(iter(self._open))]
        return locator

    def find(self, locator: str, user_id: str) -> tuple[Result, int]:
        """Return a kept result and its page size. Raises ApiError INVALID_QUERY_LOCATOR."""
        owner, result, size = self._open.get(locator, ("", None, 0))
        if result is None or owner != user_id:
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return result, size

    def expire(self) -> None:
        """Forget all results, as after two days."""
        self._open.clear()


def query(state: "SalesforceState", call: ApiCall) -> ApiReply:
    """Answer ``GET query?q=...``."""
    return _first_page(state, call, deleted=False)


def query_all(state: "SalesforceState", call: ApiCall) -> ApiReply:
    """Answer ``GET queryAll?q=...``: the recycle bin too."""
    return _first_page(state, call, deleted=True)


def next_page(state: "SalesforceState", call: ApiCall, place: str) -> ApiReply:
    """Answer ``GET query/{locator}-{start}``."""
    locator, _, start = place.partition("-")
    if not start.isdigit():
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    result, size = state.locators.find(locator, call.actor.user_id)
    return _page(call, result, int(start), size, locator)


def _first_page(state: "SalesforceState", call: ApiCall, *, deleted: bool) -> ApiReply:
    text = call.query.get("q")
    if text is None:
        raise malformed_query("A query string has to be specified")
    result = run(state.org, call.actor, text, call.version, deleted=deleted)
    if call.query.get("columns") == "true":
        return ApiReply(200, _columns(result))
    asked = re.search(r"batchSize=(\d+)", call.headers.get("sforce-query-options", ""))
    wanted = int(asked[1]) if asked else LARGEST_BATCH
    size = min(max(wanted, SMALLEST_BATCH), LARGEST_BATCH, state.org.settings.page_size)
    long = len(result.rows or result.records or ()) > size
    locator = state.locators.keep(call.actor.user_id, result, size) if long else ""
    return _page(call, result, 0, size, locator)


def _page(call: ApiCall, result: Result, start: int, size: int, locator: str) -> ApiReply:
    records = result.page(start, size)
    end = start + len(records)
    done = end >= len(result.rows or result.records or ())
    body: dict[str, Any] = {"totalSize": result.total, "done": done}
    if not done:
        body["nextRecordsUrl"] = f"{call.path}/query/{locator}-{end}"
    body["records"] = records
    return ApiReply(200, body)


def _columns(result: Result) -> dict[str, Any]:
    node = result.projection.root if result.projection else None
    names = list(node.printers) if node else []
    return {
        "entityName": node.object.name if node else "AggregateResult",
        "keyPrefix": node.object.key_prefix if node else None,
        "idSelected": "Id" in names,
        "groupBy": node is None,
        "columnMetadata": [_column(result, each) for each in names],
    }


def _column(result: Result, name: str) -> dict[str, Any]:
    sobject = result.projection.root.object if result.projection else None
    field = sobject.field(name) if sobject else None
    kind = field.type if field else "string"
    return {
        "columnName": name,
        "displayName": name,
        "apexType": kind.capitalize(),
        "aggregate": field is None,
        "booleanType": kind == "boolean",
        "numberType": kind in {"int", "double", "currency", "percent"},
        "textType": kind in {"string", "textarea"},
        "custom": bool(field and field.custom),
        "foreignKeyName": None,
        "insertable": bool(field and field.createable),
        "updatable": bool(field and field.updateable),
        "joinColumns": [],
    }
