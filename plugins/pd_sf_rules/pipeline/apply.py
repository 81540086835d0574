"""The outbox is carried out in waves: one action of each pair at a time, alike actions together in one call."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from sqlalchemy import Connection

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import actions, links, pauses, snapshots
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.model import PAGERDUTY, Action, Link
from pd_sf_rules.pipeline import budgets, outcomes
from pd_sf_rules.pipeline.effects import creations, extras, incidents, notes, records
from pd_sf_rules.pipeline.prepare import RESOLVED, Task, our_fault, prepare
from pd_sf_rules.pipeline.pull_pagerduty import INCIDENT
from pd_sf_rules.pipeline.rulebook import load_rulebook
from pd_sf_rules.pipeline.run import Direction, Run, is_dead, owner, utc_now
from pd_sf_rules.pipeline.storms import through_the_breakers
from pd_sf_rules.planning import kinds
from pd_sf_rules.planning.order import Pair, group_by_pair, next_actions

_log = logging.getLogger(__name__)

LEASE_SECONDS = 120
WAVE = 200
"""Most actions claimed at once, so that a wave ends well within its lease."""

Effect = Callable[[Run, Sequence[Task]], None]

EFFECTS: Sequence[tuple[frozenset[str], Effect]] = (
    (frozenset({kinds.CREATE_INCIDENT}), creations.create_incidents),
    (frozenset({kinds.CREATE_RECORD}), creations.create_records),
    (kinds.INCIDENT_UPDATES, incidents.update_incidents),
    (kinds.INCIDENT_EXTRAS - {kinds.ADD_NOTE, kinds.COPY_COMMENT}, extras.extend_incidents),
    (frozenset({kinds.UPDATE_RECORD}), records.update_records),
    (frozenset({kinds.ADD_NOTE, kinds.COPY_COMMENT}), notes.add_notes),
    (frozenset({kinds.POST_COMMENT, kinds.COPY_NOTE}), notes.post_comments),
)


def apply(
    run: Run, direction: Direction, *, eager: bool = False, patience: float = 0.0
) -> dict[str, int]:
    """Carry out the open actions of one direction; return the counts `applied`, `skipped`, `failed`, `waiting`.

    `eager` tries again at once what only waits for its next try. `patience` is how many seconds this call may
    spend waiting for a next try. What still waits afterwards stays in the ledger for the next run. A paused
    integration or ruleset carries out nothing: its actions queue. So do notes while the API allowance is short.
    """
    if run.integration.paused:
        return _counts(run, direction)
    if direction == "notes" and (why := budgets.shed(run.ledger, run.integration)):
        _log.warning("%s", why)
        return _counts(run, direction)
    _take_over(run)
    until = time.monotonic() + patience
    tried: set[str] = set()

    def eagerly(action: StoredAction) -> bool:
        return eager and action.id not in tried

    while True:
        chosen = _choose(run, direction, eagerly)
        if not chosen:
            pause = _until_next_try(run, direction)
            if pause is None or time.monotonic() + pause > until:
                return _counts(run, direction)
            time.sleep(pause)
            continue
        tried |= {action.id for action in chosen}
        if not carry_out(run, chosen):
            return _counts(run, direction)


def carry_out(run: Run, chosen: Sequence[StoredAction]) -> int:
    """Claim these actions and carry out those that nobody else took; return how many that were."""
    ids = [stored.id for stored in chosen]
    with run.ledger.begin() as c:
        actions.hurry(c, ids)
        taken = actions.claim(c, ids, owner=owner(), now=utc_now(), lease_seconds=LEASE_SECONDS)
        found = actions.get_actions(c, taken)
    claimed = [found[i] for i in ids if i in found]
    _watch(run)
    ready, refused = prepare(run, claimed)
    with run.ledger.begin() as c:
        for action, error in refused:
            outcomes.failed(c, run, action, error)
    for family, effect in EFFECTS:
        tasks = [task for task in ready if task.action.kind in family]
        if tasks:
            _carry_out_family(run, effect, tasks)
    return len(claimed)


def _watch(run: Run) -> None:
    """Learn which fields rules name, where this process has not judged anything: a first snapshot needs them."""
    if run.watched:
        return
    try:
        load_rulebook(run, record=False)
    except SyncError as error:
        _log.warning("The rules cannot be read for the moment: %s", error)


def _carry_out_family(run: Run, effect: Effect, tasks: Sequence[Task]) -> None:
    """Run one effect; an error that is nobody's own (no connection, say) is recorded on each action not concluded.

    It is no answer to any request, so what became of those that went out is looked for later.
    """
    error: SyncError | None = None
    try:
        effect(run, tasks)
    except SyncError as other:
        error = other
    except Exception as fault:  # noqa: BLE001  recorded below: one family's fault must not stop the others
        error = our_fault(fault)
    if error is None:
        return
    with run.ledger.begin() as c:
        for task in tasks:
            stored = actions.get_action(c, task.action.id)
            if stored is not None and stored.state == "claimed":
                outcomes.failed(c, run, task.action, error, in_doubt=True)


def _choose(
    run: Run, direction: Direction, eagerly: Callable[[StoredAction], bool]
) -> list[StoredAction]:
    while True:
        now = utc_now()
        with run.ledger.read() as c:
            waiting = actions.open_actions(c, run.name)
            pairs = _pairs(c, run, waiting)
            paused = {one.ruleset for one in pauses.pauses_of(c, run.name)}
        chosen = next_actions(
            pairs,
            now,
            may_run=lambda a: _belongs(a, direction) and not pauses.is_paused(a.ruleset, paused),  # noqa: B023
            is_due=lambda a: outcomes.is_due(a, now, eager=eagerly(a)),  # noqa: B023 - used at once
        )
        going = through_the_breakers(run, chosen)
        if going or not chosen:
            return going[:WAVE]


def _belongs(action: Action, direction: Direction) -> bool:
    if action.kind in kinds.NOTE_COPIES:
        return direction == "notes"
    return action.event_id.startswith(f"{direction}:")


def _pairs(c: Connection, run: Run, waiting: Sequence[StoredAction]) -> list[Pair[StoredAction]]:
    """Group the open actions by pair: an incident's actions go with the record it is linked to."""
    of_incident = links.links_of_incidents(
        c, run.name, {a.incident_id for a in waiting if a.incident_id}
    )
    of_record = links.links_of_records(c, run.name, {a.record_id for a in waiting if a.record_id})

    def pair_of(stored: StoredAction) -> str:
        if stored.record_id:
            return stored.record_id
        incident_id = stored.incident_id or ""
        linked = of_incident.get(incident_id, [])
        return linked[0].record_id if linked else incident_id

    resolved = _resolved(c, run, [*of_incident.values(), *of_record.values()])
    pairs = group_by_pair(waiting, pair_of)
    for pair in pairs.values():
        linked = [
            link
            for a in pair.actions
            for link in (
                *of_record.get(a.record_id or "", ()),
                *of_incident.get(a.incident_id or "", ()),
            )
        ]
        pair.has_incident = any(link.incident_id not in resolved for link in linked)
        pair.has_record = bool(linked)
    return list(pairs.values())


def _resolved(c: Connection, run: Run, linked: Iterable[Sequence[Link]]) -> set[str]:
    """Return the linked incidents that were resolved when they were last seen."""
    ids = {link.incident_id for some in linked for link in some}
    seen = snapshots.get_snapshots(c, run.name, PAGERDUTY, INCIDENT, ids)
    return {i for i, snapshot in seen.items() if snapshot.values.get("status") == RESOLVED}


def _take_over(run: Run) -> None:
    """Give back what a process of this host claimed and, being dead, will never conclude."""
    with run.ledger.read() as c:
        claimed = actions.open_actions(c, run.name, state="claimed")
    for dead in {a.claimed_by for a in claimed if a.claimed_by and is_dead(a.claimed_by)}:
        with run.ledger.begin() as c:
            actions.release(c, [a.id for a in claimed if a.claimed_by == dead], owner=dead)


def _until_next_try(run: Run, direction: Direction) -> float | None:
    """Return the seconds until the next try of this direction is due; None when nothing waits for one.

    What is due already waits for something else, and a text without a pair may wait for ever.
    """
    now = utc_now()
    with run.ledger.read() as c:
        paused = {one.ruleset for one in pauses.pauses_of(c, run.name)}
        times = [
            a.retry_at
            for a in actions.open_actions(c, run.name, state="pending")
            if a.retry_at is not None
            and a.retry_at > now
            and a.error_kind != outcomes.UNLINKED
            and _belongs(a, direction)
            and not pauses.is_paused(a.ruleset, paused)
        ]
    if not times:
        return None
    return max(min(times) - now, timedelta(milliseconds=50)).total_seconds()


def _counts(run: Run, direction: Direction) -> dict[str, int]:
    with run.ledger.read() as c:
        touched = actions.find_actions(c, integration=run.name, run_id=run.id, limit=1_000_000)
        waiting = actions.open_actions(c, run.name, state="pending")
    states = [stored.state for stored in touched if _belongs(stored, direction)]
    return {
        "applied": states.count("applied"),
        "skipped": states.count("skipped"),
        "failed": states.count("failed"),
        "waiting": sum(a.state == "pending" and _belongs(a, direction) for a in waiting),
    }
