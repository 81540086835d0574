"""The shape of a ruleset file, as pydantic models and as the JSON Schema that editors use.

A file is validated here for its structure only; checks.py looks at what the values mean together.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pd_sf_rules.rules.action_schema import ACTIONS
from pd_sf_rules.rules.fields import ALL_EVENT_TYPES, EVENT_FIELDS, INCIDENT_FIELDS
from pd_sf_rules.rules.operations import OPERATIONS
from pd_sf_rules.rules.shapes import ListOrValue, ObjectName, Strict

BARE_ACTIONS = ("acknowledge_incident", "resolve_incident", "reopen_incident")
"""Actions that may be written without parameters: `- reopen_incident:`."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _operation_schema(schema: dict[str, Any]) -> None:
    """Offer every operation, with what it means."""
    schema.pop("type", None)
    schema["enum"] = list(OPERATIONS)
    schema["enumDescriptions"] = [
        each.summary for each in OPERATIONS.values()
    ]  # VS Code shows them


def _condition_schema(schema: dict[str, Any]) -> None:
    """Say what `value` each operation takes, and which event types there are."""
    scalar = {"type": ["string", "number", "boolean"]}
    text = {"type": ["string", "number"]}
    kinds: dict[str, dict[str, Any]] = {
        "scalar": {**scalar, "not": {"const": ""}},
        "text": {**text, "not": {"const": ""}},
        "list": {"type": "array", "minItems": 1, "items": scalar},
        "list_or_text": {"anyOf": [text, {"type": "array", "minItems": 1, "items": text}]},
        "ordered": {"type": ["number", "string"]},
        "pattern": {"type": "string", "minLength": 1},
        "state": {"type": ["string", "number", "boolean", "null"]},
    }
    rules: list[dict[str, Any]] = [
        {
            "if": _operations_that(lambda takes, kind=kind: takes == kind),
            "then": {"required": ["value"], "properties": {"value": value}},
        }
        for kind, value in kinds.items()
    ]
    none_taken = _operations_that(lambda takes: takes == "nothing")
    rules.append({"if": none_taken, "then": {"not": {"required": ["value"]}}})
    typed = {
        "properties": {
            "field": {"const": "event.type"},
            "operation": {"enum": ["equals", "not_equals"]},
        }
    }
    rules.append({"if": typed, "then": {"properties": {"value": {"enum": list(ALL_EVENT_TYPES)}}}})
    schema["allOf"] = rules


def _operations_that(wanted: Any) -> dict[str, Any]:
    names = [each.name for each in OPERATIONS.values() if wanted(each.takes)]
    return {"required": ["operation"], "properties": {"operation": {"enum": names}}}


def _field_schema(schema: dict[str, Any]) -> None:
    """Offer the event and incident fields; a record's field is any dotted name."""
    listed = [f"event.{name}" for name in EVENT_FIELDS]
    listed += [f"incident.{name}" for name in INCIDENT_FIELDS]
    description = schema.get("description", "")
    schema.clear()
    schema["description"] = description
    schema["anyOf"] = [
        {"enum": listed},
        {"type": "string", "pattern": r"^(?!event\.|incident\.)[A-Za-z]\w*(\.[A-Za-z]\w*)+$"},
        {"type": "string", "pattern": r"^incident\.custom_fields\.\w+$"},
    ]


class Condition(Strict):
    """One test of one field."""

    model_config = ConfigDict(json_schema_extra=_condition_schema)

    field: str = Field(
        min_length=1,
        description="Object.Field (Case.Account.Type), event.* or incident.*",
        json_schema_extra=_field_schema,
    )
    operation: str = Field(
        description="How the field is tested.", json_schema_extra=_operation_schema
    )
    value: ListOrValue = Field(
        None, description="What it is compared with; a list for in and not_in."
    )


class AllOf(Strict):
    """Holds if every member holds."""

    all: "list[Member]" = Field(min_length=1, description="Every one of these holds.")


class AnyOf(Strict):
    """Holds if one member holds."""

    any: "list[Member]" = Field(min_length=1, description="At least one of these holds.")


class Not(Strict):
    """Holds if its member does not."""

    not_: "Member" = Field(alias="not", description="This one condition or group does not hold.")


def _which(value: Any) -> str | None:
    """Tell a group from a condition by its keys."""
    if isinstance(value, dict):
        return next((f"<{key}>" for key in ("all", "any", "not") if key in value), "<condition>")
    return None


Member = Annotated[
    Annotated[Condition, Tag("<condition>")]
    | Annotated[AllOf, Tag("<all>")]
    | Annotated[AnyOf, Tag("<any>")]
    | Annotated[Not, Tag("<not>")],
    Discriminator(
        _which,
        custom_error_type="condition_shape",
        custom_error_message="This must be one condition (field, operation, value) or a group.",
    ),
]


def _one_action(action: Any) -> Any:
    """Check that an action is one key, and let `reopen_incident:` stand without parameters."""
    if isinstance(action, dict) and len(action) == 1:
        (kind,) = action
        return {kind: {}} if action[kind] is None and kind in BARE_ACTIONS else action
    problem = "An action is one key, the action's name, with its parameters below it."
    raise PydanticCustomError("action_shape", problem)


def _action_schema(schema: dict[str, Any]) -> None:
    """Offer every action with what it does; one that needs no parameters may stand alone."""
    schema.update(minProperties=1, maxProperties=1)
    for name, model in ACTIONS.items():
        shape = [{"$ref": schema["properties"][name]["$ref"]}]
        if name in BARE_ACTIONS:
            shape.append({"type": "null"})
        schema["properties"][name] = {"description": model.__doc__, "anyOf": shape}


class _ActionBase(Strict):
    """One action: its name, with its parameters below it."""

    model_config = ConfigDict(json_schema_extra=_action_schema)

    _shape = model_validator(mode="before")(_one_action)


def _action_fields() -> dict[str, Any]:
    return {name: (model, Field(None)) for name, model in ACTIONS.items()}


Action: type[_ActionBase] = create_model(
    "Action", __base__=_ActionBase, __doc__=_ActionBase.__doc__, **_action_fields()
)


class RuleModel(Strict):
    """When an event fits, act."""

    name: Name = Field(description="Unique within the file; it appears in explanations.")
    object: ObjectName = Field(description="API name of the sObject: Case, Outage__c.")
    run_on: Literal["salesforce", "pagerduty"] = Field(
        description="salesforce: a record is created or updated. pagerduty: an incident is."
    )
    scope: Literal["all", "created_by_ruleset"] = Field(
        "all", description="created_by_ruleset: only pairs that this ruleset linked."
    )
    stop: bool = Field(False, description="If it matches, no later rule judges this event.")
    when: Member = Field(description="One condition, or a group of them.")
    actions: list[Action] = Field(  # type: ignore[valid-type]
        min_length=1, description="What is done, in this order."
    )


class RulesetFile(Strict):
    """Rules that keep PagerDuty and Salesforce in step."""

    version: Literal[1] = Field(1, description="Version of this format.")
    name: Name = Field(description="Unique among the files of the folder.")
    enabled: bool = Field(False, description="A file without it is off.")
    integration: Name = Field("default", description="Which integration file it belongs to.")
    mode: Literal["live", "shadow"] = Field(
        "live", description="shadow: judged and recorded, never executed."
    )
    rules: list[RuleModel] = Field(min_length=1, description="Judged in this order.")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a ruleset file, for editors."""
    schema: dict[str, Any] = _tidied(RulesetFile.model_json_schema(by_alias=True))
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **schema, "title": "Ruleset of pd-sf-rules"}


def _tidied(schema: Any) -> Any:
    """Return a generated schema without what only Python needs: titles, and null for a key left out."""
    if isinstance(schema, list):
        return [_tidied(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    if isinstance(kept.get("title"), str):
        del kept["title"]
    choices = [each for each in kept.get("anyOf", []) if each != {"type": "null"}]
    if len(choices) == 1 and "default" in schema:
        del kept["anyOf"]
        kept = {**choices[0], **kept}
    return {key: _tidied(value) for key, value in kept.items()}
