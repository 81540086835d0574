"""Storms: what a breaker holds, what went out lately, who was told, and what a person decided."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, select, true, update

from pd_sf_rules.ledger.actions import StoredAction, get_actions
from pd_sf_rules.ledger.inserts import chunks, insert
from pd_sf_rules.ledger.tables import HAS_CREATED, HAS_FAILED, actions, storms
from pd_sf_rules.planning.breaker import APPROVED, Held, Lately, moment_of
from pd_sf_rules.planning.kinds import CREATE_INCIDENT, NOTE_COPIES

HELD = "held"
"""The error kind of a failed action that waits for a person's decision about a storm."""

CLOCKS_APART = timedelta(hours=1)
"""How far a server's clock may be ahead of this machine's, generously."""


@dataclass(frozen=True, slots=True)
class StoredStorm:
    """One storm that a breaker holds, or about which a person decided and PagerDuty does not know it yet.

    `occurrence` names this one time it happened. `told_at` is when PagerDuty took the alert; `summary` the incident
    that stands for all, where one was made.
    """

    integration: str
    storm: str
    occurrence: str
    why: str
    held_at: datetime
    told_at: datetime | None
    decided_at: datetime | None
    summary: str | None


def went_out_lately(
    c: Connection,
    integration: str,
    *,
    since: datetime,
    records: Collection[str],
    incidents: Collection[str],
) -> Lately:
    """Return when incidents were created and actions applied whose time counts (see moment_of) from `since` on.

    Actions are looked up for these records and incidents only. What a person let through does not count.
    """
    sent = since - CLOCKS_APART
    went = (actions.c.event_occurred_at, actions.c.updated_at)
    rows = c.execute(
        select(actions.c.ruleset, actions.c.rule, *went).where(
            actions.c.integration == integration,
            HAS_CREATED,
            actions.c.updated_at >= sent,
            actions.c.storm.is_(None),
        )
    ).all()
    by_rule: dict[tuple[str, str], list[datetime]] = {}
    for ruleset, rule, occurred_at, at in rows:
        by_rule.setdefault((ruleset, rule), []).append(moment_of(occurred_at, at))
    by_pair: dict[str, list[datetime]] = {}
    asked = (
        (actions.c.record_id, records, true()),
        (actions.c.incident_id, incidents, actions.c.record_id.is_(None)),
    )
    for column, ids, more in asked:
        query = select(actions.c.integration, column, *went).where(
            more,
            actions.c.updated_at >= sent,
            actions.c.state == "applied",
            actions.c.storm.is_(None),
            actions.c.kind.not_in(sorted(NOTE_COPIES)),
        )
        for chunk in chunks(ids):
            for owner, pair, occurred_at, at in c.execute(query.where(column.in_(chunk))):
                if owner == integration:
                    by_pair.setdefault(pair, []).append(moment_of(occurred_at, at))
    return Lately(by_rule, [moment for times in by_rule.values() for moment in times], by_pair)


def hold(c: Connection, integration: str, held: Sequence[Held], *, run_id: str) -> set[str]:
    """Hold pending actions back, each with what its rule does after it; the ids given that were pending come back."""
    taken: set[str] = set()
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in held:
        reasons.setdefault((one.storm, one.why), []).append(one.action_id)
    for (storm, why), ids in reasons.items():
        held_now: set[str] = set()
        for chunk in chunks(ids):
            held_now |= _hold(c, chunk, storm, why, run_id)
        for chunk in chunks(_behind(c, held_now)):
            _hold(c, chunk, storm, why, run_id)
        if held_now:
            _open_storm(c, integration, storm, why, first=min(held_now))
        taken |= held_now
    return taken


def _hold(c: Connection, ids: Collection[str], storm: str, why: str, run_id: str) -> set[str]:
    statement = (
        update(actions)
        .where(actions.c.id.in_(ids), actions.c.state == "pending")
        .values(
            state="failed",
            error_kind=HELD,
            message=why,
            storm=storm,
            run_id=run_id,
            updated_at=datetime.now(UTC),
        )
    )
    return set(c.scalars(statement.returning(actions.c.id)))


def _behind(c: Connection, ids: Collection[str]) -> set[str]:
    """Return the pending actions that stand behind these in the same rule and event."""
    later: set[str] = set()
    first = actions.alias("first")
    same = and_(
        actions.c.event_id == first.c.event_id,
        actions.c.ruleset == first.c.ruleset,
        actions.c.rule == first.c.rule,
        actions.c.ordinal > first.c.ordinal,
        actions.c.state == "pending",
        actions.c.mode == "live",
    )
    for chunk in chunks(ids):
        later.update(c.scalars(select(actions.c.id).where(first.c.id.in_(chunk), same)))
    return later


def _open_storm(c: Connection, integration: str, storm: str, why: str, *, first: str) -> None:
    """Note that a storm is held; one that is held already stays the same occurrence."""
    now = datetime.now(UTC)
    fresh = {
        "occurrence": f"{now:%Y%m%dT%H%M%S}-{first[:12]}",
        "why": why,
        "held_at": now,
        "decided_at": None,
        "summary": None,
    }
    statement = insert(c, storms).values(integration=integration, storm=storm, **fresh)
    c.execute(
        statement.on_conflict_do_update(
            index_elements=["integration", "storm"],
            set_=fresh,
            where=storms.c.decided_at.is_not(None),
        )
    )


def stored_storms(c: Connection, integration: str) -> list[StoredStorm]:
    """Return the storms of an integration that wait for a person, or for PagerDuty, the oldest first."""
    rows = c.execute(
        select(storms).where(storms.c.integration == integration).order_by(storms.c.held_at)
    )
    return [StoredStorm(**row) for row in rows.mappings()]


def mark_told(c: Connection, one: StoredStorm) -> None:
    """Note that PagerDuty took the alert about a storm."""
    c.execute(
        update(storms)
        .where(_is(one.integration, one.storm), storms.c.occurrence == one.occurrence)
        .values(told_at=datetime.now(UTC))
    )


def mark_summary(c: Connection, integration: str, storm: str, incident_id: str) -> None:
    """Note which incident stands for a storm, before the first action is settled by it."""
    c.execute(update(storms).where(_is(integration, storm)).values(summary=incident_id))


def mark_decided(c: Connection, integration: str, storm: str) -> bool:
    """Note that a person decided, unless something of the storm is still held; whether it was noted comes back."""
    left = exists().where(_held(integration), actions.c.storm == storm)
    done = c.execute(
        update(storms)
        .where(_is(integration, storm), ~left)
        .values(decided_at=datetime.now(UTC))
        .returning(storms.c.storm)
    )
    return done.first() is not None


def forget_storm(c: Connection, one: StoredStorm) -> None:
    """Forget a storm about which a person decided, unless it came up again meanwhile."""
    c.execute(
        delete(storms).where(
            _is(one.integration, one.storm),
            storms.c.occurrence == one.occurrence,
            storms.c.decided_at.is_not(None),
        )
    )


def held_counts(c: Connection, integration: str) -> dict[str, tuple[int, int]]:
    """Return by storm how many actions are held, and how many of them would create an incident."""
    rows = c.execute(
        select(actions.c.storm, actions.c.kind, func.count())
        .where(_held(integration))
        .group_by(actions.c.storm, actions.c.kind)
    )
    found: dict[str, tuple[int, int]] = {}
    for storm, kind, number in rows:
        held, incidents = found.get(storm or "", (0, 0))
        made = number if kind == CREATE_INCIDENT else 0
        found[storm or ""] = (held + number, incidents + made)
    return found


def held_actions(
    c: Connection,
    integration: str,
    storm: str | None = None,
    *,
    kind: str | None = None,
    limit: int | None = None,
) -> list[StoredAction]:
    """Return what is held, oldest event first; of one storm, of one kind, and the first `limit` only, if given."""
    ids = held_ids(c, integration, storm, kind=kind, limit=limit)
    found = get_actions(c, ids)
    return [found[one] for one in ids]


def held_ids(
    c: Connection,
    integration: str,
    storm: str | None = None,
    *,
    kind: str | None = None,
    limit: int | None = None,
) -> list[str]:
    """Return the ids of what `held_actions` returns."""
    query = select(actions.c.id).where(_held(integration))
    if storm is not None:
        query = query.where(actions.c.storm == storm)
    if kind is not None:
        query = query.where(actions.c.kind == kind)
    place = (actions.c.event_occurred_at, actions.c.event_seq, actions.c.ordinal, actions.c.id)
    return list(c.scalars(query.order_by(*place).limit(limit)))


def held_beside(c: Connection, creations: Collection[StoredAction]) -> list[StoredAction]:
    """Return what is held of the same events and rules as these creations, in the order of their rules."""
    rules = {(one.event_id, one.ruleset, one.rule) for one in creations}
    mine = {one.id for one in creations}
    ids: list[str] = []
    for chunk in chunks(one.event_id for one in creations):
        ids += c.scalars(
            select(actions.c.id).where(
                actions.c.event_id.in_(chunk), HAS_FAILED, actions.c.error_kind == HELD
            )
        )
    found = [
        one
        for one in get_actions(c, ids).values()
        if one.id not in mine and (one.event_id, one.ruleset, one.rule) in rules
    ]
    return sorted(found, key=lambda one: (one.event_occurred_at, one.event_seq, one.position))


def approve(c: Connection, ids: Iterable[str]) -> set[str]:
    """Let held actions go out, whatever the breakers say."""
    return _decide(c, ids, state="pending", error_kind=APPROVED, message="")


def discard(c: Connection, ids: Iterable[str], *, reason: str) -> set[str]:
    """Give failed or held actions up for good; the reason is kept with each."""
    return _decide(c, ids, state="skipped", error_kind="", message=reason)


def _decide(
    c: Connection, ids: Iterable[str], *, state: str, error_kind: str, message: str
) -> set[str]:
    decided: set[str] = set()
    for chunk in chunks(ids):
        statement = (
            update(actions)
            .where(actions.c.id.in_(chunk), actions.c.state == "failed")
            .values(
                state=state,
                error_kind=error_kind,
                message=message,
                attempt=0,
                retry_at=None,
                updated_at=datetime.now(UTC),
            )
        )
        decided |= set(c.scalars(statement.returning(actions.c.id)))
    return decided


def _held(integration: str) -> ColumnElement[bool]:
    return and_(actions.c.integration == integration, HAS_FAILED, actions.c.error_kind == HELD)


def _is(integration: str, storm: str) -> ColumnElement[bool]:
    return and_(storms.c.integration == integration, storms.c.storm == storm)
