"""Notes on incidents: list, add, edit, delete. Log entries of notes carry no note id."""

import json
from collections.abc import Mapping
from typing import Any

from sandbox.pagerduty import entries, incidents, rendering, webhooks
from sandbox.pagerduty.shapes import Actor, Doc, Refusal, invalid, not_found
from sandbox.pagerduty.state import PagerDutyState

MAX_NOTES = 2000
MAX_LENGTH = 65_535
SOURCE = "The PagerDuty website or APIs"


def shown(state: PagerDutyState, doc: Mapping[str, Any]) -> Doc:
    """A note as REST shows it."""
    return dict(rendering.expand(state, doc))


def of_incident(state: PagerDutyState, incident_id: str) -> list[Doc]:
    """All notes of an incident, newest first; raises Refusal 404 for an unknown incident."""
    doc = incidents.get(state, incident_id)
    sql = "SELECT doc FROM notes WHERE incident_id = ? ORDER BY seq DESC"
    return state.store.docs(sql, (doc["id"],))


def _content(body: Any) -> str:
    content = body.get("content") if isinstance(body, Mapping) else None
    if not isinstance(content, str) or not content.strip():
        raise invalid("Content can't be blank")
    if len(content) > MAX_LENGTH:
        raise invalid(f"Content is too long (maximum is {MAX_LENGTH} characters)")
    return content


def add(state: PagerDutyState, actor: Actor, incident_id: str, body: Any) -> Doc:
    """POST a note: stored, logged as annotate, announced as incident.annotated."""
    with state.transaction():
        doc = incidents.get(state, incident_id)
        content = _content(body)
        sql = "SELECT COUNT(*) FROM notes WHERE incident_id = ?"
        if state.store.scalar(sql, (doc["id"],)) >= MAX_NOTES:
            raise Refusal(400, 2019, "Product Limit Reached", [f"At most {MAX_NOTES} notes"])
        entries.record(
            state, doc, "annotate", actor, "Note added",
            channel={"type": "note", "summary": content},
        )  # fmt: skip
        doc["updated_at"] = state.stamp()
        incidents.save(state, doc)
        return store(state, actor, doc, content)


def store(state: PagerDutyState, actor: Actor, doc: Mapping[str, Any], content: str) -> Doc:
    """Keep the note and announce it, without a log entry: how a resolution text arrives."""
    note = {
        "id": state.new_id("P", 14),
        "user": actor.pointer,
        "channel": {"summary": SOURCE},
        "content": content,
        "created_at": state.stamp(),
        "updated_at": state.stamp(),
    }
    state.store.execute(
        "INSERT INTO notes (id, incident_id, doc) VALUES (?, ?, ?)",
        (note["id"], doc["id"], json.dumps(note)),
    )
    data = {"id": note["id"], "content": content, "trimmed": False, "type": "incident_note"}
    webhooks.announce(state, "incident.annotated", doc, actor, data)
    return note


def _find(state: PagerDutyState, incident_id: str, note_id: str) -> Doc:
    for note in of_incident(state, incident_id):
        if note["id"] == note_id:
            return note
    raise not_found("Note")


def edit(state: PagerDutyState, incident_id: str, note_id: str, body: Any) -> Doc:
    """PUT a note's content; nothing is logged or announced."""
    with state.transaction():
        note = _find(state, incident_id, note_id)
        note["content"] = _content(body)
        note["updated_at"] = state.stamp()
        state.store.execute("UPDATE notes SET doc = ? WHERE id = ?", (json.dumps(note), note_id))
    return note


def delete(state: PagerDutyState, incident_id: str, note_id: str) -> None:
    """DELETE a note; nothing is logged or announced."""
    with state.transaction():
        _find(state, incident_id, note_id)
        state.store.execute("DELETE FROM notes WHERE id = ?", (note_id,))
