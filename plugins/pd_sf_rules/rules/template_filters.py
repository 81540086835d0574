"""The filters a template may use. All take blank (null) as empty text, and none can make a text without bound."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from jinja2 import Undefined

from pd_sf_rules.rules.template_errors import MAX_OUTPUT, TemplateError, too_long
from pd_sf_rules.rules.values import as_instant, as_number, as_text, blank


def bounded(text: str) -> str:
    """Return the text, or raise TemplateError where it is longer than a rendering may be."""
    if len(text) > MAX_OUTPUT:
        raise too_long()
    return text


def known(value: Any) -> Any:
    """Return the value; raises the undefined's own error where a name is not known."""
    if isinstance(value, Undefined):
        str(value)
    return value


def text_of(value: Any) -> str:
    """Return what a value shows as; raises for an unknown name and for a whole group of fields."""
    known(value)
    if not (value is None or isinstance(value, str | int | float | bool | list | tuple)):
        problem = "A template can show a field, not a whole group of fields."
        raise TemplateError(problem, hint="Name one of its fields.")
    return bounded(as_text(value))


def join_text(pieces: list[Any]) -> str:
    """Return the pieces of a `~` joined, blank ones as nothing."""
    return bounded("".join(text_of(piece) for piece in pieces))


def _on_text(change: Callable[[str], str]) -> Callable[[Any], str]:
    return lambda value: bounded(change(text_of(value)))


def _default(value: Any, other: Any = "", _blank_too: object = None) -> Any:
    """Unlike Jinja's own, a blank field takes the default too: a null is what Salesforce sends for it."""
    return other if isinstance(value, Undefined) or blank(value) else value


def _replace(value: Any, old: Any, new: Any) -> str:
    text, before, after = text_of(value), text_of(old), text_of(new)
    if len(text) + (text.count(before) * (len(after) - len(before))) > MAX_OUTPUT:
        raise too_long()
    return text.replace(before, after)


def _truncate(value: Any, length: int = 255, end: str = "…") -> str:
    text = text_of(value)
    ending = text_of(end)
    if len(text) <= length:
        return text
    return text[: max(0, length - len(ending))] + ending[: max(0, length)]


def _number(value: Any) -> float:
    number = as_number(known(value))
    if number is None:
        problem = f"{as_text(value)[:50]!r} is not a number."
        raise TemplateError(problem, hint="Test it first, or use default(0) for a blank field.")
    return number


def _round(value: Any, digits: int = 0) -> float:
    rounded = round(_number(value), max(-15, min(15, int(digits))))
    return int(rounded) if digits <= 0 else rounded


def _date(value: Any, form: str = "%Y-%m-%d") -> str:
    """Show an ISO 8601 date or date and time by a strftime form, in UTC; blank stays blank."""
    if blank(known(value)):
        return ""
    instant: datetime | None = as_instant(value)
    if instant is None:
        problem = f"{as_text(value)[:50]!r} is not a date."
        raise TemplateError(problem, hint="The date filter takes a date field.")
    if any(char.isdigit() for char in form):  # glibc pads `%999999d`
        raise TemplateError("A date form takes no digits.", hint="Write it like '%d.%m.%Y'.")
    return bounded(instant.strftime(form[:100]))


def _join(value: Any, between: str = ", ") -> str:
    pieces = value if isinstance(value, list | tuple) else text_of(value).split(";")
    return bounded(text_of(between).join(text_of(piece) for piece in pieces))


FILTERS: Mapping[str, Callable[..., Any]] = {
    "abs": lambda value: abs(_number(value)),
    "capitalize": _on_text(str.capitalize),
    "count": lambda value: len(text_of(value)),
    "d": _default,
    "date": _date,
    "default": _default,
    "first": lambda value: text_of(value)[:1],
    "float": _number,
    "int": lambda value: int(_number(value)),
    "join": _join,
    "last": lambda value: text_of(value)[-1:],
    "length": lambda value: len(text_of(value)),
    "lower": _on_text(str.lower),
    "replace": _replace,
    "round": _round,
    "string": text_of,
    "title": _on_text(str.title),
    "trim": _on_text(str.strip),
    "truncate": _truncate,
    "upper": _on_text(str.upper),
}

TESTS = (
    "defined", "undefined", "none", "string", "number", "boolean", "true", "false", "in",
    "eq", "equalto", "==", "ne", "!=", "lt", "<", "lessthan", "le", "<=",
    "gt", ">", "greaterthan", "ge", ">=",
)  # fmt: skip

METHODS: Mapping[str, str] = {
    "upper": "upper",
    "lower": "lower",
    "title": "title",
    "capitalize": "capitalize",
    "strip": "trim",
    "replace": "replace",
}
"""Text methods that people write by habit, and the filter that each one is turned into."""
