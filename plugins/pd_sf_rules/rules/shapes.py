"""The kinds of value that the keys of a rule file take, as pydantic types that refuse what only looks like one."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from pd_sf_rules.rules.fields import FIELD_NAME, OBJECT_NAME
from pd_sf_rules.rules.templates import is_template


class Strict(BaseModel):
    """A mapping of a rule file: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=False)]


def given(value: Any) -> Any:
    """Refuse a key whose value was left out."""
    if value is None:
        raise PydanticCustomError("empty", "This is empty.")
    return value


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise PydanticCustomError(
        "scalar", "This must be one value: text, a number, true, false or null."
    )


def _scalar_or_list(value: Any) -> Any:
    for each in value if isinstance(value, list) else [value]:
        _scalar(each)
    return value


_SCALAR_TYPES = ["string", "number", "boolean", "null"]
MaybeText = Annotated[Text | None, BeforeValidator(given)]
FieldValue = Annotated[Any, BeforeValidator(_scalar), WithJsonSchema({"type": _SCALAR_TYPES})]
ListOrValue = Annotated[
    Any,
    BeforeValidator(_scalar_or_list),
    WithJsonSchema(
        {"anyOf": [{"type": _SCALAR_TYPES}, {"type": "array", "items": {"type": _SCALAR_TYPES}}]}
    ),
]


def listed(value: Any) -> Any:
    """Let one text stand for a list of one."""
    return [value] if isinstance(value, str) else value


ONE_OR_MORE = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
    ]
}
Names = Annotated[
    list[Text],
    BeforeValidator(listed),
    Field(min_length=1, json_schema_extra=lambda schema: replace_with(schema, ONE_OR_MORE)),
]

MaybeNames = Annotated[Names | None, BeforeValidator(given)]


def replace_with(schema: dict[str, Any], other: dict[str, Any]) -> None:
    """Replace a generated schema by what the file may really hold, keeping its description."""
    kept = {key: schema[key] for key in ("description", "title", "default") if key in schema}
    schema.clear()
    schema.update(other, **kept)


def _urgency(value: str) -> str:
    if value in {"high", "low"} or is_template(value):
        return value
    raise PydanticCustomError(
        "urgency", "The urgency is 'high' or 'low', not '{value}'.", {"value": value}
    )


Urgency = Annotated[
    str,
    AfterValidator(_urgency),
    Field(
        json_schema_extra=lambda schema: replace_with(
            schema, {"anyOf": [{"enum": ["high", "low"]}, {"type": "string", "pattern": r"\{[{%]"}]}
        )
    ),
]


def _field_names(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse field names that Salesforce could not write: relationships, `Case.Status`."""
    for name in value:
        if not FIELD_NAME.fullmatch(name):
            hint = "write the field's own API name" if "." in name else "use its API name"
            problem = "'{name}' is not a field that can be set: {hint}."
            raise PydanticCustomError("field_name", problem, {"name": name, "hint": hint})
    return value


RecordFields = Annotated[dict[str, FieldValue], Field(min_length=1), AfterValidator(_field_names)]
CustomFields = Annotated[dict[str, ListOrValue], Field(min_length=1)]
ObjectName = Annotated[str, StringConstraints(pattern=f"^{OBJECT_NAME.pattern}$")]
