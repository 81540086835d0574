"""Comments and notes that people wrote become events with one action each: carry it to the other side."""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from pd_sf_rules.errors import RateLimitedError, SkippableError
from pd_sf_rules.ledger import actions, events, notes
from pd_sf_rules.ledger.notes import KnownNote
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Event, LogEntry, Window
from pd_sf_rules.pipeline.budgets import shed
from pd_sf_rules.pipeline.looks import Look, look_at
from pd_sf_rules.pipeline.pull_pagerduty import look, newest_of
from pd_sf_rules.pipeline.pulled import Pulled
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.kinds import ADD_NOTE, COPY_COMMENT, COPY_NOTE, POST_COMMENT
from pd_sf_rules.planning.notes import RESOLUTION_PREFIX
from pd_sf_rules.planning.planner import plan_copy
from pd_sf_rules.planning.values import text_digest
from pd_sf_rules.planning.windows import reading
from pd_sf_rules.systems.pagerduty.changes import pull_log_entries
from pd_sf_rules.systems.pagerduty.notes import Note, notes_of
from pd_sf_rules.systems.salesforce.newest import newest_stamp
from pd_sf_rules.systems.salesforce.notes import Comment, pull_comments

_log = logging.getLogger(__name__)

COMMENT_STREAM = "notes:salesforce"
NOTE_STREAM = "notes:pagerduty"
ASK_LATER = 900.0
"""Seconds after which a window that was asked for by hand is tried again while the API allowance is short."""

_MARKER = "entry:"
COMMENTED_OBJECT = "Case"
"""CaseComment belongs to Case alone."""


def pull_notes(run: Run, *, given: Window | None = None) -> list[Pulled]:
    """Record each new comment and note of the directions that the integration switched on, with its plan.

    What we wrote ourselves is known by its id and stays where it is. While the API allowance is short nothing is
    read: the cursors stay, and RateLimitedError tells who asked for a window of their own.
    """
    pulled: list[Pulled] = []
    if why := shed(run.ledger, run.integration):
        if given is not None:
            raise RateLimitedError(why, retry_after=ASK_LATER)
        _log.warning("%s", why)
        return pulled
    if run.integration.comments.salesforce_to_pagerduty:
        pulled.append(_pull_comments(run, given))
    if run.integration.comments.pagerduty_to_salesforce:
        pulled.append(_pull_incident_notes(run, given))
    return pulled


def _pull_comments(run: Run, given: Window | None) -> Pulled:
    at = look_at(
        run,
        COMMENT_STREAM,
        given,
        now=run.salesforce.server_now(),
        newest=lambda since: newest_stamp(run.salesforce, "CaseComment", since),
    )
    new = 0
    held: list[datetime] = []
    newest: datetime | None = None
    for page in pull_comments(run.salesforce, reading(at.window)):
        newest = max((comment.stamp for comment in page), default=newest)
        ours = run.salesforce.user_id
        with run.ledger.begin() as c:
            # What is under way is asked first: what ends meanwhile is then found among what is known.
            writing = _writing(c, run, (POST_COMMENT, COPY_NOTE))
            known = notes.known_notes(c, run.name, SALESFORCE, [one.id for one in page])
            for comment in page:
                if comment.id in known or comment.created_at < at.started_at:
                    continue
                if writing and comment.agent_id == ours:
                    held.append(comment.stamp)
                    continue
                new += record_comment(c, run, comment, silent=at.is_old(comment.created_at))
    return Pulled(COMMENT_STREAM, at.window, new, min(held, default=None), newest)


def _writing(c: Connection, run: Run, kinds: Iterable[str]) -> bool:
    """Say whether a text of ours may be on its way, so that one by our user is to be looked at later."""
    return any(actions.in_flight(c, run.name, kind=kind) for kind in kinds)


def record_comment(c: Connection, run: Run, comment: Comment, *, silent: bool = False) -> int:
    """Put a person's comment into the inbox with the plan to carry it over; return 1, or 0 if it was known."""
    notes.add_note(
        c,
        KnownNote(
            integration=run.name,
            system=SALESFORCE,
            note_id=comment.id,
            record_id=comment.record_id,
            incident_id=None,
            digest=text_digest(comment.body),
            action_id=None,
            seen_at=utc_now(),
            origin="theirs",
        ),
    )
    event = Event(
        id=f"notes:{run.name}:{comment.id}",
        integration=run.name,
        source=SALESFORCE,
        type="comment",
        occurred_at=comment.created_at,
        agent=comment.agent,
        object=COMMENTED_OBJECT,
        record_id=comment.record_id,
        detail={"body": comment.body, "public": comment.public},
    )
    return _record(c, run, event, COPY_COMMENT, silent=silent)


def _record(c: Connection, run: Run, event: Event, kind: str, *, silent: bool) -> int:
    state = "baseline" if silent else "evaluated"
    if not events.add_event(c, event, state=state, run_id=run.id) or silent:
        return 0
    actions.add_actions(c, plan_copy(event, kind), run_id=run.id)
    return 1


def _pull_incident_notes(run: Run, given: Window | None) -> Pulled:
    at = look(run, NOTE_STREAM, given)
    read = pull_log_entries(run.pagerduty, reading(at.window))
    entries = [e for e in read if _may_tell_a_note(e) and e.created_at >= at.started_at]
    with run.ledger.read() as c:
        handled = notes.known_notes(c, run.name, PAGERDUTY, [_marker(e) for e in entries])
    fresh = _news(run, [e for e in entries if _marker(e) not in handled])
    new = 0
    held: list[datetime] = []
    for incident_id in dict.fromkeys(entry.incident_id for entry in fresh):
        mine = [entry for entry in fresh if entry.incident_id == incident_id]
        there = _notes_of(run, incident_id)
        added, left = _record_notes(run, mine, there, at)
        new += added
        held += left
    return Pulled(NOTE_STREAM, at.window, new, min(held, default=None), newest_of(read))


def _news(run: Run, entries: Sequence[LogEntry]) -> list[LogEntry]:
    """Return the entries that may tell of something new: their incidents are asked for their notes, a call for each.

    An entry by our user with a text that we wrote tells of that text, and of no other: it is handled.
    """
    ours = run.pagerduty.user_id() if entries else ""
    mine = [entry for entry in entries if ours and entry.agent_id == ours]
    if not mine:
        return list(entries)
    known: set[str] = set()
    with run.ledger.begin() as c:
        for incident_id in dict.fromkeys(entry.incident_id for entry in mine):
            left = _written_by_us(c, run, incident_id)
            for entry in (one for one in mine if one.incident_id == incident_id):
                text = str(entry.detail.get("note") or "")
                if left.get(text_digest(text), 0) > 0:
                    left[text_digest(text)] -= 1
                    known.add(entry.id)
                    _remember(c, run, _marker(entry), incident_id, text)
    return [entry for entry in entries if entry.id not in known]


def _written_by_us(c: Connection, run: Run, incident_id: str) -> dict[str, int]:
    """Return, by digest, how many texts of ours on an incident the log has not shown yet."""
    found = notes.note_digests(c, run.name, PAGERDUTY, incident_id)
    left: dict[str, int] = {}
    for digest, known in found.items():
        written = sum(one.origin == "ours" and ":" not in one.note_id for one in known)
        shown = sum(one.note_id.startswith(_MARKER) for one in known)
        left[digest] = written - shown
    return left


def _notes_of(run: Run, incident_id: str) -> list[Note]:
    """Return an incident's notes; of one that is gone, none."""
    try:
        return notes_of(run.pagerduty, incident_id)
    except SkippableError:
        return []


def _may_tell_a_note(entry: LogEntry) -> bool:
    return entry.type == "annotate" or (entry.type == "resolve" and bool(entry.detail.get("note")))


def _marker(entry: LogEntry) -> str:
    """Name a log entry among the notes, so that its incident is not asked for its notes again."""
    return f"{_MARKER}{entry.id}"


def _record_notes(
    run: Run, entries: Sequence[LogEntry], there: Sequence[Note], at: Look
) -> tuple[int, list[datetime]]:
    """Write one incident's new notes; return how many, and the stamps of entries to look at again."""
    incident_id = entries[0].incident_id
    ours = run.pagerduty.user_id()
    new = 0
    with run.ledger.begin() as c:
        writing = _writing(c, run, (ADD_NOTE, COPY_COMMENT, "resolve_incident"))
        known = notes.known_notes(c, run.name, PAGERDUTY, [note.id for note in there])
        resolutions = {
            digest
            for digest, found in notes.note_digests(c, run.name, PAGERDUTY, incident_id).items()
            if any(one.note_id.startswith("resolution:") for one in found)
        }
        for note in [*there, *_resolutions(entries, there)]:
            if note.id in known or note.created_at < at.started_at:
                continue
            if resolution_digest(note.content) in resolutions:
                continue
            if writing and note.agent_id == ours:
                return new, [entry.created_at for entry in entries]
            new += record_note(c, run, note, silent=at.is_old(note.created_at))
        for entry in entries:
            _remember(c, run, _marker(entry), incident_id, str(entry.detail.get("note") or ""))
    return new, []


def _resolutions(entries: Iterable[LogEntry], there: Sequence[Note]) -> list[Note]:
    """Return resolution texts that PagerDuty keeps in the log entry only."""
    digests = {resolution_digest(note.content) for note in there}
    return [
        Note(
            id=f"log-entry:{entry.id}",
            incident_id=entry.incident_id,
            content=str(entry.detail["note"]),
            agent=entry.agent,
            agent_id=entry.agent_id,
            created_at=entry.created_at,
        )
        for entry in entries
        if entry.type == "resolve" and resolution_digest(str(entry.detail["note"])) not in digests
    ]


def resolution_digest(text: str) -> str:
    """Name the text of a resolution, which comes back with words before it."""
    return text_digest(text.removeprefix(RESOLUTION_PREFIX))


def record_note(c: Connection, run: Run, note: Note, *, silent: bool = False) -> int:
    """Put a person's note into the inbox with the plan to carry it over; return 1, or 0 if it was known."""
    _remember(c, run, note.id, note.incident_id, note.content)
    event = Event(
        id=f"notes:{run.name}:{note.id}",
        integration=run.name,
        source=PAGERDUTY,
        type="note",
        occurred_at=note.created_at,
        agent=note.agent,
        object=COMMENTED_OBJECT,
        incident_id=note.incident_id,
        detail={"body": note.content},
    )
    return _record(c, run, event, COPY_NOTE, silent=silent)


def _remember(c: Connection, run: Run, note_id: str, incident_id: str, text: str) -> None:
    note = KnownNote(
        integration=run.name,
        system=PAGERDUTY,
        note_id=note_id,
        record_id=None,
        incident_id=incident_id,
        digest=text_digest(text),
        action_id=None,
        seen_at=utc_now(),
        origin="theirs",
    )
    notes.add_note(c, note)
