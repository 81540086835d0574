"""Literals checked against the type of the field they are compared with."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.ids import normalise
from sandbox.salesforce.schema import NUMBER_TYPES, Field, Value
from sandbox.salesforce.soql import lexer
from sandbox.salesforce.soql.relative_days import days_of
from sandbox.salesforce.soql.scope import Scope
from sandbox.salesforce.soql.syntax import (
    Day,
    Instant,
    Null,
    Number,
    RelativeDay,
    Term,
    Text,
    Truth,
)

SOAP_NAMES = {"datetime": "dateTime", "reference": "reference", "multipicklist": "multipicklist"}


@dataclass(frozen=True, slots=True)
class Span:
    """The days or instants a date literal covers: from ``start`` to before ``after``."""

    start: date
    after: date


def literal_value(scope: Scope, field: Field, term: Term) -> Value | Span:
    """Return the value a literal stands for. Raises ApiError where the types do not fit."""
    if isinstance(term, Null):
        return None
    if field.type in NUMBER_TYPES:
        fits = isinstance(term, Number)
    elif field.type == "boolean":
        fits = isinstance(term, Truth)
    elif field.type == "date":
        fits = isinstance(term, (Day, RelativeDay))
    elif field.type == "datetime":
        fits = isinstance(term, (Instant, RelativeDay))
    else:
        fits = isinstance(term, Text)
    if not fits:
        raise ApiError(400, "INVALID_FIELD", scope.pointed(term.at, _misfit(field)))
    if isinstance(term, RelativeDay):
        return _span(scope, field, term)
    if isinstance(term, Text):
        return _text(scope, field, term)
    return term.value


def fold(field: Field, value: Value) -> Value:
    """Return the form in which two values of a field compare equal."""
    if isinstance(value, str) and field.type not in {"id", "reference"}:
        return value.casefold()
    return value


def _misfit(field: Field) -> str:
    kind = SOAP_NAMES.get(field.type, field.type)
    quoted = field.type in NUMBER_TYPES | {"boolean", "date", "datetime"}
    rule = "should not be enclosed in quotes" if quoted else "should be enclosed in quotes"
    return f"value of filter criterion for field '{field.name}' must be of type {kind} and {rule}"


def _text(scope: Scope, field: Field, term: Text) -> Value:
    text = lexer.unescape(term.raw)
    if field.type not in {"id", "reference"}:
        return text or None
    if not text:
        return None
    record_id = normalise(text)
    if record_id is None:
        message = scope.pointed(term.at, f"invalid ID field: {text}")
        raise ApiError(400, "INVALID_QUERY_FILTER_OPERATOR", message)
    return record_id


def _span(scope: Scope, field: Field, term: RelativeDay) -> Span:
    org, actor = scope.reader.org, scope.reader.actor
    user = org.row(actor.user_id) if actor and actor.user_id else None
    zone = ZoneInfo(str((user or {}).get("TimeZoneSidKey") or "UTC"))
    first, after = days_of(term.name, term.count, org.now().astimezone(zone).date())
    if field.type == "date":
        return Span(first, after)
    start, end = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (first, after))
    return Span(start, end)
