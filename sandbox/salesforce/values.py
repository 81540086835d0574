"""Field values: from the JSON of a request to what is stored, and back to JSON."""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from sandbox.salesforce.errors import ApiError, bad_request, cannot_deserialize
from sandbox.salesforce.ids import normalise
from sandbox.salesforce.moments import midnight, print_instant, read_date, read_instant
from sandbox.salesforce.schema import NUMBER_TYPES, Field, Value

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]{2,}")


def label_of(field: Field) -> str:
    """Return the field's label, derived from its name unless the table gives one."""
    if field.label:
        return field.label
    bare = field.name.removesuffix("__c")
    if field.type == "reference":
        bare = bare.removesuffix("Id")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", bare.replace("_", " "))


def read_value(field: Field, raw: Any, *, cut: bool = False) -> Value:
    """Check one JSON value against its field and return what is stored.

    Text is trimmed and blank text is null. ``cut`` shortens an over-long text instead of
    refusing it (the ``allowFieldTruncation`` header). Raises ApiError with Salesforce's code.
    """
    if raw is None:
        return False if field.type == "boolean" else None
    reader = _READERS.get(field.type, _read_text)
    if reader is _read_text and cut and isinstance(raw, str):
        raw = _shorten(field, raw)
    return reader(field, raw)


def print_value(value: Value) -> Any:
    """Return the JSON form of a stored value."""
    if isinstance(value, datetime):
        return print_instant(value)
    if isinstance(value, date):
        return value.isoformat()
    return value


def _shorten(field: Field, raw: str) -> str:
    if field.byte_limit:
        return raw.encode()[: field.byte_limit].decode(errors="ignore")
    return raw[: field.length] if field.length else raw


def _read_text(field: Field, raw: Any) -> Value:
    if not isinstance(raw, str):
        raise cannot_deserialize("string", raw)
    # Half a surrogate pair, which JSON can carry, is no character that could be stored.
    text = raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
    if field.type == "textarea":
        text = text.replace("\r\n", "\n")
    if not text:
        return None
    # Comments are limited in UTF-8 bytes, everything else in UTF-16 units as Java counts.
    size = len(text.encode()) if field.byte_limit else len(text.encode("utf-16-le")) // 2
    limit = field.byte_limit or field.length
    if limit and size > limit:
        message = f"{label_of(field)}: data value too large: {text} (max length={limit})"
        raise bad_request("STRING_TOO_LONG", message, field.name)
    if field.type == "email" and not EMAIL.fullmatch(text):
        message = f"{label_of(field)}: invalid email address: {text}"
        raise bad_request("INVALID_EMAIL_ADDRESS", message, field.name)
    return text


def _read_choice(field: Field, raw: Any) -> Value:
    text = _read_text(field, raw)
    if not isinstance(text, str):
        return text
    chosen = [text]
    if field.type == "multipicklist":
        chosen = list(dict.fromkeys(part.strip() for part in text.split(";") if part.strip()))
    known = {each.value: n for n, each in enumerate(field.values) if each.active}
    for each in chosen:
        if field.restricted and each not in known:
            message = f"{label_of(field)}: bad value for restricted picklist field: {each}"
            raise bad_request("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, field.name)
    chosen.sort(key=lambda each: known.get(each, len(known)))
    return ";".join(chosen) or None


def _read_boolean(_field: Field, raw: Any) -> Value:
    if isinstance(raw, str) and raw.lower() in {"true", "false"}:
        return raw.lower() == "true"
    if not isinstance(raw, bool):
        raise cannot_deserialize("boolean", raw)
    return raw


def _read_number(field: Field, raw: Any) -> Value:
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
        raise cannot_deserialize(field.type, raw)
    try:
        exact = Decimal(str(raw))
        rounded = exact.quantize(Decimal(1).scaleb(-field.scale), ROUND_HALF_UP)
    except InvalidOperation:
        raise cannot_deserialize(field.type, raw) from None
    if field.precision and abs(rounded) >= Decimal(10) ** (field.precision - field.scale):
        message = f"{label_of(field)}: value outside of valid range on numeric field: {raw}"
        raise bad_request("NUMBER_OUTSIDE_VALID_RANGE", message, field.name)
    return int(rounded) if field.type == "int" else float(rounded)


def _read_date(_field: Field, raw: Any) -> Value:
    day = read_date(raw[:10]) if isinstance(raw, str) and len(raw) in {10, 20, 28} else None
    if day is None:
        raise cannot_deserialize("date", raw)
    return day


def _read_instant(_field: Field, raw: Any) -> Value:
    if not isinstance(raw, str):
        raise cannot_deserialize("datetime", raw)
    moment = read_instant(raw)
    if moment is None:
        day = read_date(raw)
        moment = midnight(day) if day else None
    if moment is None:
        raise cannot_deserialize("datetime", raw)
    return moment


def _read_reference(field: Field, raw: Any) -> Value:
    if not isinstance(raw, str):
        raise cannot_deserialize("reference", raw)
    if not raw.strip():
        return None
    record_id = normalise(raw.strip())
    if record_id is None:
        raise malformed_id(field, raw)
    return record_id


def malformed_id(field: Field, raw: str) -> ApiError:
    """Return the 400 of an id that cannot be one of the field's targets."""
    message = f"{label_of(field)} ID: id value of incorrect type: {raw}"
    return bad_request("MALFORMED_ID", message, field.name)


_READERS: dict[str, Callable[[Field, Any], Value]] = {
    "boolean": _read_boolean,
    "date": _read_date,
    "datetime": _read_instant,
    "reference": _read_reference,
    "picklist": _read_choice,
    "multipicklist": _read_choice,
    **dict.fromkeys(NUMBER_TYPES, _read_number),
}
