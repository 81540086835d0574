"""The outbox: planned actions and where each stands. Claiming and outcomes are in claims.py."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, null, or_, select

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger.claims import (
    claim,
    hurry,
    mark_sent,
    note_progress,
    record_outcome,
    release,
    replan,
    requeue,
)
from pd_sf_rules.ledger.columns import plain
from pd_sf_rules.ledger.inserts import chunks, insert
from pd_sf_rules.ledger.tables import HAS_FAILED, IS_CLAIMED, IS_OPEN, IS_WAITING, actions, events
from pd_sf_rules.model import Action

__all__ = [
    "ActionState",
    "StoredAction",
    "actions_of_events",
    "actions_of_run",
    "add_actions",
    "claim",
    "doubtful_actions",
    "find_actions",
    "get_action",
    "get_actions",
    "hurry",
    "in_flight",
    "mark_sent",
    "note_progress",
    "open_actions",
    "record_outcome",
    "release",
    "replan",
    "requeue",
]

INTERNAL = {"ordinal", "sent_in_claim"}
BODIES = {"request", "answer"}
OpenState = Literal["pending", "claimed", "failed"]
OPEN_STATES: Mapping[OpenState | None, ColumnElement[bool]] = {
    None: IS_OPEN,
    "pending": IS_WAITING,
    "claimed": IS_CLAIMED,
    "failed": HAS_FAILED,
}
ActionState = Literal["pending", "claimed", "applied", "skipped", "failed", "shadow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAction(Action):
    """An action and where it stands.

    `sent_at` is set while a request is out and its answer unknown: such an action is in doubt, and to be settled
    by looking before it is sent again. `attempt` counts claims since it was planned or requeued. `target` is
    what the action made or changed, `request` and `answer` what went over the wire, `run_id` the last run's.
    `storm` names what a breaker held it for, also after a person decided: no breaker stops it a second time.
    """

    event_occurred_at: datetime
    event_seq: int
    state: ActionState
    attempt: int
    retry_at: datetime | None
    claimed_by: str | None
    lease_until: datetime | None
    sent_at: datetime | None
    request: Any
    target: str | None
    answer: Any
    message: str
    error_kind: str
    run_id: str | None
    created_at: datetime
    updated_at: datetime
    storm: str | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether a request went out whose answer is not known."""
        return self.sent_at is not None


def add_actions(
    c: Connection,
    planned: Sequence[Action],
    *,
    run_id: str | None = None,
    now: datetime | None = None,
) -> set[str]:
    """Put a plan into the outbox in the order given; the ids that were new come back, known ones stay as they are.

    Shadow actions are only recorded. Raises SyncError when an action's event is not in the inbox.
    """
    if not planned:
        return set()
    places = _places(c, (action.event_id for action in planned))
    rows = [
        _row(action, ordinal, places, run_id=run_id, now=now or datetime.now(UTC))
        for ordinal, action in enumerate(planned)
    ]
    statement = insert(c, actions).on_conflict_do_nothing(index_elements=["id"])
    return set(c.scalars(statement.returning(actions.c.id), rows))


def open_actions(
    c: Connection,
    integration: str,
    *,
    state: OpenState | None = None,
    error_kind: str | None = None,
    but: str | None = None,
    about: tuple[str, Collection[str]] | None = None,
    bodies: bool = True,
) -> list[StoredAction]:
    """Live actions that are pending, claimed or failed, in the order in which they are due to be done.

    `state`, `error_kind`, `but` (an error kind to leave out) and `about` (a record, or any of the incidents) narrow
    it: thousands may wait for a person. Without `bodies` their requests and answers are left out (None).
    """
    # The words of the smaller index where it will do: SQLite takes it for its own words only.
    of = OPEN_STATES[state]
    told = [
        null().label(one.name) if one.name in BODIES and not bodies else one for one in actions.c
    ]
    query = select(*told).where(actions.c.integration == integration, of)
    if about is not None:
        record_id, incidents = about
        query = query.where(
            or_(actions.c.record_id == record_id, actions.c.incident_id.in_(sorted(incidents)))
        )
    if error_kind is not None:
        query = query.where(actions.c.error_kind == error_kind)
    if but is not None:
        query = query.where(actions.c.error_kind != but)
    rows = c.execute(
        query.order_by(
            actions.c.event_occurred_at, actions.c.event_seq, actions.c.ordinal, actions.c.id
        )
    )
    return [_stored(row) for row in rows.mappings()]


def in_flight(
    c: Connection,
    integration: str,
    *,
    kind: str,
    object: str | None = None,  # noqa: A002  the field's own name
) -> bool:
    """Whether an action of that kind is claimed, or went out, its answer is not known and it will be tried again.

    `object` narrows it to one object: the one that the action's params name, else the action's own.
    """
    mine = (actions.c.integration == integration, actions.c.kind == kind)
    going = (IS_CLAIMED, and_(IS_WAITING, actions.c.sent_at.is_not(None)))
    return any(
        object in {None, row.params.get("object") or row.object}
        for one in going
        for row in c.execute(select(actions.c.object, actions.c.params).where(*mine, one))
    )


def doubtful_actions(c: Connection, integration: str, *, kind: str) -> list[StoredAction]:
    """Open actions of a kind whose request went out without an answer, in the order in which they are due."""
    rows = c.execute(
        select(actions)
        .where(
            actions.c.integration == integration,
            IS_OPEN,
            actions.c.kind == kind,
            actions.c.sent_at.is_not(None),
        )
        .order_by(actions.c.event_occurred_at, actions.c.event_seq, actions.c.ordinal, actions.c.id)
    )
    return [_stored(row) for row in rows.mappings()]


def get_action(c: Connection, action_id: str) -> StoredAction | None:
    """The action of that id, None where it is not known."""
    return get_actions(c, [action_id]).get(action_id)


def get_actions(c: Connection, ids: Iterable[str]) -> dict[str, StoredAction]:
    """Those of `ids` that are known, as they stand now."""
    found: dict[str, StoredAction] = {}
    for chunk in chunks(ids):
        rows = c.execute(select(actions).where(actions.c.id.in_(chunk)))
        found.update((row["id"], _stored(row)) for row in rows.mappings())
    return found


def actions_of_events(c: Connection, event_ids: Iterable[str]) -> dict[str, list[StoredAction]]:
    """The actions planned for each of those events, in the order planned; an event without any is absent."""
    found: dict[str, list[StoredAction]] = {}
    for chunk in chunks(event_ids):
        rows = c.execute(
            select(actions)
            .where(actions.c.event_id.in_(chunk))
            .order_by(actions.c.created_at, actions.c.ordinal, actions.c.id)
        )
        for row in rows.mappings():
            found.setdefault(row["event_id"], []).append(_stored(row))
    return found


def actions_of_run(
    c: Connection, integration: str, run_id: str, *, limit: int
) -> list[StoredAction]:
    """The first actions that a run touched last, in the order of their events and rules."""
    mine = (actions.c.integration == integration, actions.c.run_id == run_id)
    place = (actions.c.event_occurred_at, actions.c.event_seq, actions.c.position)
    rows = c.execute(select(actions).where(*mine).order_by(*place).limit(limit))
    return [_stored(row) for row in rows.mappings()]


def find_actions(  # noqa: PLR0913  one keyword a question
    c: Connection,
    *,
    integration: str | None = None,
    event_id: str | None = None,
    state: str | None = None,
    record_id: str | None = None,
    incident_id: str | None = None,
    run_id: str | None = None,
    since: datetime | None = None,
    limit: int = 100,
) -> list[StoredAction]:
    """At most `limit` actions that fit everything given (`since` <= updated_at), last touched first."""
    query = select(actions)
    for column, wanted in (
        (plain(actions.c.integration), integration),
        (actions.c.event_id, event_id),
        (actions.c.state, state),
        (actions.c.record_id, record_id),
        (actions.c.incident_id, incident_id),
        (actions.c.run_id, run_id),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if since is not None:
        query = query.where(actions.c.updated_at >= since)
    query = query.order_by(
        actions.c.updated_at.desc(),
        actions.c.event_seq.desc(),
        actions.c.ordinal.desc(),
        actions.c.id.desc(),
    )
    return [_stored(row) for row in c.execute(query.limit(limit)).mappings()]


def _places(c: Connection, event_ids: Iterable[str]) -> dict[str, tuple[datetime, int]]:
    wanted = set(event_ids)
    places: dict[str, tuple[datetime, int]] = {}
    for chunk in chunks(wanted):
        query = select(events.c.id, events.c.occurred_at, events.c.seq).where(
            events.c.id.in_(chunk)
        )
        places.update((row.id, (row.occurred_at, row.seq)) for row in c.execute(query))
    missing = sorted(wanted - places.keys())
    if missing:
        raise SyncError(
            f"Actions were planned for an event that is not in the inbox: {missing[0]}."
        )
    return places


def _row(
    action: Action,
    ordinal: int,
    places: Mapping[str, tuple[datetime, int]],
    *,
    run_id: str | None,
    now: datetime,
) -> dict[str, Any]:
    occurred_at, seq = places[action.event_id]
    return {
        "id": action.id,
        "event_id": action.event_id,
        "event_occurred_at": occurred_at,
        "event_seq": seq,
        "ordinal": ordinal,
        "integration": action.integration,
        "ruleset": action.ruleset,
        "ruleset_version": action.ruleset_version,
        "rule": action.rule,
        "position": action.position,
        "kind": action.kind,
        "params": dict(action.params),
        "mode": action.mode,
        "object": action.object,
        "record_id": action.record_id,
        "incident_id": action.incident_id,
        "scope": action.scope,
        "state": "shadow" if action.mode == "shadow" else "pending",
        "attempt": 0,
        "message": "",
        "error_kind": "",
        "run_id": run_id,
        "created_at": now,
        "updated_at": now,
    }


def _stored(row: RowMapping) -> StoredAction:
    parts: dict[str, Any] = {name: value for name, value in row.items() if name not in INTERNAL}
    return StoredAction(**parts)
