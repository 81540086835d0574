"""The closed list of what can be done: which system an action writes to, and what it needs to find there."""

from collections.abc import Mapping

from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Source

CREATE_INCIDENT = "create_incident"
CREATE_RECORD = "create_record"
UPDATE_RECORD = "update_record"
POST_COMMENT = "post_comment"
ADD_NOTE = "add_note"
COPY_COMMENT = "copy_comment_to_note"
COPY_NOTE = "copy_note_to_comment"

INCIDENT_UPDATES = frozenset(
    {
        "acknowledge_incident",
        "resolve_incident",
        "reopen_incident",
        "set_priority",
        "set_urgency",
        "reassign_incident",
    }
)
INCIDENT_EXTRAS = frozenset(
    {
        ADD_NOTE,
        "run_incident_workflow",
        "run_response_play",
        "add_responders",
        "publish_status_update",
        "set_custom_fields",
        COPY_COMMENT,
    }
)
MANY_IN_A_CALL = INCIDENT_UPDATES | {CREATE_RECORD, UPDATE_RECORD, POST_COMMENT, COPY_NOTE}
"""What a service takes many of in one request."""

NOTE_COPIES = frozenset({COPY_COMMENT, COPY_NOTE})

WRITES_TO: Mapping[str, Source] = {
    **dict.fromkeys(INCIDENT_UPDATES | INCIDENT_EXTRAS | {CREATE_INCIDENT}, PAGERDUTY),
    **dict.fromkeys((CREATE_RECORD, UPDATE_RECORD, POST_COMMENT, COPY_NOTE), SALESFORCE),
}


def needs_incident(kind: str) -> bool:
    """Say whether this action acts on an incident that must exist already."""
    return kind in INCIDENT_UPDATES or kind in INCIDENT_EXTRAS


def needs_record(kind: str) -> bool:
    """Say whether this action acts on a record that must exist already."""
    return kind in {UPDATE_RECORD, POST_COMMENT, COPY_NOTE}


def requests_of(kind: str) -> str:
    """Name the requests that an action is made by: a server limits them, and fails them, together.

    PagerDuty limits some by themselves (status updates, say): they must not hold up a page.
    """
    if WRITES_TO[kind] == SALESFORCE:
        return SALESFORCE
    if kind in INCIDENT_UPDATES:
        return f"{PAGERDUTY}:update_incidents"
    return f"{PAGERDUTY}:{kind}"
