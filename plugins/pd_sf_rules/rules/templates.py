"""Text parameters as Jinja templates in a sandbox: names, filters, conditions, and nothing that can run away.

Names: `record`, `old` (the record's or, in a PagerDuty rule, the incident's earlier values), `incident`, `event`,
`rule`, `links`. A blank field shows as nothing; a name that is not known is an error, never an empty page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pd_sf_rules.model import PAGERDUTY, Event
from pd_sf_rules.rules import fields
from pd_sf_rules.rules.diagnostics import did_you_mean
from pd_sf_rules.rules.template_errors import (
    MAX_OUTPUT,
    MAX_TEMPLATE,
    TemplateError,
    UnknownNameError,
    too_long,
)
from pd_sf_rules.rules.template_fields import Fields, IncidentFields, unknown_hint
from pd_sf_rules.rules.template_filters import FILTERS, TESTS, bounded, join_text, text_of
from pd_sf_rules.rules.template_syntax import JOIN, names_in, prepared
from pd_sf_rules.rules.values import as_text

RULE_NAMES = ("name", "object", "ruleset", "version")
LINK_NAMES = ("record_url", "incident_url")
TYPED_PARAMS = ("fields", "custom_fields")
"""Parameters in which a template that is one expression keeps the type of its value."""

_MAX_INT_BITS = 512
_CLOSED: Mapping[str, tuple[str, ...]] = {
    "event": tuple(fields.EVENT_FIELDS),
    "rule": RULE_NAMES,
    "links": LINK_NAMES,
}
_TOP = ("record", "old", "incident", *_CLOSED)


class _Unknown(jinja2.StrictUndefined):
    """An undefined name; any use of it but `is defined` and `default` is an error."""

    __slots__ = ()


class _Environment(ImmutableSandboxedEnvironment):
    """Reaches into groups of fields and nothing else; arithmetic cannot make huge values."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})
    intercepted_unops = frozenset({"+", "-"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Refuse: fields are reached by path, and no other value has attributes here."""
        problem = f"{type(obj).__name__} has no '.{attribute}' in a template."
        raise TemplateError(problem, hint="Use a filter instead.")

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return a field by its path, or a part of a text."""
        if isinstance(obj, Fields) and isinstance(argument, str):
            try:
                return obj.lookup(argument)
            except KeyError:
                return _Unknown(hint=unknown_hint(obj, argument))
        text = text_of(obj)
        if isinstance(argument, slice):
            return text[argument]
        if isinstance(argument, int) and not isinstance(argument, bool):
            return text[argument : argument + 1 or None]
        raise TemplateError("Square brackets hold a field's name, a number or a slice.")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute with numbers; `+` also joins texts."""
        if operator == "+" and (isinstance(left, str) or isinstance(right, str)):
            return join_text([left, right])
        for operand in (left, right):
            _refuse_not_a_number(operand, operator)
        return super().call_binop(context, operator, left, right)

    def call_unop(self, context: Any, operator: str, arg: Any) -> Any:
        """Negate numbers only."""
        _refuse_not_a_number(arg, operator)
        return super().call_unop(context, operator, arg)


def _refuse_not_a_number(operand: Any, operator: str) -> None:
    if isinstance(operand, jinja2.Undefined):
        str(operand)
    if isinstance(operand, bool) or not isinstance(operand, int | float):
        problem = f"'{operator}' takes numbers, not {as_text(operand)[:50]!r}."
        raise TemplateError(problem, hint="Use `~` to join texts, or `| int` on a text.")
    if isinstance(operand, int) and operand.bit_length() > _MAX_INT_BITS:
        raise TemplateError("The number grows too large.")


def _finalize(value: Any) -> str:
    return text_of(value)


def _environment() -> _Environment:
    environment = _Environment(
        undefined=_Unknown,
        finalize=_finalize,
        autoescape=False,
        keep_trailing_newline=True,
        optimized=False,
        cache_size=0,
    )
    environment.globals.clear()
    environment.filters = {**FILTERS, JOIN: join_text}
    environment.tests = {name: environment.tests[name] for name in TESTS}
    return environment


_ENVIRONMENT = _environment()


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A template ready to run. `single` is set where it is exactly one expression."""

    names: frozenset[str]
    whole: jinja2.Template
    single: jinja2.Template | None


def is_template(text: str) -> bool:
    """Tell whether a text holds anything to render."""
    return "{{" in text or "{%" in text or "{#" in text


@lru_cache(maxsize=4096)
def _compiled(text: str) -> _Compiled:
    """Return the checked and compiled template. Raises TemplateError."""
    if len(text) > MAX_TEMPLATE:
        raise TemplateError(
            f"The template is longer than {MAX_TEMPLATE:,} characters.", hint="Shorten it."
        )
    try:
        tree = prepared(_ENVIRONMENT.parse(text))
        names = frozenset(names_in(tree))
        single = _single(tree)
        return _Compiled(names, _ENVIRONMENT.from_string(tree), single)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"The template cannot be read: {error.message}") from error
    except (RecursionError, MemoryError, ValueError, SyntaxError, OverflowError) as error:
        raise TemplateError("The template is too involved.", hint="Simplify it.") from error


def _single(tree: nodes.Template) -> jinja2.Template | None:
    """Return the template's only expression as a template that leaves its value in `result`, or None."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return None
    pieces = tree.body[0].nodes
    if len(pieces) != 1 or isinstance(pieces[0], nodes.TemplateData):
        return None
    assign = nodes.Assign(nodes.Name("result", "store", lineno=1), pieces[0], lineno=1)
    return _ENVIRONMENT.from_string(nodes.Template([assign], lineno=1))


def names(text: str) -> frozenset[str]:
    """Return the dotted names a template uses (`record.Account.Name`). Raises TemplateError."""
    return _compiled(text).names if is_template(text) else frozenset()


def check(text: str) -> None:
    """Raise TemplateError for what can be known without a record: syntax, and names of the closed groups."""
    for name in sorted(names(text)):
        _check_name(name)


def _check_name(name: str) -> None:
    """Refuse a name that no record or incident could have."""
    head, _, path = name.partition(".")
    if head not in _TOP:
        near = did_you_mean(head, _TOP) or f"Start it with one of: {', '.join(_TOP)}."
        raise UnknownNameError(f"There is no '{head}' in a template.", hint=near)
    if not path:
        raise TemplateError(f"'{head}' is a group of fields.", hint=f"Name one: {head}.Something.")
    if head in _CLOSED and path not in _CLOSED[head]:
        near = did_you_mean(path, _CLOSED[head]) or f"Use one of: {', '.join(_CLOSED[head])}."
        raise UnknownNameError(f"There is no '{name}' in a template.", hint=near)
    if head == "incident":
        try:
            fields.incident_field(path)
        except fields.FieldError as error:
            raise UnknownNameError(str(error), hint=error.hint) from error


def render(text: str, context: Mapping[str, Any]) -> str:
    """Return the rendered text. Raises TemplateError; UnknownNameError names what is not known."""
    if not is_template(text):
        return text
    template = _compiled(text).whole
    rendered: str = _guarded(text, lambda: _joined(template, context))
    return rendered


def _joined(template: jinja2.Template, context: Mapping[str, Any]) -> str:
    pieces: list[str] = []
    size = 0
    for piece in template.root_render_func(template.new_context(dict(context))):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_OUTPUT:
            raise too_long()
    return "".join(pieces)


def render_value(text: str, context: Mapping[str, Any]) -> Any:
    """Return the rendered text, or the value itself (number, boolean, null) where the text is one expression."""
    if not is_template(text):
        return text
    single = _compiled(text).single
    return (
        render(text, context)
        if single is None
        else _guarded(text, lambda: _result(single, context))
    )


def _result(single: jinja2.Template, context: Mapping[str, Any]) -> Any:
    scope = single.new_context(dict(context))
    for _ in single.root_render_func(scope):
        pass
    value = scope.vars["result"]
    if value is None or isinstance(value, int | float):
        return value
    return bounded(text_of(value))


def _guarded(text: str, run: Any) -> Any:
    """Run a rendering; whatever it trips over comes out as a TemplateError that quotes the template."""
    quoted = text if len(text) <= 80 else text[:77] + "..."
    try:
        return run()
    except TemplateError as error:
        raise type(error)(
            f"In the template {quoted!r}: {error.message}", hint=error.hint
        ) from error
    except jinja2.UndefinedError as error:
        raise UnknownNameError(f"In the template {quoted!r}: {error.message}") from error
    except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        hint = "Test a blank field first, or give it a default."
        raise TemplateError(f"In the template {quoted!r}: {error}.", hint=hint) from error


def render_params(params: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with every text in them rendered; other values stay. Raises TemplateError."""
    return {
        key: _rendered(value, context, typed=key in TYPED_PARAMS) for key, value in params.items()
    }


def _rendered(value: Any, context: Mapping[str, Any], *, typed: bool) -> Any:
    if isinstance(value, str):
        return render_value(value, context) if typed else render(value, context)
    if isinstance(value, Mapping):
        return {key: _rendered(inner, context, typed=typed) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rendered(inner, context, typed=typed) for inner in value]
    return value


def template_context(
    event: Event, *, rule: Mapping[str, Any], links: Mapping[str, str]
) -> dict[str, Fields]:
    """Return the names of a template for one event.

    `rule` holds any of RULE_NAMES, `links` any of LINK_NAMES; what is missing there is blank.
    """
    old = event.old_incident if event.source == PAGERDUTY else event.old
    current = event.incident if event.source == PAGERDUTY else event.record
    return {
        "record": Fields("record", event.record, lenient=not event.record),
        "old": Fields("old", {**dict.fromkeys(current), **old}, lenient=not (current or old)),
        "incident": IncidentFields("incident", event.incident),
        "event": Fields("event", fields.event_values(event)),
        "rule": Fields("rule", {**dict.fromkeys(RULE_NAMES), **rule}),
        "links": Fields("links", {**dict.fromkeys(LINK_NAMES), **links}),
    }
