"""Once more: failed actions, one record's, a window of the services, or recorded events under today's rules.

Everything here is safe to repeat: an action keeps its id, an event is taken in once, and a doubtful request is
looked up before it is sent again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from pd_sf_rules.errors import ConfigError, SyncError
from pd_sf_rules.ledger import Ledger, actions, events, links, waiting
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.ledger.events import StoredEvent
from pd_sf_rules.ledger.inserts import CHUNK
from pd_sf_rules.ledger.storms import HELD
from pd_sf_rules.ledger.waiting import Waiting
from pd_sf_rules.model import Action, Verdict, Window
from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.pipeline.evaluate import BATCH, judge
from pd_sf_rules.pipeline.record import record_lineage
from pd_sf_rules.pipeline.rulebook import Rulebook, load_rulebook
from pd_sf_rules.pipeline.run import Direction, Run, utc_now
from pd_sf_rules.pipeline.simulate import recorded
from pd_sf_rules.pipeline.sync import PATIENCE_SECONDS, judge_pending, pull
from pd_sf_rules.planning.kinds import NOTE_COPIES

DIRECTIONS: Sequence[Direction] = ("salesforce", "pagerduty", "notes")


@dataclass(frozen=True, slots=True)
class Again:
    """A recorded event as today's rules judge it: the verdicts that are new, and the actions nobody planned yet."""

    event: StoredEvent
    verdicts: Sequence[Verdict]
    actions: Sequence[Action]


def failed_actions(ledger: Ledger, integration: str) -> list[StoredAction]:
    """Return the actions of an integration that failed for good, in the order of their events, without bodies.

    What a breaker holds is not among them: a person decides about a storm as a whole.
    """
    with ledger.read() as c:
        return actions.open_actions(c, integration, state="failed", but=HELD, bodies=False)


def actions_to_replay(ledger: Ledger, ids: Iterable[str]) -> list[StoredAction]:
    """Return these actions, which must have failed or be waiting.

    Raises ConfigError for one that is unknown, done, under way, or of a ruleset in shadow mode.
    """
    wanted = list(dict.fromkeys(ids))
    with ledger.read() as c:
        found = actions.get_actions(c, wanted)
    for action_id in wanted:
        action = found.get(action_id)
        if action is None:
            raise ConfigError(f"The ledger has no action '{action_id}'.", hint="See `pdsf errors`.")
        if action.error_kind == HELD:
            hint = "Decide about the storm with `pdsf errors --release`, `--summary` or `--drop`."
            raise ConfigError(f"Action {action_id} is held by a breaker.", hint=hint)
        if action.state not in {"failed", "pending"}:
            hint = "Only failed and waiting actions can be replayed."
            raise ConfigError(f"Action {action_id} is {action.state}.", hint=hint)
    return [found[action_id] for action_id in wanted]


def actions_of_record(ledger: Ledger, integration: str, record_id: str) -> list[StoredAction]:
    """Return the failed and waiting actions of a record and of the incidents it is linked to."""
    with ledger.read() as c:
        joined = links.links_of_records(c, integration, [record_id]).get(record_id, [])
        incidents = {link.incident_id for link in joined}
        about = (record_id, incidents)
        found = actions.open_actions(c, integration, but=HELD, about=about, bodies=False)
    return [one for one in found if one.state != "claimed"]


def replay_actions(run: Run, wanted: Collection[StoredAction]) -> list[dict[str, Any]]:
    """Queue these actions anew and carry out what is due; return the lineage of each direction concerned."""
    for name in sorted({one.integration for one in wanted}):
        queue_again(run.ledger, name, (one.id for one in wanted))
    touched = {direction_of(one) for one in wanted}
    return [_carried_out(run, direction) for direction in DIRECTIONS if direction in touched]


def queue_again(ledger: Ledger, integration: str, ids: Iterable[str]) -> list[Waiting]:
    """Queue those of these actions that failed or wait for a later try; the next pass carries them out.

    In steps, for others write meanwhile, and in the order of their events: what is queued first may be done before the
    rest is queued. Returns what is queued. Actions of another integration, settled ones and what a breaker holds stay
    as they are.
    """
    with ledger.read() as c:
        found = waiting.to_try_again(c, integration, ids, but=HELD)
    rest = iter(sorted(found, key=lambda one: one.place))
    queued: list[Waiting] = []
    while some := [one.id for one in islice(rest, CHUNK)]:
        with ledger.begin() as c:
            wanted = waiting.to_try_again(c, integration, some, but=HELD)
            actions.requeue(c, [one.id for one in wanted])
            actions.hurry(c, [one.id for one in wanted])
        queued += wanted
    return queued


def direction_of(action: Action | Waiting) -> Direction:
    """Return the direction that carries out an action."""
    if action.kind in NOTE_COPIES:
        return "notes"
    return "pagerduty" if action.event_id.startswith("pagerduty:") else "salesforce"


def check_kept(ledger: Ledger, integration: str, since: datetime) -> None:
    """Raise ConfigError where a window begins before what the ledger still knows.

    What was pruned may have been done: taken in again it would be done twice, so a replay leaves it out.
    """
    with ledger.read() as c:
        kept = events.kept_since(c, integration)
    if kept is not None and since <= kept:
        raise ConfigError(
            f"Integration '{integration}': what happened up to {kept:%Y-%m-%dT%H:%M:%SZ} was pruned from the ledger: "
            "done again, it might be done twice.",
            hint="Begin after that instant; `log.retention_days` of the integration file says how long is kept.",
        )


def replay_window(
    run: Run, direction: Direction, window: Window
) -> tuple[dict[str, Any], SyncError | None]:
    """Read a window again as a backfill does, judge and carry out what is new; return lineage and what stopped it.

    What was recorded stays recorded once; cursors stay where they are.
    """
    started_at = utc_now()
    error: SyncError | None = None
    pulled, counts = [], dict[str, int]()
    try:
        pulled = pull(run, direction, given=window)
        counts = judge_pending(run, direction)
    except SyncError as stopped:
        error = stopped
    apply(run, direction, eager=True, patience=PATIENCE_SECONDS)
    return record_lineage(run, direction, pulled, counts, started_at=started_at), error


def judge_again(
    run: Run, *, since: datetime, until: datetime, record_id: str | None = None
) -> list[Again]:
    """Judge recorded events by the rules in force now, and write nothing.

    Returns the events for which a rule plans an action that was never planned, in live mode.
    """
    rulebook = load_rulebook(run, record=False)
    page: list[tuple[StoredEvent, list[StoredAction]]] = []
    found: list[Again] = []
    for event, done in recorded(run.ledger, run.name, since=since, until=until):
        if record_id is None or event.record_id == record_id:
            page.append((event, done))
        if len(page) == BATCH:
            found += _judged_again(run, rulebook, page)
            page = []
    return found + _judged_again(run, rulebook, page)


def _judged_again(
    run: Run, rulebook: Rulebook, page: Sequence[tuple[StoredEvent, Sequence[StoredAction]]]
) -> list[Again]:
    found: list[Again] = []
    judged = judge(run, rulebook, [event for event, _ in page])
    for (event, done), now in zip(page, judged, strict=True):
        known = {one.id for one in done}
        fresh = [one for one in now.actions if one.id not in known and one.mode == "live"]
        if fresh:
            only_matches = run.integration.log.level == "error"
            said = now.said.verdicts_of_matches if only_matches else now.said.verdicts
            found.append(Again(event, said, fresh))
    return found


def plan_again(run: Run, found: Sequence[Again]) -> list[dict[str, Any]]:
    """Record the new verdicts beside the old ones, and carry out the new actions; return the lineages."""
    with run.ledger.begin() as c:
        for one in found:
            stored = events.get_event(c, one.event.id)
            if stored is None:
                continue  # pruned while the plan was looked at
            verdicts = [*stored.verdicts, *_unsaid(stored.verdicts, one.verdicts)]
            events.mark_evaluated(c, stored, verdicts, run_id=run.id, again=True)
            actions.add_actions(c, one.actions, run_id=run.id)
    touched = {direction_of(action) for one in found for action in one.actions}
    return [_carried_out(run, direction) for direction in DIRECTIONS if direction in touched]


def _unsaid(old: Sequence[Mapping[str, Any]], new: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Return the verdicts that differ from the old ones: the same rule may match now, by a linked side that changed."""
    said = {tuple([one[name] for name in _TELLING]) for one in old}
    return [
        asdict(one) for one in new if tuple([getattr(one, name) for name in _TELLING]) not in said
    ]


_TELLING = ("ruleset", "ruleset_version", "rule", "matched")


def _carried_out(run: Run, direction: Direction) -> dict[str, Any]:
    started_at = utc_now()
    apply(run, direction, eager=True, patience=PATIENCE_SECONDS)
    return record_lineage(run, direction, [], {}, started_at=started_at)
