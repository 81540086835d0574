"""Every action of a rule as one model each: its parameters, which are required, and what each one means.

Text is a Jinja template (see templates.py) unless its description says otherwise.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic import model_validator as validates
from pydantic_core import PydanticCustomError

from pd_sf_rules.rules.fields import FIELD_NAME, OBJECT_NAME
from pd_sf_rules.rules.templates import is_template


class Strict(BaseModel):
    """A mapping of a rule file: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=False)]


def _given(value: Any) -> Any:
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
MaybeText = Annotated[Text | None, BeforeValidator(_given)]
FieldValue = Annotated[Any, BeforeValidator(_scalar), WithJsonSchema({"type": _SCALAR_TYPES})]
ListOrValue = Annotated[
    Any,
    BeforeValidator(_scalar_or_list),
    WithJsonSchema(
        {"anyOf": [{"type": _SCALAR_TYPES}, {"type": "array", "items": {"type": _SCALAR_TYPES}}]}
    ),
]


def _listed(value: Any) -> Any:
    """Let one text stand for a list of one."""
    return [value] if isinstance(value, str) else value


_ONE_OR_MORE = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
    ]
}
Names = Annotated[
    list[Text],
    BeforeValidator(_listed),
    Field(min_length=1, json_schema_extra=lambda schema: _replace_with(schema, _ONE_OR_MORE)),
]

MaybeNames = Annotated[Names | None, BeforeValidator(_given)]


def _replace_with(schema: dict[str, Any], other: dict[str, Any]) -> None:
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
        json_schema_extra=lambda schema: _replace_with(
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


class ConferenceBridge(Strict):
    """How responders meet."""

    conference_number: MaybeText = Field(None, description="The phone number to dial.")
    conference_url: MaybeText = Field(None, description="The address of the meeting.")


class CreateIncident(Strict):
    """Create an incident if the record has no linked open incident, and link the two."""

    service: Text = Field(description="Service that is paged: its id or exact name.")
    title: Text = Field(description="Title of the incident.")
    urgency: Annotated[Urgency | None, BeforeValidator(_given)] = Field(
        None, description="high or low; default: the service's own."
    )
    priority: MaybeText = Field(None, description="Priority: its id or name, such as P1.")
    details: MaybeText = Field(None, description="Body of the incident, as text.")
    escalation_policy: MaybeText = Field(
        None, description="Escalation policy, id or exact name, instead of the service's own."
    )
    assign_to: Annotated[
        list[Text] | None,
        BeforeValidator(lambda value: _listed(_given(value))),
        Field(
            min_length=1,
            max_length=1,
            json_schema_extra=lambda schema: _replace_with(schema, _ONE_OR_MORE),
        ),
    ] = Field(None, description="The user to assign, id or e-mail, instead of a policy.")
    incident_type: MaybeText = Field(None, description="Name of the incident type.")
    custom_fields: Annotated[CustomFields | None, BeforeValidator(_given)] = Field(
        None, description="Custom fields: name and value."
    )
    conference_bridge: Annotated[ConferenceBridge | None, BeforeValidator(_given)] = Field(
        None, description="How responders meet."
    )
    when_linked: Literal["skip", "any_open"] = Field(
        "skip",
        description="skip: not if an open incident is linked. any_open: create one all the same.",
    )

    @validates(mode="after")
    def _one_assignment(self) -> "CreateIncident":
        if self.escalation_policy and self.assign_to:
            problem = "Give either 'assign_to' or 'escalation_policy', not both."
            raise PydanticCustomError("exclusive", problem)
        return self


class AcknowledgeIncident(Strict):
    """Acknowledge the linked open incidents; a resolved one is never re-opened."""

    resolution: MaybeText = Field(None, description="A note to add.")


class ResolveIncident(Strict):
    """Resolve the linked open incidents."""

    resolution: MaybeText = Field(None, description="A note that says how it was resolved.")


class SetPriority(Strict):
    """Set the priority of the linked open incidents."""

    priority: Text = Field(description="Priority: its id or name, such as P1.")


class SetUrgency(Strict):
    """Set the urgency of the linked open incidents."""

    urgency: Urgency = Field(description="high or low.")


class ReassignIncident(Strict):
    """Reassign the linked open incidents."""

    users: MaybeNames = Field(None, description="Users: ids or e-mails.")
    escalation_policy: MaybeText = Field(None, description="Escalation policy: id or exact name.")

    @validates(mode="after")
    def _one_target(self) -> "ReassignIncident":
        if (self.users is None) == (self.escalation_policy is None):
            problem = "Give either 'users' or 'escalation_policy', and not both."
            raise PydanticCustomError("exclusive", problem)
        return self


class RunIncidentWorkflow(Strict):
    """Start an incident workflow on the linked open incidents."""

    workflow: Text = Field(description="Workflow: its id or exact name.")


class RunResponsePlay(Strict):
    """Start the workflow that the integration file maps this response play to."""

    response_play: Text = Field(description="A key of response_plays in the integration file.")


class AddResponders(Strict):
    """Ask more people to help with the linked open incidents."""

    users: MaybeNames = Field(None, description="Users: ids or e-mails.")
    escalation_policies: MaybeNames = Field(None, description="Policies: ids or exact names.")
    message: MaybeText = Field(None, description="What they are asked for.")

    @validates(mode="after")
    def _somebody(self) -> "AddResponders":
        if self.users is None and self.escalation_policies is None:
            raise PydanticCustomError("exclusive", "Give 'users', 'escalation_policies', or both.")
        return self


class AddNote(Strict):
    """Add a note to the linked incidents."""

    content: Text = Field(description="The note.")


class PublishStatusUpdate(Strict):
    """Publish a status update to the incident's subscribers."""

    message: Text = Field(description="The status update.")


class SetCustomFields(Strict):
    """Set custom fields of the linked incidents."""

    fields: CustomFields = Field(description="Custom fields: name and value.")


class ReopenIncident(Strict):
    """Re-open the linked resolved incidents. No other action does."""


class UpdateRecord(Strict):
    """Set fields of the linked records of the rule's object."""

    fields: RecordFields = Field(description="Fields: API name, and value or template.")


class CreateRecord(Strict):
    """Create a record, unless one of that object is linked, and link it to the incident."""

    object: Annotated[ObjectName | None, BeforeValidator(_given)] = Field(
        None, description="API name; default: the rule's object."
    )
    fields: RecordFields = Field(description="Fields: API name, and value or template.")
    when_linked: Literal["skip", "create"] = Field(
        "skip", description="skip: not if a record of that object is linked. create: all the same."
    )


class PostComment(Strict):
    """Comment on the linked record."""

    body: Text = Field(description="The comment.")
    visibility: Literal["internal", "public"] = Field(
        "internal", description="public: customers can read it."
    )


ACTIONS: dict[str, type[Strict]] = {
    "create_incident": CreateIncident,
    "acknowledge_incident": AcknowledgeIncident,
    "resolve_incident": ResolveIncident,
    "set_priority": SetPriority,
    "set_urgency": SetUrgency,
    "reassign_incident": ReassignIncident,
    "run_incident_workflow": RunIncidentWorkflow,
    "run_response_play": RunResponsePlay,
    "add_responders": AddResponders,
    "add_note": AddNote,
    "publish_status_update": PublishStatusUpdate,
    "set_custom_fields": SetCustomFields,
    "reopen_incident": ReopenIncident,
    "update_record": UpdateRecord,
    "create_record": CreateRecord,
    "post_comment": PostComment,
}
"""The closed vocabulary: the key of an action in a file, and the model of its parameters."""


def params_of(action: Strict) -> dict[str, Any]:
    """Return an action's parameters as plain values: what was written, with defaults filled in."""
    dumped = action.model_dump()
    return {key: value for key, value in dumped.items() if value is not None}
