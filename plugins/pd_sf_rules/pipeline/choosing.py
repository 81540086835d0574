"""Which open actions go out next: pages of what is due, each with all that is open of the same pairs."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from pd_sf_rules.ledger import links, pauses, snapshots, waiting
from pd_sf_rules.ledger.waiting import Place, Waiting
from pd_sf_rules.model import PAGERDUTY, Action, Link
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.prepare import RESOLVED
from pd_sf_rules.pipeline.pull_pagerduty import INCIDENT
from pd_sf_rules.pipeline.run import Direction, Run, utc_now
from pd_sf_rules.pipeline.storms import through_the_breakers
from pd_sf_rules.planning import kinds
from pd_sf_rules.planning.order import Pair, group_by_pair, next_actions

PAGE = 1000
"""How many due actions are looked at together."""


def belongs(action: Action | Waiting, direction: Direction) -> bool:
    """Say whether a direction carries out an action."""
    if action.kind in kinds.NOTE_COPIES:
        return direction == "notes"
    return action.event_id.startswith(f"{direction}:")


def choose(
    run: Run,
    direction: Direction,
    *,
    tried: Collection[str] | None,
    resting: Collection[str],
    released: bool = False,
) -> list[Waiting]:
    """Return the actions that may go out now, at most one of each pair and about a page of them; [] where none may.

    `tried` are those that this pass tried: all others are tried even if they wait for their next try (None: none
    is). `resting` are the systems that are left alone for now. `released` asks for what a person let through, and for
    nothing else.
    """
    after: Place | None = None
    while True:
        now = utc_now()
        with run.ledger.read() as c:
            page = waiting.due_actions(
                c,
                run.name,
                direction,
                now=now,
                eager=tried is not None,
                released=released,
                after=after,
                limit=PAGE,
            )
            if not page:
                return []
            pairs = _pairs(c, run, page)
            paused = {one.ruleset for one in pauses.pauses_of(c, run.name)}
        may_run = _may_run(direction, paused)
        is_due = _is_due(now, tried, resting)
        chosen = next_actions(pairs, now, may_run=may_run, is_due=is_due)
        going = through_the_breakers(run, chosen)
        if going:
            return going
        if not chosen:
            after = page[-1].place


def _may_run(direction: Direction, paused: Collection[str]) -> Callable[[Waiting], bool]:
    return lambda one: belongs(one, direction) and not pauses.is_paused(one.ruleset, paused)


def _is_due(
    now: datetime, tried: Collection[str] | None, resting: Collection[str]
) -> Callable[[Waiting], bool]:
    def is_due(one: Waiting) -> bool:
        if kinds.requests_of(one.kind) in resting:
            return False
        return outcomes.is_due(one, now, eager=tried is not None and one.id not in tried)

    return is_due


def _pairs(c: Connection, run: Run, page: Sequence[Waiting]) -> list[Pair[Waiting]]:
    """Return the pairs of these actions with all that is open of them: an incident's go with its first record."""
    named = {one.incident_id for one in page if one.incident_id and not one.record_id}
    of_incident = links.links_of_incidents(c, run.name, named)
    names = {_name(one, of_incident) for one in page}
    of_record = links.links_of_records(c, run.name, names)
    beside = {link.incident_id for some in of_record.values() for link in some}
    of_incident |= links.links_of_incidents(c, run.name, beside - of_incident.keys())
    waits = waiting.open_actions_of(c, run.name, records=names, incidents=named | beside)
    resolved = _resolved(c, run, of_record.values(), of_incident.values())
    pairs = group_by_pair(waits, lambda one: _name(one, of_incident))
    mine = {name: pair for name, pair in pairs.items() if name in names}
    for pair in mine.values():
        linked = [
            link
            for one in pair.actions
            for link in (
                *of_record.get(one.record_id or "", ()),
                *of_incident.get(one.incident_id or "", ()),
            )
        ]
        pair.has_incident = any(link.incident_id not in resolved for link in linked)
        pair.has_record = bool(linked)
    return list(mine.values())


def _name(one: Waiting, of_incident: Mapping[str, Sequence[Link]]) -> str:
    if one.record_id:
        return one.record_id
    incident_id = one.incident_id or ""
    linked = of_incident.get(incident_id, ())
    return linked[0].record_id if linked else incident_id


def _resolved(c: Connection, run: Run, *linked: Iterable[Sequence[Link]]) -> set[str]:
    """Return the linked incidents that were resolved when they were last seen."""
    ids = {link.incident_id for groups in linked for some in groups for link in some}
    seen = snapshots.get_snapshots(c, run.name, PAGERDUTY, INCIDENT, ids)
    return {i for i, snapshot in seen.items() if snapshot.values.get("status") == RESOLVED}
