"""The header of a change event: read as Avro means it, and within bounds whatever comes."""

import io
import json
import time
from contextlib import suppress
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pd_sf_rules.systems.salesforce.pubsub.avro import AvroError, read_first_field
from pd_sf_rules.systems.salesforce.pubsub.change_event import (
    parsed_schema,
    read_event,
    topic_of,
)

LONGS = st.integers(-(2**63), 2**63 - 1)
INNER: dict[str, Any] = {
    "type": "record",
    "name": "Inner",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B", "C"]}},
        {"name": "number", "type": "long"},
        {"name": "texts", "type": {"type": "array", "items": "string"}},
        {"name": "flag", "type": ["null", "boolean"]},
        {"name": "ratio", "type": "double"},
        {"name": "raw", "type": "bytes"},
        {"name": "four", "type": {"type": "fixed", "name": "Four", "size": 4}},
        {"name": "places", "type": {"type": "map", "values": "long"}},
        {"name": "again", "type": ["null", "Inner"]},
    ],
}
SCHEMA = {"type": "record", "name": "Outer", "fields": [{"name": "header", "type": INNER}]}
LEAF = st.fixed_dictionaries(
    {
        "text": st.text(),
        "kind": st.sampled_from(["A", "B", "C"]),
        "number": LONGS,
        "texts": st.lists(st.text(), max_size=4),
        "flag": st.none() | st.booleans(),
        "ratio": st.floats(allow_nan=False),
        "raw": st.binary(max_size=20),
        "four": st.binary(min_size=4, max_size=4),
        "places": st.dictionaries(st.text(), LONGS, max_size=3),
        "again": st.none(),
    }
)
VALUES = LEAF | st.builds(lambda one, two: {**one, "again": two}, LEAF, LEAF)


@given(VALUES)
def test_reads_what_another_library_writes(value: dict[str, Any]) -> None:
    """Every kind that a schema can name, in either way a list may be laid out."""
    raw = io.BytesIO()
    fastavro.schemaless_writer(raw, fastavro.parse_schema(SCHEMA), {"header": value})
    assert read_first_field(SCHEMA, raw.getvalue()) == value


KINDS = st.recursive(
    st.sampled_from(["null", "long", "string", "bytes", "boolean", "double", "Nobody", None, 7]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"type": st.just("map"), "values": inner}),
        st.fixed_dictionaries(
            {
                "type": st.just("record"),
                "name": st.just("Nobody"),
                "fields": st.lists(
                    st.fixed_dictionaries({"name": st.text(max_size=2), "type": inner}), max_size=3
                ),
            }
        ),
        st.dictionaries(st.sampled_from(["type", "fields", "size", "symbols"]), inner, max_size=3),
    ),
    max_leaves=8,
)


@given(KINDS, st.binary(max_size=200))
def test_any_schema_and_any_bytes_end_soon(kind: Any, data: bytes) -> None:
    """They are read, or refused as what they are: no other error, and no endless work."""
    started = time.process_time()
    with suppress(AvroError):
        read_event({"fields": [{"type": kind}]}, data)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ({"type": "array", "items": "null"}, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ({"type": "array", "items": "null"}, b"\x80\x10" * 100_000),
        ("string", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("string", b"\x01"),
        ("long", b"\xff" * 50),
        ({"type": "fixed", "size": 10**12}, b""),
        ({"type": "enum", "symbols": ["A"]}, b"\x04"),
    ],
)
def test_bombs_are_refused(kind: Any, data: bytes) -> None:
    """Lists of nothing without end, texts longer than the bytes, numbers without end."""
    with pytest.raises(AvroError):
        read_first_field({"fields": [{"type": kind}]}, data)


@pytest.mark.parametrize("text", ["", "[]", "7", "[" * 100_000, " " * (4 * 1024 * 1024 + 1)])
def test_schemas_that_are_none(text: str) -> None:
    """No JSON, no record, or too much of it."""
    with pytest.raises(AvroError):
        parsed_schema(text)


def test_a_header_without_its_fields_is_none() -> None:
    """A record that is no change event, and an instant that no calendar has."""
    plain = {"type": "record", "name": "H", "fields": [{"name": "entityName", "type": "string"}]}
    with pytest.raises(AvroError, match="no header"):
        read_event({"fields": [{"type": plain}]}, b"\x02A")
    names = ("entityName", "changeType", "changeOrigin")
    fields: list[dict[str, Any]] = [{"name": one, "type": "string"} for one in names]
    fields.append({"name": "recordIds", "type": {"type": "array", "items": "string"}})
    fields.append({"name": "commitTimestamp", "type": "long"})
    schema = parsed_schema(json.dumps({"fields": [{"type": {"type": "record", "fields": fields}}]}))
    never = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
    with pytest.raises(AvroError, match="no header"):
        read_event(schema, b"\x02A\x02B\x02C\x00" + never)


def test_topics() -> None:
    """Standard objects, custom ones, and those of a package."""
    topics = [topic_of(one) for one in ("Case", "Deal__c", "ns__Deal__c")]
    assert topics == [
        "/data/CaseChangeEvent",
        "/data/Deal__ChangeEvent",
        "/data/ns__Deal__ChangeEvent",
    ]
