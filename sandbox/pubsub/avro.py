"""Change events in Avro: the schema of an object's events, and one event as bytes."""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from sandbox.salesforce.schema import SObject, Value

CHANGE_TYPES = (
    "CREATE", "UPDATE", "DELETE", "UNDELETE",
    "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW",
)  # fmt: skip
TEXTS = {"type": "array", "items": "string"}
HEADER: list[dict[str, Any]] = [
    {"name": "entityName", "type": "string"},
    {"name": "recordIds", "type": TEXTS},
    {
        "name": "changeType",
        "type": {"type": "enum", "name": "ChangeType", "symbols": list(CHANGE_TYPES)},
    },
    {"name": "changeOrigin", "type": "string"},
    {"name": "transactionKey", "type": "string"},
    {"name": "sequenceNumber", "type": "int"},
    {"name": "commitTimestamp", "type": "long"},
    {"name": "commitNumber", "type": "long"},
    {"name": "commitUser", "type": "string"},
    {"name": "nulledFields", "type": TEXTS},
    {"name": "diffFields", "type": TEXTS},
    {"name": "changedFields", "type": TEXTS},
]
NOT_SENT = frozenset({"Id", "IsDeleted", "SystemModstamp"})
KINDS = {"boolean": "boolean", "double": "double", "int": "int", "datetime": "long", "date": "long"}


@dataclass(frozen=True, slots=True)
class Told:
    """One change as an event tells it. `values` are the new values of the fields that changed."""

    entity: str
    record_ids: Sequence[str]
    change_type: str
    committed_at: datetime
    transaction: str = ""
    sequence: int = 1
    number: int = 0
    user_id: str = ""
    origin: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)


def event_name(entity: str) -> str:
    """The name of an object's change event."""
    stem = entity.removesuffix("__c")
    return f"{stem}ChangeEvent" if stem == entity else f"{stem}__ChangeEvent"


def schema_of(sobject: SObject) -> str:
    """The schema of an object's change events, as JSON text: the header first, then every field, nullable."""
    header = {"type": "record", "name": "ChangeEventHeader", "fields": HEADER}
    fields: list[dict[str, Any]] = [{"name": "ChangeEventHeader", "type": header}]
    fields += [
        {"name": one.name, "type": ["null", KINDS.get(one.type, "string")], "default": None}
        for one in _sent(sobject)
    ]
    event = {
        "type": "record",
        "name": event_name(sobject.name),
        "namespace": "com.sforce.eventbus",
        "fields": fields,
    }
    return json.dumps(event)


def schema_id(schema: str) -> str:
    """The fingerprint by which a schema is asked for."""
    return hashlib.md5(schema.encode(), usedforsecurity=False).hexdigest()[:22]


def encoded(sobject: SObject, told: Told) -> bytes:
    """One event as Avro binary, without a container, by the object's schema."""
    names = [one.name for one in _sent(sobject)]
    changed = [names.index(name) + 1 for name in told.values if name in names]
    nulled = [n for n in changed if told.values[names[n - 1]] is None]
    parts = [
        _text(told.entity),
        _texts(told.record_ids),
        _long(CHANGE_TYPES.index(told.change_type)),
        _text(told.origin),
        _text(told.transaction),
        _long(told.sequence),
        _long(_milliseconds(told.committed_at)),
        _long(told.number),
        _text(told.user_id),
        _texts([_bitmap(nulled)] if nulled else []),
        _texts([]),
        _texts([_bitmap(changed)] if changed else []),
    ]
    parts += [_field(one.type, told.values.get(one.name)) for one in _sent(sobject)]
    return b"".join(parts)


def _sent(sobject: SObject) -> list[Any]:
    return [one for one in sobject.fields if one.name not in NOT_SENT]


def _field(kind: str, value: Value) -> bytes:
    if value is None:
        return _long(0)
    return _long(1) + _value(KINDS.get(kind, "string"), value)


def _value(kind: str, value: Any) -> bytes:
    if kind == "boolean":
        return b"\x01" if value else b"\x00"
    if kind == "double":
        return struct.pack("<d", float(value))
    if kind == "int":
        return _long(int(value))
    if kind == "long":
        return _long(_milliseconds(value))
    return _text(str(value))


def _milliseconds(value: date) -> int:
    stamp = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001
    return round(stamp.replace(tzinfo=stamp.tzinfo or UTC).timestamp() * 1000)


def _bitmap(positions: Sequence[int]) -> str:
    """One hexadecimal number whose bit `n`, from the least significant on, stands for the field in place `n`."""
    bits = bytearray(max(positions) // 8 + 1)
    for position in positions:
        bits[position // 8] |= 1 << position % 8
    return "0x" + bytes(reversed(bits)).hex().upper()


def _long(value: int) -> bytes:
    rest, out = (value << 1) ^ (value >> 63), bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


def _text(value: str) -> bytes:
    raw = value.encode()
    return _long(len(raw)) + raw


def _texts(values: Sequence[str]) -> bytes:
    if not values:
        return _long(0)
    return _long(len(values)) + b"".join(_text(one) for one in values) + _long(0)
