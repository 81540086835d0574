"""Running a query: which rows, in which order, printed how."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sandbox.salesforce.errors import ApiError, malformed_query
from sandbox.salesforce.org import Actor, Org
from sandbox.salesforce.planned import Attempt
from sandbox.salesforce.schema import Field, Row, SObject, Value
from sandbox.salesforce.soql.aggregation import aggregate
from sandbox.salesforce.soql.parser import parse
from sandbox.salesforce.soql.predicates import compile_where
from sandbox.salesforce.soql.projection import Printer, Projection, projection
from sandbox.salesforce.soql.scope import Found, Reader, Scope
from sandbox.salesforce.soql.syntax import Aggregate, Order, Path, Query, SubQuery


@dataclass(frozen=True, slots=True)
class Result:
    """What a query found: finished records, or rows still to be printed page by page."""

    total: int
    records: list[dict[str, Any]] | None = None
    rows: tuple[Row, ...] = ()
    projection: Projection | None = None

    def page(self, start: int, size: int) -> list[dict[str, Any]]:
        """Return the records of one page."""
        if self.projection is None:
            return (self.records or [])[start : start + size]
        return [self.projection.record(row) for row in self.rows[start : start + size]]


def run(org: Org, actor: Actor, text: str, version: str, *, deleted: bool = False) -> Result:
    """Run a query as a user. Raises ApiError in Salesforce's words."""
    query = parse(text)
    reader = Reader(org, actor, deleted)
    scope = _scope(reader, query)
    org.admit(actor, Attempt("query", scope.sobject.name))
    if query.counts_only:
        rows = _matching(scope, query)
        return Result(len(rows[: query.limit]), [])
    if query.aggregated:
        records = aggregate(scope, query, _matching(scope, query))
        return Result(len(records), records)
    printing = projection(scope, query, version, _Children(version).printer)
    rows = _window(scope, query, _matching(scope, query))
    return Result(len(rows), None, tuple(rows), printing)


def _scope(reader: Reader, query: Query) -> Scope:
    sobject = reader.schema.get(query.object)
    scope = Scope(reader, sobject or _NOTHING, query.text, query.alias)
    if sobject is None or not sobject.queryable:
        text = (
            f"sObject type '{query.object}' is not supported. If you are attempting to use a "
            "custom object, be sure to append the '__c' after the entity name. Please reference "
            "your WSDL or the describe call for the appropriate names."
        )
        raise ApiError(400, "INVALID_TYPE", scope.pointed(query.at, text))
    return scope


_NOTHING = SObject(name="", key_prefix="???", fields=())


def _matching(scope: Scope, query: Query) -> list[Row]:
    rows: Iterable[Row] = scope.reader.rows(scope.sobject.name)
    if query.where is None:
        return list(rows)
    holds = compile_where(scope, query.where, _subselect)
    return [row for row in rows if holds(row)]


def _subselect(reader: Reader, query: Query) -> frozenset[Value]:
    scope = _scope(reader, query)
    if len(query.select) != 1 or not isinstance(query.select[0], Path):
        raise malformed_query("a sub-query in WHERE selects exactly one field")
    found = scope.find(query.select[0])
    return frozenset(
        value for row in _matching(scope, query) if (value := found.get(row)) is not None
    )


def _window(scope: Scope, query: Query, rows: list[Row]) -> list[Row]:
    for order in reversed(query.order_by):
        _sort(scope, order, rows)
    return rows[query.offset :][: query.limit]


def _sort(scope: Scope, order: Order, rows: list[Row]) -> None:
    if isinstance(order.key, Aggregate):
        raise malformed_query("an aggregate can order only a grouped query")
    found = scope.find(order.key)
    if not found.field.sortable:
        text = f"field '{order.key.text}' can not be sorted in a query call"
        raise malformed_query(scope.pointed(order.key.at, text))
    key = _sort_value(found)
    nulls = [row for row in rows if found.get(row) is None]
    valued = [row for row in rows if found.get(row) is not None]
    valued.sort(key=key, reverse=order.descending)
    rows[:] = valued + nulls if order.nulls_last else nulls + valued


def _sort_value(found: Found) -> Any:
    get, field = found.get, found.field
    if field.type == "picklist":
        places = {each.value: n for n, each in enumerate(field.values)}
        return lambda row: (places.get(str(get(row)), len(places)), str(get(row)).casefold())
    if field.type in {"id", "reference", "boolean", "date", "datetime", "int", "double"}:
        return get
    return lambda row: v.casefold() if isinstance(v := get(row), str) else v


@dataclass(frozen=True, slots=True)
class _Children:
    """Prints the sub-queries of a SELECT list."""

    version: str

    def printer(self, scope: Scope, item: SubQuery) -> tuple[str, Printer]:
        """Return the key and the printer of one sub-query. Raises ApiError INVALID_TYPE."""
        query = item.query
        child, field = self._relationship(scope, query)
        inner = Scope(scope.reader, child, scope.source, query.alias)
        printing = projection(inner, query, self.version, _no_deeper)
        by_parent: dict[Value, list[Row]] = {}
        for row in _matching(inner, query):
            by_parent.setdefault(row.get(field.name), []).append(row)

        def show(row: Row) -> dict[str, Any] | None:
            rows = _window(inner, query, by_parent.get(row["Id"], [])[:])
            if not rows:
                return None
            records = [printing.record(each) for each in rows]
            return {"totalSize": len(records), "done": True, "records": records}

        return str(field.children), show

    def _relationship(self, scope: Scope, query: Query) -> tuple[SObject, Field]:
        for each in scope.reader.schema.children(scope.sobject):
            if (each.field.children or "").casefold() == query.object.casefold():
                return each.child, each.field
        text = (
            f"Didn't understand relationship '{query.object}' in FROM part of query call. If you "
            "are attempting to use a custom relationship, be sure to append the '__r' after the "
            "custom relationship name. Please reference your WSDL or the describe call for the "
            "appropriate names."
        )
        raise ApiError(400, "INVALID_TYPE", scope.pointed(query.at, text))


def _no_deeper(scope: Scope, item: SubQuery) -> tuple[str, Printer]:
    raise malformed_query(
        scope.pointed(item.query.at, "SOQL subqueries may be only one level deep")
    )
