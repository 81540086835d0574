"""SOQL text: names are checked, values are escaped, nothing else reaches a query."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice

from pd_sf_rules.errors import RefusedError
from pd_sf_rules.systems.clock import second_text

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*")
_ESCAPES = str.maketrans(
    {
        "\\": "\\\\",
        "'": "\\'",
        '"': '\\"',
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\b": "\\b",
        "\f": "\\f",
        "\0": None,  # has no escape, and no Salesforce text can hold it
    }
)
MAX_IDS = 200

Literal = str | bool | int | float | Decimal | datetime | date | None


def name(text: str) -> str:
    """Return an object name or a field path as it is, or raise RefusedError when it is neither."""
    if not _NAME.fullmatch(text):
        raise RefusedError(
            f"'{text}' is not a Salesforce object or field name.",
            code="INVALID_FIELD",
            hint="Use the API name: letters, digits and underscores, relationships by dots.",
        )
    return text


def names(texts: Iterable[str]) -> str:
    """Return checked field paths as a select list."""
    return ", ".join(name(text) for text in texts)


def literal(value: Literal) -> str:
    """Return a value as a SOQL literal of its own type.

    Text is quoted and escaped, an instant is cut to its whole second in UTC. Raises RefusedError for
    numbers that SOQL cannot write (infinite, not a number).
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value.translate(_ESCAPES)}'"
    if isinstance(value, date):
        return second_text(value) if isinstance(value, datetime) else value.isoformat()
    return _number(value)


def _number(value: float | Decimal) -> str:
    if not math.isfinite(value):
        raise RefusedError(f"{value} cannot be written in a query.", code="MALFORMED_QUERY")
    return str(value) if isinstance(value, int) else f"{value:f}"


def select(fields: Iterable[str], object_name: str, *, where: str, order: str = "") -> str:
    """Return a query over checked names; `where` and `order` are made of checked parts already."""
    # Salesforce refuses a field that is selected twice, however it is spelled.
    once = {field.lower(): field for field in reversed(list(fields))}
    parts = ["SELECT", names([*reversed(once.values())]), "FROM", name(object_name), "WHERE", where]
    return " ".join([*parts, "ORDER BY", order] if order else parts)


def between(start: datetime, end: datetime) -> str:
    """Return the condition that a SystemModstamp lies in a window, widened to whole seconds."""
    upper = second_text(end, up=True)
    return f"SystemModstamp >= {second_text(start)} AND SystemModstamp <= {upper}"


def id_list(ids: Iterable[str]) -> str:
    """Return ids as the parenthesised right side of `IN`."""
    return "(" + ", ".join(literal(one) for one in ids) + ")"


def chunks(ids: Iterable[str], size: int = MAX_IDS) -> Iterator[Sequence[str]]:
    """Yield ids, each once, in groups that fit a request line."""
    rest = iter(dict.fromkeys(ids))
    while group := list(islice(rest, size)):
        yield group
