"""Every action of a rule as one model each: its parameters, which are required, and what each one means.

Text is a Jinja template (see templates.py) unless its description says otherwise.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic import model_validator as validates
from pydantic_core import PydanticCustomError

from pd_sf_rules.rules.shapes import (
    ONE_OR_MORE,
    CustomFields,
    MaybeNames,
    MaybeText,
    ObjectName,
    RecordFields,
    Strict,
    Text,
    Urgency,
    given,
    listed,
    replace_with,
)


class ConferenceBridge(Strict):
    """How responders meet."""

    conference_number: MaybeText = Field(None, description="The phone number to dial.")
    conference_url: MaybeText = Field(None, description="The address of the meeting.")


class CreateIncident(Strict):
    """Create an incident if the record has no linked open incident, and link the two."""

    service: Text = Field(description="Service that is paged: its id or exact name.")
    title: Text = Field(description="Title of the incident.")
    urgency: Annotated[Urgency | None, BeforeValidator(given)] = Field(
        None, description="high or low; default: the service's own."
    )
    priority: MaybeText = Field(None, description="Priority: its id or name, such as P1.")
    details: MaybeText = Field(None, description="Body of the incident, as text.")
    escalation_policy: MaybeText = Field(
        None, description="Escalation policy, id or exact name, instead of the service's own."
    )
    assign_to: Annotated[
        list[Text] | None,
        BeforeValidator(lambda value: listed(given(value))),
        Field(
            min_length=1,
            max_length=1,
            json_schema_extra=lambda schema: replace_with(schema, ONE_OR_MORE),
        ),
    ] = Field(None, description="The user to assign, id or e-mail, instead of a policy.")
    incident_type: MaybeText = Field(None, description="Name of the incident type.")
    custom_fields: Annotated[CustomFields | None, BeforeValidator(given)] = Field(
        None, description="Custom fields: name and value."
    )
    conference_bridge: Annotated[ConferenceBridge | None, BeforeValidator(given)] = Field(
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

    object: Annotated[ObjectName | None, BeforeValidator(given)] = Field(
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
