"""Texts that cross: notes on incidents and comments on Cases, each written once and known by its id afterwards."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from pd_sf_rules.ledger import actions, notes, waiting
from pd_sf_rules.ledger.notes import KnownNote
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Source
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.effects.incidents import targets_of
from pd_sf_rules.pipeline.effects.sending import (
    AnsweredError,
    already_done,
    doubtful_since,
    going_out,
)
from pd_sf_rules.pipeline.effects.side_by_side import Called, Joined, Noted, Steps, side_by_side
from pd_sf_rules.pipeline.expected import announce
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.kinds import (
    COPY_COMMENT,
    COPY_NOTE,
    CREATE_INCIDENT,
    CREATE_RECORD,
    NOTE_COPIES,
)
from pd_sf_rules.planning.notes import COMMENT_BYTES, as_comments, as_note, cut
from pd_sf_rules.planning.values import text_digest
from pd_sf_rules.systems.pagerduty.actions import add_note
from pd_sf_rules.systems.pagerduty.notes import notes_of
from pd_sf_rules.systems.results import WriteResult
from pd_sf_rules.systems.salesforce.notes import NewComment, comments_of
from pd_sf_rules.systems.salesforce.notes import post_comments as post_in_salesforce

LINK_WAIT = timedelta(minutes=15)
"""How long a text waits for its pair: the incident may be about to be created."""

LOOK_AGAIN = timedelta(seconds=5)


def add_notes(run: Run, tasks: Sequence[Task]) -> None:
    """Write notes on incidents: those of `add_note`, and Case comments that cross."""
    side_by_side(run, tasks, _add_note)


def post_comments(run: Run, tasks: Sequence[Task]) -> None:
    """Write comments on Cases, many in one call: those of `post_comment`, and notes that cross."""
    side_by_side(run, tasks, _post_comment, together=partial(post_in_salesforce, run.salesforce))


def _add_note(run: Run, task: Task) -> Steps:
    targets = targets_of(task)
    if not targets:
        yield Noted(lambda c: _without_pair(c, run, task, "incident"))
        return
    finished = already_done(task)
    for incident_id in targets:
        for part in _note_parts(task):
            name = f"{incident_id}:{text_digest(part)}"
            if name in finished:
                continue
            note_id: str | None = None
            if task.action.in_doubt:
                note_id = yield Called(partial(_note_there, run, task, incident_id, part))
            if note_id is None:
                now = run.pagerduty.server_now()
                going: bool = yield Noted(
                    partial(_announced_note, run, task, incident_id, part, now)
                )
                if not going:
                    return
                result: WriteResult = yield Called(
                    partial(add_note, run.pagerduty, incident_id, part)
                )
                if result.error is not None:
                    raise AnsweredError(result.error)
                note_id = result.id or name
            finished.add(name)
            place = {"incident_id": incident_id}
            yield Noted(partial(_written, run, task, PAGERDUTY, note_id, part, place, finished))
    yield Noted(partial(outcomes.done, run=run, action=task.action, target=",".join(targets)))


def _note_parts(task: Task) -> list[str]:
    if task.action.kind == COPY_COMMENT:
        return as_note(task.event.agent, str(task.event.detail["body"]))
    return [str(task.params["content"])]


def _announced_note(
    run: Run, task: Task, incident_id: str, part: str, now: datetime, c: Connection
) -> bool:
    digest = text_digest(part)
    if not going_out(c, task, {"incident": incident_id, "digest": digest}):
        return False
    name = f"{task.action.id}:{digest}"
    announce(c, run.name, PAGERDUTY, incident_id, {"annotate": digest}, action_id=name, now=now)
    return True


def _note_there(run: Run, task: Task, incident_id: str, part: str) -> str | None:
    """Return the id of the note that a lost answer left behind, or None."""
    since = doubtful_since(task, run.pagerduty.server_now())
    if since is None:
        return None
    found = [
        note.id
        for note in notes_of(run.pagerduty, incident_id)
        if note.created_at >= since and text_digest(note.content) == text_digest(part)
    ]
    return _unclaimed(run, PAGERDUTY, found)


def _post_comment(run: Run, task: Task) -> Steps:
    if not task.records:
        yield Noted(lambda c: _without_pair(c, run, task, task.action.object or "record"))
        return
    finished = already_done(task)
    for _, record_id in task.records:
        for part in _comment_parts(task):
            name = f"{record_id}:{text_digest(part)}"
            if name in finished:
                continue
            comment_id: str | None = None
            if task.action.in_doubt:
                comment_id = yield Called(partial(_comment_there, run, task, record_id, part))
            if comment_id is None:
                request = {"record": record_id, "digest": text_digest(part)}
                going: bool = yield Noted(partial(going_out, task=task, request=request))
                if not going:
                    return
                result: WriteResult = yield Joined(
                    NewComment(record_id, part, _is_public(run, task))
                )
                if result.error is not None:
                    raise AnsweredError(result.error)
                comment_id = result.id or name
            finished.add(name)
            place = {"record_id": record_id}
            yield Noted(partial(_written, run, task, SALESFORCE, comment_id, part, place, finished))
    target = ",".join(record_id for _, record_id in task.records)
    yield Noted(partial(outcomes.done, run=run, action=task.action, target=target))


def _comment_parts(task: Task) -> list[str]:
    if task.action.kind == COPY_NOTE:
        return as_comments(task.event.agent, str(task.event.detail["body"]))
    return [cut(str(task.params["body"]), COMMENT_BYTES)]


def _is_public(run: Run, task: Task) -> bool:
    if task.action.kind == COPY_NOTE:
        return run.integration.comments.pagerduty_to_salesforce == "public"
    return task.params.get("visibility") == "public"


def _comment_there(run: Run, task: Task, record_id: str, part: str) -> str | None:
    """Return the id of the comment that a lost answer left behind, or None."""
    since = doubtful_since(task, run.salesforce.server_now())
    if since is None:
        return None
    found = [
        comment.id
        for comment in comments_of(run.salesforce, record_id, since)
        if text_digest(comment.body) == text_digest(part)
    ]
    return _unclaimed(run, SALESFORCE, found)


def _unclaimed(run: Run, system: Source, found: Sequence[str]) -> str | None:
    """Return the first of these notes that is not known as another action's or a person's."""
    with run.ledger.read() as c:
        known = notes.known_notes(c, run.name, system, found)
    return next((note_id for note_id in found if note_id not in known), None)


def _without_pair(c: Connection, run: Run, task: Task, what: str) -> None:
    """A crossing text waits a while for its pair, and as long as something is to create it; anything else is done."""
    age = utc_now() - task.action.created_at
    if task.action.kind in NOTE_COPIES and (age < LINK_WAIT or _is_to_come(c, run, task)):
        actions.record_outcome(
            c,
            task.action.id,
            state="pending",
            now=utc_now(),
            message=f"Waits for a linked {what}.",
            error_kind=outcomes.UNLINKED,
            retry_at=utc_now() + LOOK_AGAIN,
        )
    else:
        outcomes.skipped(c, run, task.action, f"No {what} is linked.")


def _is_to_come(c: Connection, run: Run, task: Task) -> bool:
    """Say whether an open action is to make the other side: in an outage that takes hours."""
    action = task.action
    records = [action.record_id] if action.record_id else []
    incidents = [action.incident_id] if action.incident_id else []
    waits = waiting.open_actions_of(c, run.name, records=records, incidents=incidents)
    return any(one.kind in {CREATE_INCIDENT, CREATE_RECORD} for one in waits)


def _written(
    run: Run,
    task: Task,
    system: Source,
    note_id: str,
    text: str,
    place: Mapping[str, str],
    finished: Collection[str],
    c: Connection,
) -> None:
    """Remember a text of ours by its id, and which parts are done: the next attempt goes on behind them."""
    note = KnownNote(
        integration=run.name,
        system=system,
        note_id=note_id,
        record_id=place.get("record_id"),
        incident_id=place.get("incident_id"),
        digest=text_digest(text),
        action_id=task.action.id,
        seen_at=utc_now(),
        origin="ours",
    )
    notes.add_note(c, note)
    actions.note_progress(c, task.action.id, answer={"done": sorted(finished)})
