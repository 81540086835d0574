"""Notes of an incident. Log entries of notes carry no note id, so the notes themselves are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pd_sf_rules.errors import RefusedError, RetryableError
from pd_sf_rules.systems.clock import parse_instant
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.pagerduty.incidents import incident_path, name_of


@dataclass(frozen=True, slots=True)
class Note:
    """One note. `agent` is the author's name and `agent_id` their id, "" where not told."""

    id: str
    incident_id: str
    content: str
    agent: str
    agent_id: str
    created_at: datetime


def notes_of(client: PagerDutyClient, incident_id: str) -> list[Note]:
    """Return all notes of an incident, oldest first (the list is not paged).

    Raises SkippableError when PagerDuty does not know the incident.
    """
    body = client.get(incident_path(incident_id, "notes"), doing=f"the notes of {incident_id}")
    rows = body.get("notes") if isinstance(body, Mapping) else None
    if not isinstance(rows, list):
        raise RetryableError(f"PagerDuty's answer to the notes of {incident_id} has no 'notes'.")
    notes = [_note(incident_id, row) for row in rows if isinstance(row, Mapping)]
    return sorted(notes, key=lambda note: note.created_at)


def _note(incident_id: str, row: Mapping[str, object]) -> Note:
    user = row.get("user")
    author = user if isinstance(user, Mapping) else {}
    try:
        created_at = parse_instant(str(row.get("created_at")))
    except ValueError:
        message = f"Note {row.get('id')} of {incident_id}: created_at is not an instant."
        raise RefusedError(message, status=200) from None
    return Note(
        id=str(row.get("id") or ""),
        incident_id=incident_id,
        content=str(row.get("content") or ""),
        agent=name_of(author) if author else "",
        agent_id=str(author.get("id") or ""),
        created_at=created_at,
    )
