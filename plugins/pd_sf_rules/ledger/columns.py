"""Column types that mean the same on SQLite and PostgreSQL."""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import JSON, BigInteger, ColumnElement, DateTime, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator

NUL = "\x00"
REPLACEMENT = "\ufffd"

BigInt = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware datetimes go in (any offset), aware UTC datetimes come out.

    A naive datetime raises ValueError: its instant would be a guess.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; SQLite gets it naive, because it stores text of a fixed width that sorts."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"The ledger takes timezone-aware datetimes, not {value!r}.")
        instant = value.astimezone(UTC)
        return instant.replace(tzinfo=None) if dialect.name == "sqlite" else instant

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Back as aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class FreeText(TypeDecorator[str]):
    """Text somebody else wrote. PostgreSQL takes neither NUL nor lone surrogates: both become U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The same text with what cannot be stored replaced."""
        if value is None:
            return None
        text = value.replace(NUL, REPLACEMENT)
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def plain(column: ColumnElement[str]) -> ColumnElement[str]:
    """The same text, of which the database knows no index: for what tells little, beside what is to be sought by."""
    return column.concat("")


class JsonText(str):
    """A value that is JSON already, and is stored as it stands."""

    __slots__ = ()


def json_column_type() -> JSON:
    """JSON kept as text on both databases, so that key order and every escape survive; None is SQL NULL."""
    return JSON(none_as_null=True)


def as_json(value: Any) -> Any:
    """The value as plain lists, dicts and scalars, for columns that are compared or read back at once."""
    return json.loads(to_json(value))


def to_json(value: Any) -> str:
    """Text of a JSON value; mappings, sets and dataclasses of any kind count as their JSON likeness.

    Raises ValueError for NaN and infinities, TypeError for anything else JSON cannot hold.
    """
    if value.__class__ is JsonText:
        return str(value)
    return json.dumps(value, default=_likeness, allow_nan=False)


def _likeness(value: Any) -> Any:
    kind = value.__class__
    parts = _parts(kind)
    if parts:
        return {name: getattr(value, name) for name in parts}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, AbstractSet):
        return sorted(value)
    raise TypeError(f"The ledger cannot store a {type(value).__name__} as JSON.")


@lru_cache(maxsize=128)
def _parts(kind: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields, () for any other class."""
    return tuple(part.name for part in fields(kind)) if is_dataclass(kind) else ()
