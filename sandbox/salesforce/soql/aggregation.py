"""Aggregates and GROUP BY."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sandbox.salesforce.errors import malformed_query
from sandbox.salesforce.schema import Field, Row, Value
from sandbox.salesforce.soql.literals import fold
from sandbox.salesforce.soql.predicates import compile_comparison
from sandbox.salesforce.soql.scope import Found, Scope
from sandbox.salesforce.soql.syntax import (
    Aggregate,
    Aliased,
    Comparison,
    Condition,
    Junction,
    Negation,
    Path,
    Query,
)
from sandbox.salesforce.values import print_value

Group = list[Row]
FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "COUNT": len,
    "COUNT_DISTINCT": lambda values: len(set(values)),
    "MIN": lambda values: min(values, default=None),
    "MAX": lambda values: max(values, default=None),
    "SUM": lambda values: float(sum(values)) if values else None,
    "AVG": lambda values: sum(values) / len(values) if values else None,
}
COUNT_FIELD = Field(name="count", type="int")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an aggregate result, computed from the rows of a group."""

    name: str
    field: Field
    value: Callable[[Group], Value]


def groups_of(scope: Scope, query: Query, rows: Iterable[Row]) -> list[Group]:
    """Return the groups of rows; without GROUP BY all rows are one group, even if none."""
    if not query.group_by:
        return [list(rows)]
    keys = [_groupable(scope, path) for path in query.group_by]
    groups: dict[tuple[Value, ...], Group] = {}
    for row in rows:
        key = tuple(fold(each.field, each.get(row)) for each in keys)
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def aggregate(scope: Scope, query: Query, rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the AggregateResult records of a query. Raises ApiError MALFORMED_QUERY."""
    columns = _columns(scope, query)
    groups = groups_of(scope, query, rows)
    if query.having is not None:
        holds = _having(scope, query.having)
        groups = [group for group in groups if holds(group)]
    for order in reversed(query.order_by):
        column = column_of(scope, order.key, "key")
        groups.sort(key=_group_key(column), reverse=order.descending)
    records = []
    for group in groups:
        record: dict[str, Any] = {"attributes": {"type": "AggregateResult"}}
        record |= {each.name: print_value(each.value(group)) for each in columns}
        records.append(record)
    return records[query.offset :][: query.limit]


def column_of(scope: Scope, item: Path | Aggregate, name: str) -> Column:
    """Return the column of a grouped field or an aggregate function."""
    if isinstance(item, Path):
        found = scope.find(item)
        return Column(name, found.field, lambda group: found.get(group[0]) if group else None)
    function = FUNCTIONS[item.function]
    if item.path is None:
        return Column(name, COUNT_FIELD, len)
    found = scope.find(item.path)
    get = found.get
    field = COUNT_FIELD if item.function.startswith("COUNT") else found.field

    def value(group: Group) -> Value:
        result: Value = function([v for row in group if (v := get(row)) is not None])
        return result

    return Column(name, field, value)


def _groupable(scope: Scope, path: Path) -> Found:
    found = scope.find(path)
    if not found.field.groupable:
        text = f"field '{path.text}' can not be grouped in a query call"
        raise malformed_query(scope.pointed(path.at, text))
    return found


def _columns(scope: Scope, query: Query) -> list[Column]:
    grouped = {path.text.casefold() for path in query.group_by}
    columns, unnamed = [], 0
    for item in query.select:
        path = item.path if isinstance(item, Aliased) else item
        if isinstance(item, Aggregate):
            name = item.alias or f"expr{unnamed}"
            unnamed += item.alias is None
            columns.append(column_of(scope, item, name))
        elif isinstance(path, Path) and path.text.casefold() in grouped:
            alias = item.alias if isinstance(item, Aliased) else None
            found = scope.find(path)
            columns.append(column_of(scope, path, alias or found.field.name))
        else:
            text = path.text if isinstance(path, Path) else "it"
            at = path.at if isinstance(path, Path) else query.at
            message = f"Field must be grouped or aggregated: {text}"
            raise malformed_query(scope.pointed(at, message))
    return columns


def _having(scope: Scope, condition: Condition) -> Callable[[Group], bool]:
    if isinstance(condition, Junction):
        parts = [_having(scope, each) for each in condition.parts]
        joined = all if condition.word == "AND" else any
        return lambda group: joined(part(group) for part in parts)
    if isinstance(condition, Negation):
        inner = _having(scope, condition.inner)
        return lambda group: not inner(group)
    if not isinstance(condition, Comparison):
        raise malformed_query("HAVING takes comparisons only")
    column = column_of(scope, condition.left, "having")
    # The comparison reads a row; a group's value stands in as a row of one field.
    found = Found(column.field, lambda row: row.get("value"))
    path = condition.left if isinstance(condition.left, Path) else Path(("having",))
    holds = compile_comparison(scope, found, condition, path)
    return lambda group: holds({"value": column.value(group)})


def _group_key(column: Column) -> Callable[[Group], tuple[bool, Any]]:
    return lambda group: _sort_key(column.value(group))


def _sort_key(value: Value) -> tuple[bool, Any]:
    return value is not None, value.casefold() if isinstance(value, str) else value
