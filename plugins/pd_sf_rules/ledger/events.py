"""The inbox: every event once, what was decided about it, and why."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select, tuple_, update

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger.columns import JsonText
from pd_sf_rules.ledger.inserts import chunks, insert
from pd_sf_rules.ledger.tables import IS_PENDING, actions, events, horizons
from pd_sf_rules.model import Event, Source, Verdict
from pd_sf_rules.rules import transcript
from pd_sf_rules.rules.evaluator import Evaluation

PENDING = "pending"
EVALUATED = "evaluated"
FACTS = (
    "id",
    "integration",
    "source",
    "type",
    "occurred_at",
    "agent",
    "object",
    "record_id",
    "incident_id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent(Event):
    """An event and its history.

    `state`: pending (waits for its verdicts), evaluated, echo (our own write came back, `echo_of` is the
    action), baseline (seen at a first start, never judged). `verdicts` as JSON, one mapping a rule.
    """

    seq: int
    state: str
    echo_of: str | None
    verdicts: Sequence[Mapping[str, Any]]
    run_id: str | None
    received_at: datetime
    evaluated_at: datetime | None


def add_event(
    c: Connection,
    event: Event,
    *,
    state: str = PENDING,
    echo_of: str | None = None,
    run_id: str | None = None,
) -> bool:
    """Put an event into the inbox; False, and nothing changes, when it is known or was forgotten.

    An event up to `forgotten_until` may have been judged and pruned: judging it again could do things twice.
    """
    horizon = forgotten_until(c, event.integration, event.source, event.object)
    if horizon is not None and event.occurred_at <= horizon:
        return False
    added = c.execute(
        insert(c, events).on_conflict_do_nothing(index_elements=["id"]).returning(events.c.seq),
        {
            "id": event.id,
            "integration": event.integration,
            "source": event.source,
            "type": event.type,
            "object": event.object,
            "record_id": event.record_id,
            "incident_id": event.incident_id,
            "occurred_at": event.occurred_at,
            "agent": event.agent,
            "payload": _payload(event),
            "state": state,
            "echo_of": echo_of,
            "run_id": run_id,
            "received_at": datetime.now(UTC),
        },
    )
    return added.first() is not None


def forgotten_until(
    c: Connection, integration: str, source: Source, object_name: str | None = None
) -> datetime | None:
    """The instant up to which events of that source (and object) were pruned, None when none ever was."""
    return c.scalars(
        select(horizons.c.forgotten_until).where(
            horizons.c.integration == integration,
            horizons.c.source == source,
            horizons.c.object == (object_name or ""),
        )
    ).first()


def kept_since(c: Connection, integration: str) -> datetime | None:
    """The instant behind which every event of an integration is still in the inbox, None where nothing was pruned."""
    until: datetime | None = c.scalar(
        select(func.max(horizons.c.forgotten_until)).where(horizons.c.integration == integration)
    )
    return until


def pending_events(
    c: Connection, integration: str, source: Source, *, limit: int = 1000
) -> list[Event]:
    """The oldest events that wait for their verdicts, at most `limit`, by (occurred_at, arrival)."""
    rows = c.execute(
        select(events)
        .where(
            events.c.integration == integration,
            events.c.source == source,
            IS_PENDING,
        )
        .order_by(events.c.occurred_at, events.c.seq)
        .limit(limit)
    )
    return [_event(row) for row in rows.mappings()]


def incidents_with(
    c: Connection, integration: str, incident_ids: Iterable[str], event_type: str
) -> set[str]:
    """Those of the incidents that have an event of that type in the inbox."""
    found: set[str] = set()
    for chunk in chunks(incident_ids):
        query = select(events.c.incident_id).where(
            events.c.integration == integration,
            events.c.incident_id.in_(chunk),
            events.c.type == event_type,
        )
        found.update(one for one in c.scalars(query) if one is not None)
    return found


def known_ids(c: Connection, ids: Iterable[str]) -> set[str]:
    """Those of `ids` that are in the inbox."""
    known: set[str] = set()
    for chunk in chunks(ids):
        known.update(c.scalars(select(events.c.id).where(events.c.id.in_(chunk))))
    return known


def mark_evaluated(
    c: Connection,
    event: Event,
    verdicts: Collection[Verdict | Mapping[str, Any]] | Evaluation,
    *,
    run_id: str | None = None,
    again: bool = False,
) -> bool:
    """Write down an event as it was judged (with the other side filled in) and what every rule said.

    False, and nothing is written, when the event is not pending: another process was first, so its plan
    stands and the caller's is to be dropped. `again` is for a replay: it judges an evaluated event once more.
    An evaluation is stored as its transcript, verdicts each with all that it says.
    """
    kept, matched = _kept(verdicts)
    judged = update(events).where(events.c.id == event.id)
    if not again:
        judged = judged.where(events.c.state == PENDING)
    done = c.execute(
        judged.values(
            payload=_payload(event),
            verdicts=kept,
            matched=matched,
            state=EVALUATED,
            run_id=run_id,
            evaluated_at=datetime.now(UTC),
        ).returning(events.c.seq)
    )
    return done.first() is not None


def _kept(verdicts: Collection[Verdict | Mapping[str, Any]] | Evaluation) -> tuple[Any, str]:
    """Return what is stored of verdicts, and the rules that matched as `ruleset / rule`, one a line."""
    kept: Any
    if isinstance(verdicts, Evaluation):
        matched = [(ruleset.name, rule.name) for ruleset, rule in verdicts.matches]
        kept = JsonText(verdicts.transcript)
    else:
        said = [
            (one.ruleset, one.rule, one.matched)
            if isinstance(one, Verdict)
            else (one["ruleset"], one["rule"], one["matched"])
            for one in verdicts
        ]
        matched = [(ruleset, rule) for ruleset, rule, it_matched in said if it_matched]
        kept = list(verdicts)
    return kept, "\n".join(dict.fromkeys(f"{ruleset} / {rule}" for ruleset, rule in matched))


def get_event(c: Connection, event_id: str) -> StoredEvent | None:
    """The event of that id, None where it is not known."""
    row = c.execute(select(events).where(events.c.id == event_id)).mappings().first()
    return None if row is None else _stored(row)


def get_events(c: Connection, ids: Iterable[str]) -> dict[str, Event]:
    """Those of `ids` that are in the inbox, as they came: without their verdicts, which may be long."""
    told = [events.c[name] for name in (*FACTS, "payload")]
    found: dict[str, Event] = {}
    for chunk in chunks(ids):
        rows = c.execute(select(*told).where(events.c.id.in_(chunk)))
        found.update((row["id"], _event(row)) for row in rows.mappings())
    return found


def find_events(
    c: Connection,
    *,
    integration: str | None = None,
    record_id: str | None = None,
    incident_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
    oldest_first: bool = False,
) -> list[StoredEvent]:
    """At most `limit` events that fit everything given, newest first; both bounds of occurred_at inclusive."""
    query = select(events)
    for column, wanted in (
        (events.c.integration, integration),
        (events.c.record_id, record_id),
        (events.c.incident_id, incident_id),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if since is not None:
        query = query.where(events.c.occurred_at >= since)
    if until is not None:
        query = query.where(events.c.occurred_at <= until)
    if oldest_first:
        query = query.order_by(events.c.occurred_at, events.c.seq)
    else:
        query = query.order_by(events.c.occurred_at.desc(), events.c.seq.desc())
    return [_stored(row) for row in c.execute(query.limit(limit)).mappings()]


def is_echoed(c: Connection, integration: str, incident_id: str, action_id: str) -> bool:
    """Say whether an event of the incident was taken in as what an action of ours did."""
    query = select(events.c.seq).where(
        events.c.integration == integration,
        events.c.incident_id == incident_id,
        events.c.echo_of == action_id,
    )
    return c.execute(query.limit(1)).first() is not None


def events_of_run(c: Connection, run_id: str, *, limit: int = 200) -> list[StoredEvent]:
    """The events that a run took in or judged, or of which it carried something out, newest first, at most `limit`.

    A run that judged an event counts for the one that took it in.
    """
    acted = select(actions.c.event_id).where(actions.c.run_id == run_id)
    found: dict[str, StoredEvent] = {}
    for mine in (events.c.run_id == run_id, events.c.id.in_(acted)):
        rows = c.execute(select(events).where(mine).order_by(events.c.seq.desc()).limit(limit))
        found |= {row["id"]: _stored(row) for row in rows.mappings()}
    return sorted(found.values(), key=lambda one: one.seq, reverse=True)[:limit]


def judged_events(
    c: Connection,
    integration: str,
    *,
    since: datetime,
    until: datetime,
    after: StoredEvent | None = None,
    limit: int = 500,
) -> list[StoredEvent]:
    """The next events behind `after` that rules judged, oldest first; both bounds of occurred_at inclusive.

    An integration's echoes, baselines, comments and notes were not judged, and are not among them.
    """
    place = tuple_(events.c.occurred_at, events.c.seq)
    query = (
        select(events)
        .where(
            events.c.integration == integration,
            events.c.occurred_at.between(since, until),
            events.c.state == EVALUATED,
            events.c.id.not_like("notes:%"),
        )
        .order_by(events.c.occurred_at, events.c.seq)
        .limit(limit)
    )
    if after is not None:
        query = query.where(place > (after.occurred_at, after.seq))
    return [_stored(row) for row in c.execute(query).mappings()]


def _payload(event: Event) -> dict[str, Any]:
    return {
        "record": dict(event.record),
        "old": dict(event.old),
        "incident": dict(event.incident),
        "old_incident": dict(event.old_incident),
        "detail": dict(event.detail),
        "linked_by": list(event.linked_by),
    }


def _event(row: RowMapping) -> Event:
    return Event(**_facts(row))


def _stored(row: RowMapping) -> StoredEvent:
    """Return an event with its history. Raises ConfigError naming one whose verdicts a newer version wrote."""
    try:
        verdicts = transcript.read(row["verdicts"])
    except ConfigError as error:
        raise ConfigError(f"Event {row['id']}: {error.message}", hint=error.hint) from error
    return StoredEvent(
        **_facts(row),
        seq=row["seq"],
        state=row["state"],
        echo_of=row["echo_of"],
        verdicts=verdicts,
        run_id=row["run_id"],
        received_at=row["received_at"],
        evaluated_at=row["evaluated_at"],
    )


def _facts(row: RowMapping) -> dict[str, Any]:
    payload = dict(row["payload"])
    payload["linked_by"] = tuple(payload["linked_by"])
    return {name: row[name] for name in FACTS} | payload
