"""Comments and notes of linked pairs that never crossed."""

from collections.abc import Sequence
from datetime import datetime

from pd_sf_rules.errors import SkippableError
from pd_sf_rules.ledger import cursors, notes
from pd_sf_rules.ledger.cursors import Cursor
from pd_sf_rules.model import PAGERDUTY, SALESFORCE
from pd_sf_rules.pipeline.drift.findings import Finding, Look, Pairs
from pd_sf_rules.pipeline.pull_notes import (
    COMMENT_STREAM,
    COMMENTED_OBJECT,
    NOTE_STREAM,
    record_comment,
    record_note,
    resolution_digest,
)
from pd_sf_rules.planning.values import text_digest
from pd_sf_rules.planning.windows import OVERLAP
from pd_sf_rules.systems.pagerduty.notes import Note, notes_of
from pd_sf_rules.systems.salesforce import soql
from pd_sf_rules.systems.salesforce.notes import Comment, comments_on


def compare_comments(look: Look, pairs: Pairs) -> None:
    """Find Case comments that never crossed, 200 Cases a call; plan their copies if told to."""
    cursor = _cursor(look, COMMENT_STREAM)
    if cursor is None or not look.run.integration.comments.salesforce_to_pagerduty:
        return
    ours = look.run.salesforce.user_id
    for ids in soql.chunks(i for i in pairs.records_of(COMMENTED_OBJECT) if i in look.records):
        if not look.may_go_on():
            return
        for page in comments_on(look.run.salesforce, ids):
            due = [
                one
                for one in page
                if one.agent_id != ours and _is_missed(one.created_at, one.stamp, cursor)
            ]
            _tell_comments(look, pairs, due)


def _tell_comments(look: Look, pairs: Pairs, due: Sequence[Comment]) -> None:
    with look.run.ledger.begin() as c:
        known = notes.known_notes(c, look.run.name, SALESFORCE, [one.id for one in due])
        for comment in due:
            if comment.id in known:
                continue
            told = pairs.of_record(comment.record_id)
            look.findings.append(
                Finding("comment_not_copied", *told, field=comment.id, repaired=look.repair)
            )
            if look.repair:
                record_comment(c, look.run, comment)


def compare_notes(look: Look, pairs: Pairs, *, after: str) -> str:
    """Find incident notes that never crossed, a call an incident; plan their copies if told to.

    Goes round: begins behind the incident `after`, and returns where the next look is to begin ("" from the start).
    """
    cursor = _cursor(look, NOTE_STREAM)
    if cursor is None or not look.run.integration.comments.pagerduty_to_salesforce:
        return ""
    ours = look.run.pagerduty.user_id()
    last = after
    for incident_id in sorted(i for i in look.incidents if i > after):
        if not look.may_go_on():
            return last
        due = [
            note
            for note in _notes_of(look, incident_id)
            if note.agent_id != ours and _is_missed(note.created_at, note.created_at, cursor)
        ]
        _tell_notes(look, pairs, incident_id, due)
        last = incident_id
    return ""


def _notes_of(look: Look, incident_id: str) -> list[Note]:
    try:
        return notes_of(look.run.pagerduty, incident_id)
    except SkippableError:
        return []


def _tell_notes(look: Look, pairs: Pairs, incident_id: str, due: Sequence[Note]) -> None:
    with look.run.ledger.begin() as c:
        known = notes.known_notes(c, look.run.name, PAGERDUTY, [one.id for one in due])
        digests = notes.note_digests(c, look.run.name, PAGERDUTY, incident_id)
        for note in due:
            texts = {text_digest(note.content), resolution_digest(note.content)}
            if note.id in known or not texts.isdisjoint(digests):
                continue
            told = pairs.of_incident(incident_id)
            look.findings.append(
                Finding("note_not_copied", *told, field=note.id, repaired=look.repair)
            )
            if look.repair:
                record_note(c, look.run, note)


def _is_missed(created_at: datetime, stamp: datetime, cursor: Cursor) -> bool:
    """What was written since the sync began, and what the next pull does not read anyway."""
    return created_at >= cursor.started_at and stamp < cursor.position - OVERLAP


def _cursor(look: Look, stream: str) -> Cursor | None:
    with look.run.ledger.read() as c:
        return cursors.get_cursor(c, look.run.name, stream)
