"""Conditions compiled to functions over a row."""

import operator
from collections.abc import Callable
from datetime import date
from typing import Any

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.schema import Row, SObject, Value
from sandbox.salesforce.soql import lexer
from sandbox.salesforce.soql.literals import Span, fold, literal_value
from sandbox.salesforce.soql.scope import Found, Getter, Reader, Scope
from sandbox.salesforce.soql.syntax import (
    Aggregate,
    Comparison,
    Condition,
    Junction,
    Membership,
    Negation,
    Null,
    Path,
    Query,
    Text,
)

Predicate = Callable[[Row], bool]
SubSelect = Callable[[Reader, Query], frozenset[Value]]
ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
__all__ = ["Predicate", "Reader", "compile_condition", "compile_where"]


def compile_condition(reader: Reader, sobject: SObject, condition: Condition) -> Predicate:
    """Compile a condition that stands alone, such as a validation rule's."""
    return compile_where(Scope(reader, sobject), condition, None)


def compile_where(scope: Scope, condition: Condition, subselect: SubSelect | None) -> Predicate:
    """Compile a condition of a query. Raises ApiError for what the fields do not allow."""
    if isinstance(condition, Junction):
        parts = [compile_where(scope, each, subselect) for each in condition.parts]
        if condition.word == "AND":
            return lambda row: all(part(row) for part in parts)
        return lambda row: any(part(row) for part in parts)
    if isinstance(condition, Negation):
        inner = compile_where(scope, condition.inner, subselect)
        return lambda row: not inner(row)
    if isinstance(condition, Comparison):
        if isinstance(condition.left, Aggregate):
            raise ApiError(400, "MALFORMED_QUERY", "Aggregate function not allowed in WHERE")
        found = _filterable(scope, condition.left)
        return compile_comparison(scope, found, condition, condition.left)
    found = _filterable(scope, condition.left)
    if condition.operator in {"INCLUDES", "EXCLUDES"}:
        return _includes(scope, found, condition)
    return _membership(scope, found, condition, subselect)


def compile_comparison(scope: Scope, found: Found, condition: Comparison, path: Path) -> Predicate:
    """Compile one comparison of a field (or aggregate) with a literal."""
    get, sign = found.get, condition.operator
    if isinstance(condition.right, Null):
        if sign not in {"=", "!="}:
            raise _operator_error(scope, found, path)
        wanted = sign == "="
        return lambda row: (get(row) is None) is wanted
    if sign == "LIKE":
        return _like(scope, found, condition, path)
    value = literal_value(scope, found.field, condition.right)
    if isinstance(value, Span):
        return _in_span(get, sign, value)
    if sign in {"=", "!="}:
        return _equality(found, value, equal=sign == "=")
    if found.field.type == "boolean":
        raise _operator_error(scope, found, path)
    ordering, folded = ORDERINGS[sign], fold(found.field, value)
    if isinstance(folded, str) and found.field.type not in {"id", "reference"}:
        return lambda row: (v := get(row)) is not None and ordering(str(v).casefold(), folded)
    return lambda row: (v := get(row)) is not None and ordering(v, folded)


def _filterable(scope: Scope, path: Path) -> Found:
    found = scope.find(path)
    if not found.field.filterable:
        text = f"field '{found.field.name}' can not be filtered in a query call"
        raise scope.invalid(path, text)
    return found


def _equality(found: Found, value: Value, *, equal: bool) -> Predicate:
    get, field = found.get, found.field
    wanted = fold(field, value)
    return lambda row: (fold(field, get(row)) == wanted) is equal


def _in_span(get: Getter, sign: str, span: Span) -> Predicate:
    tests: dict[str, Callable[[Any], bool]] = {
        "=": lambda v: span.start <= v < span.after,
        "!=": lambda v: not span.start <= v < span.after,
        "<": lambda v: v < span.start,
        "<=": lambda v: v < span.after,
        ">": lambda v: v >= span.after,
        ">=": lambda v: v >= span.start,
    }
    test = tests[sign]

    def holds(row: Row) -> bool:
        value = get(row)
        return sign == "!=" if not isinstance(value, date) else test(value)

    return holds


def _like(scope: Scope, found: Found, condition: Comparison, path: Path) -> Predicate:
    if not isinstance(condition.right, Text):
        raise ApiError(400, "MALFORMED_QUERY", scope.pointed(path.at, "LIKE needs a quoted text"))
    if found.field.type in {"id", "reference", "boolean", "date", "datetime", "multipicklist"}:
        raise _operator_error(scope, found, path)
    get, pattern = found.get, lexer.like_pattern(condition.right.raw)
    return lambda row: (v := get(row)) is not None and pattern.fullmatch(str(v)) is not None


def _includes(scope: Scope, found: Found, condition: Membership) -> Predicate:
    if found.field.type != "multipicklist" or not isinstance(condition.right, tuple):
        raise _operator_error(scope, found, condition.left)
    groups = [
        {part.strip().casefold() for part in str(value).split(";")}
        for value in (literal_value(scope, found.field, each) for each in condition.right)
    ]
    get, wanted = found.get, condition.operator == "INCLUDES"

    def holds(row: Row) -> bool:
        held = {part.casefold() for part in str(get(row) or "").split(";")}
        return any(group <= held for group in groups) is wanted

    return holds


def _membership(
    scope: Scope, found: Found, condition: Membership, subselect: SubSelect | None
) -> Predicate:
    field, get, wanted = found.field, found.get, condition.operator == "IN"
    if isinstance(condition.right, Query):
        if subselect is None:
            raise ApiError(400, "MALFORMED_QUERY", "a query cannot stand here")
        members = subselect(scope.reader, condition.right)
        return lambda row: (get(row) in members) is wanted
    spans, values = [], set()
    for term in condition.right:
        value = None if isinstance(term, Null) else literal_value(scope, field, term)
        if isinstance(value, Span):
            spans.append(_in_span(get, "=", value))
        else:
            values.add(fold(field, value))
    return lambda row: (
        (fold(field, get(row)) in values or any(each(row) for each in spans)) is wanted
    )


def _operator_error(scope: Scope, found: Found, path: Path) -> ApiError:
    kind = "id" if found.field.type in {"id", "reference"} else found.field.type
    text = scope.pointed(path.at, f"invalid operator on {kind} field")
    return ApiError(400, "INVALID_QUERY_FILTER_OPERATOR", text)
