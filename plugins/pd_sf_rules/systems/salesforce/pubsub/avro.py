"""The little of Avro that a change event's header needs: what a schema says, read from bytes, within bounds.

Specification: Apache Avro 1.11, "Binary encoding". Bytes and schema come from outside: nesting, length and the number
of values are limited, so that none can hold the event loop up.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

DEEPEST = 16
MOST_VALUES = 20_000


class AvroError(ValueError):
    """These bytes are no value of that schema, or more than is read here."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._left = MOST_VALUES
        self._named: dict[str, Any] = {}

    def value(self, schema: Any, depth: int = 0) -> Any:
        """Read one value of any schema."""
        self._left -= 1
        if depth > DEEPEST or self._left < 0:
            raise AvroError("The value is too large.")
        if isinstance(schema, list):
            return self.value(_picked(schema, self.long()), depth + 1)
        if not isinstance(schema, Mapping):
            return self._named_value(schema, depth)
        kind = schema.get("type")
        if kind not in ("record", "enum", "fixed", "array", "map"):
            return self.value(kind, depth + 1)
        if isinstance(schema.get("name"), str):
            self._named[schema["name"]] = schema
        return self._built(kind, schema, depth + 1)

    def _built(self, kind: str, schema: Mapping[str, Any], depth: int) -> Any:
        match kind:
            case "record":
                return {
                    str(one["name"]): self.value(one["type"], depth) for one in schema["fields"]
                }
            case "enum":
                return str(_picked(schema["symbols"], self.long()))
            case "array":
                return [self.value(schema["items"], depth) for _ in self._blocks()]
            case "map":
                return {self.text(): self.value(schema["values"], depth) for _ in self._blocks()}
        return self.take(int(schema["size"]))

    def long(self) -> int:
        """Read a zigzag number of at most 64 bits."""
        shift = result = 0
        while shift < 70:
            byte = self.take(1)[0]
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (result >> 1) ^ -(result & 1)
            shift += 7
        raise AvroError("A number is too long.")

    def text(self) -> str:
        """Read a string."""
        return self.take(self.long()).decode("utf-8")

    def _named_value(self, name: Any, depth: int) -> Any:
        read = _PRIMITIVE.get(str(name))
        if read is not None:
            return read(self)
        known = self._named.get(str(name).rpartition(".")[2])
        if known is None:
            raise AvroError("The schema names a type that is not there.")
        return self.value(known, depth + 1)

    def _blocks(self) -> Iterator[int]:
        while count := self.long():
            if count < 0:
                count = -count
                self.long()  # the block's length in bytes
            self._left -= count  # items may be of no bytes at all
            if self._left < 0:
                raise AvroError("The value is too large.")
            yield from range(count)

    def take(self, count: int) -> bytes:
        """Read so many bytes."""
        if count < 0 or self._at + count > len(self._data):
            raise AvroError("The bytes end before the value does.")
        self._at += count
        return self._data[self._at - count : self._at]


_PRIMITIVE: dict[str, Callable[[_Reader], Any]] = {
    "null": lambda _reader: None,
    "boolean": lambda reader: reader.take(1) == b"\x01",
    "int": _Reader.long,
    "long": _Reader.long,
    "float": lambda reader: struct.unpack("<f", reader.take(4))[0],
    "double": lambda reader: struct.unpack("<d", reader.take(8))[0],
    "bytes": lambda reader: reader.take(reader.long()),
    "string": _Reader.text,
}


def read_first_field(schema: Any, data: bytes) -> Any:
    """Return the value of the first field of a record schema. Raises AvroError, whatever schema and data are."""
    try:
        return _Reader(data).value(schema["fields"][0]["type"])
    except AvroError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise AvroError(f"The schema cannot be read ({type(error).__name__}).") from None


def _picked(choices: Any, place: int) -> Any:
    if not 0 <= place < len(choices):
        raise AvroError("The bytes choose what the schema does not offer.")
    return choices[place]
