"""One change event: of which object, what happened, and when. The rest of it is never read.

Fields and words: Change Data Capture Developer Guide, "Change Event Header Fields".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pd_sf_rules.systems.salesforce.pubsub.avro import AvroError, read_first_field

LONGEST_SCHEMA = 4 * 1024 * 1024
GAP = "GAP_"


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """`change` is Salesforce's word: CREATE, UPDATE, DELETE, UNDELETE, or one with GAP_ before it."""

    object_name: str
    change: str
    record_ids: tuple[str, ...]
    committed_at: datetime
    origin: str

    @property
    def is_gap(self) -> bool:
        """Say whether Salesforce could not tell what changed: GAP_OVERFLOW may be any record of the object."""
        return self.change.startswith(GAP)


def topic_of(object_name: str) -> str:
    """Return the channel of one object's change events: /data/CaseChangeEvent, /data/Deal__ChangeEvent."""
    stem = object_name.removesuffix("__c")
    return f"/data/{stem}{'' if stem == object_name else '__'}ChangeEvent"


def parsed_schema(text: str) -> Mapping[str, Any]:
    """Return what is read of an event's schema, its first field: a whole one is megabytes. Raises AvroError."""
    if len(text) > LONGEST_SCHEMA:
        raise AvroError("The schema is too large.")
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        raise AvroError("The schema is no JSON.") from None
    if not isinstance(schema, dict):
        raise AvroError("The schema is no record.")
    fields = schema.get("fields")
    return {"fields": fields[:1] if isinstance(fields, list) else []}


def read_event(schema: Mapping[str, Any], payload: bytes) -> ChangeEvent:
    """Return what the header tells, which comes first in every change event. Raises AvroError."""
    header = read_first_field(schema, payload)
    try:
        return ChangeEvent(
            object_name=str(header["entityName"]),
            change=str(header["changeType"]),
            record_ids=tuple(map(str, header["recordIds"])),
            committed_at=datetime.fromtimestamp(header["commitTimestamp"] / 1000, UTC),
            origin=str(header["changeOrigin"]),
        )
    except (LookupError, TypeError, ValueError, OverflowError, OSError) as error:
        raise AvroError(f"The event has no header ({type(error).__name__}).") from None
