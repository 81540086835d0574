"""The outbox is carried out in waves: one action of each pair at a time, alike actions together in one call."""

import logging
import time
from collections.abc import Callable, Sequence
from itertools import islice

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import actions, pauses, waiting
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.ledger.waiting import Waiting
from pd_sf_rules.model import PAGERDUTY
from pd_sf_rules.pipeline import budgets, outcomes
from pd_sf_rules.pipeline.choosing import choose
from pd_sf_rules.pipeline.effects import (
    extras,
    incidents,
    new_incidents,
    new_records,
    notes,
    records,
)
from pd_sf_rules.pipeline.effects.sending import lease_seconds
from pd_sf_rules.pipeline.prepare import Task, our_fault, prepare
from pd_sf_rules.pipeline.resting import Rests
from pd_sf_rules.pipeline.rulebook import learn_watched
from pd_sf_rules.pipeline.run import Direction, Run, is_dead, owner, utc_now
from pd_sf_rules.pipeline.storms import tell_of_storms
from pd_sf_rules.planning import kinds

_log = logging.getLogger(__name__)

WAVE = 1000
SINGLES = 200
"""Most actions claimed at once, and most of those that take a call each: its claims outlast a wave (sending.py)."""

RELEASE_SECONDS = 20.0
"""How long a pass goes on with what a person let through, before the next looks for news."""

LOST_RACES = 3
"""How often other processes may be quicker before a pass leaves the work to them."""

Effect = Callable[[Run, Sequence[Task]], None]

EFFECTS: Sequence[tuple[frozenset[str], Effect]] = (
    (frozenset({kinds.CREATE_INCIDENT}), new_incidents.create_incidents),
    (frozenset({kinds.CREATE_RECORD}), new_records.create_records),
    (kinds.INCIDENT_UPDATES, incidents.update_incidents),
    (kinds.INCIDENT_EXTRAS - {kinds.ADD_NOTE, kinds.COPY_COMMENT}, extras.extend_incidents),
    (frozenset({kinds.UPDATE_RECORD}), records.update_records),
    (frozenset({kinds.ADD_NOTE, kinds.COPY_COMMENT}), notes.add_notes),
    (frozenset({kinds.POST_COMMENT, kinds.COPY_NOTE}), notes.post_comments),
)


def apply(
    run: Run,
    direction: Direction,
    *,
    eager: bool = False,
    patience: float = 0.0,
    release_seconds: float = RELEASE_SECONDS,
) -> dict[str, int]:
    """Carry out the open actions of one direction; return the counts `applied`, `skipped`, `failed`, `waiting`.

    `eager` tries again at once what only waits for its next try. `patience` is how many seconds this call may
    spend waiting for a next try. What still waits afterwards stays in the ledger for the next run. A paused
    integration or ruleset carries out nothing: its actions queue. So do notes while the API allowance is short.
    What a person let through of a storm comes after everything else, and for `release_seconds` at most.
    """
    if run.integration.paused:
        return _counts(run, direction)
    if direction == "notes" and (why := budgets.shed(run.ledger, run.integration)):
        _log.warning("%s", why)
        return _counts(run, direction)
    _take_over(run)
    _in_waves(run, direction, eager=eager, patience=patience, release_seconds=release_seconds)
    tell_of_storms(run)
    return _counts(run, direction)


def _in_waves(
    run: Run, direction: Direction, *, eager: bool, patience: float, release_seconds: float
) -> None:
    started = time.monotonic()
    rests = Rests(run)
    tried: set[str] = set()
    lost = 0
    while lost < LOST_RACES:
        chosen = _next_wave(
            run,
            direction,
            rests,
            tried if eager else None,
            released=time.monotonic() - started < release_seconds,
        )
        if not chosen:
            pause = _pause(run, direction, rests)
            longest = max(patience, release_seconds) if rests.of_release else patience
            if pause is None or time.monotonic() + pause > started + longest:
                return
            time.sleep(pause)
            continue
        tried |= {one.id for one in chosen}
        lost = 0 if carry_out(run, chosen) else lost + 1
        rests.learn(chosen)
        run.keep_usage()


def _next_wave(
    run: Run,
    direction: Direction,
    rests: Rests,
    tried: set[str] | None,
    *,
    released: bool,
) -> list[Waiting]:
    """Return what goes out next: news first, then what a person let through, as far as the API allows."""
    resting = rests.now()
    chosen = choose(run, direction, tried=tried, resting=resting)
    if chosen or not released:
        return _wave(chosen, SINGLES)
    chosen = choose(run, direction, tried=tried, resting=resting, released=True)
    return _wave(chosen, min(SINGLES, rests.allowance())) if chosen else []


def _wave(chosen: Sequence[Waiting], most: int) -> list[Waiting]:
    """Return the first of these that go out together: `most` of those that take a call each."""
    singles = islice((one for one in chosen if one.kind not in kinds.MANY_IN_A_CALL), most)
    alone = {one.id for one in singles}
    if most <= 0:
        return []
    return [one for one in chosen if one.id in alone or one.kind in kinds.MANY_IN_A_CALL][:WAVE]


def carry_out(run: Run, chosen: Sequence[Waiting]) -> int:
    """Claim these actions and carry out those that nobody else took; return how many that were."""
    ids = [one.id for one in chosen]
    lease = lease_seconds(many=len(ids) > SINGLES)
    with run.ledger.begin() as c:
        actions.hurry(c, ids)
        taken = actions.claim(c, ids, owner=owner(), now=utc_now(), lease_seconds=lease)
        found = actions.get_actions(c, taken)
    claimed = [found[i] for i in ids if i in found]
    pages = [one for one in claimed if one.kind == kinds.CREATE_INCIDENT]
    if pages:
        _carry_out(run, pages)  # before a look at what the others are about: that may take a minute
    others = [one for one in claimed if one.kind != kinds.CREATE_INCIDENT]
    if others:
        _carry_out(run, others)
    return len(claimed)


def _carry_out(run: Run, claimed: Sequence[StoredAction]) -> None:
    if any(kinds.WRITES_TO[one.kind] != PAGERDUTY for one in claimed):
        learn_watched(run)  # a first snapshot of a record needs them
    ready, refused = prepare(run, claimed)
    if refused:
        with run.ledger.begin() as c:
            for action, error in refused:
                outcomes.failed(c, run, action, error)
    for family, effect in EFFECTS:
        tasks = [task for task in ready if task.action.kind in family]
        if tasks:
            _carry_out_family(run, effect, tasks)


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


def _take_over(run: Run) -> None:
    """Give back what a process of this host claimed and, being dead, will never conclude."""
    with run.ledger.read() as c:
        claimed = waiting.claimants(c, run.name)
    for dead in (one for one in claimed if one and is_dead(one)):
        with run.ledger.begin() as c:
            actions.release(c, claimed[dead], owner=dead)


def _pause(run: Run, direction: Direction, rests: Rests) -> float | None:
    """Return the seconds until the next try of this direction is due; None when nothing waits for one.

    What is due already waits for something else, and a text without a pair may wait for ever.
    """
    now = utc_now()
    with run.ledger.read() as c:
        paused = {one.ruleset for one in pauses.pauses_of(c, run.name)}
        next_try = waiting.next_try(
            c, run.name, direction, now=now, but={outcomes.UNLINKED}, paused=paused
        )
    times = [(next_try - now).total_seconds()] if next_try else []
    times += rests.ends()
    return max(min(times), 0.05) if times else None


def _counts(run: Run, direction: Direction) -> dict[str, int]:
    with run.ledger.read() as c:
        touched = waiting.counts_of_run(c, run.name, run.id, direction)
        pending = waiting.count_waiting(c, run.name, direction)
    told = {
        state: sum(number for (known, *_), number in touched.items() if known == state)
        for state in ("applied", "skipped", "failed")
    }
    return {**told, "waiting": pending}
