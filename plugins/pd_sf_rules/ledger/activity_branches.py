"""Which rows make up the log for what is asked: each branch is one range of one index, so no table is scanned."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    select,
    tuple_,
)

from pd_sf_rules.ledger import activity_rows
from pd_sf_rules.ledger.activity import Branch, Wanted
from pd_sf_rules.ledger.storms import HELD
from pd_sf_rules.ledger.tables import (
    IS_HEARD,
    IS_MATCHED,
    IS_PENDING,
    IS_QUIET,
    IS_UNMATCHED,
    actions,
    attempts,
    events,
)
from pd_sf_rules.model import SALESFORCE

OUTCOMES: Mapping[str, str] = {
    "applied": "done",
    "skipped": "skipped",
    "failed": "failed",
    "held": "held by a breaker",
    "retry": "to be tried again",
    "waiting": "waiting",
    "shadow": "shadow",
    "matched": "a rule matched",
    "unmatched": "no rule matched",
    "echo": "our own write coming back",
    "baseline": "first seen",
}
"""What can be asked for, and how people say it."""

STATES = ("pending", "claimed", "applied", "skipped", "failed", "shadow")
ENDS = ("pending", "applied", "skipped", "failed")
_ACTION_STATES: Mapping[str, Sequence[str]] = {
    "applied": ("applied",),
    "skipped": ("skipped",),
    "failed": ("failed",),
    "held": ("failed",),
    "waiting": ("pending", "claimed"),
    "shadow": ("shadow",),
}
_ENDS: Mapping[str, Sequence[str]] = {
    "applied": ("applied",),
    "skipped": ("skipped",),
    "failed": ("failed",),
    "retry": ("pending",),
}
_EVENT_COLUMNS = (
    "seq", "id", "integration", "source", "type", "object", "record_id", "incident_id", "occurred_at",
    "agent", "state", "echo_of", "run_id", "received_at", "evaluated_at", "matched",
)  # fmt: skip
_ACTION_COLUMNS = (
    "id", "event_id", "integration", "ruleset", "ruleset_version", "rule", "kind", "mode", "object",
    "record_id", "incident_id", "state", "attempt", "retry_at", "target", "message", "error_kind",
    "run_id", "created_at",
)  # fmt: skip
_ANSWER_COLUMNS = (
    "seq", "action_id", "attempt", "state", "message", "error_kind", "target", "request", "answer",
    "run_id", "sent_at", "ended_at", "integration", "ruleset", "rule",
)  # fmt: skip


def branches(wanted: Wanted, integrations: Collection[str]) -> list[Branch]:
    """Return the branches that tell what is wanted of these integrations, and of no other."""
    names = [name for name in sorted(integrations) if wanted.integration in {None, name}]
    kinds = {"event": _events, "decision": _decisions, "action": _actions, "answer": _answers}
    return [
        branch
        for kind, made in kinds.items()
        if wanted.kind in {None, kind}
        for branch in made(wanted, names)
    ]


def integrations_in(c: Connection) -> list[str]:
    """Return the integrations that have events, hopping through the index."""
    return [name for (name,) in _distinct(c, events, ("integration",), limit=1000)]


def rules_in(c: Connection, *, limit: int = 500) -> list[tuple[str, str]]:
    """Return the (ruleset, rule) that planned something, by name, hopping through the index."""
    found = _distinct(c, actions, ("ruleset", "rule"), limit=limit)
    return [(ruleset, rule) for ruleset, rule in found]


def _distinct(
    c: Connection, table: Table, names: Sequence[str], *, limit: int
) -> Iterator[tuple[str, ...]]:
    columns = [table.c[name] for name in names]
    query = select(*columns).order_by(*columns).limit(1)
    row = c.execute(query).first()
    while row is not None and limit:
        yield tuple(row)
        limit -= 1
        row = _next(c, query, columns, tuple(row))


def _next(
    c: Connection, query: Select[Any], columns: Sequence[Column[str]], last: tuple[str, ...]
) -> Row[Any] | None:
    """Return the first row behind `last`: for a whole tuple SQLite would read all the rows that equal it."""
    for at in range(len(columns) - 1, -1, -1):
        same = (column == value for column, value in zip(columns[:at], last, strict=False))
        row = c.execute(query.where(*same, columns[at] > last[at])).first()
        if row is not None:
            return row
    return None


def _events(wanted: Wanted, names: Sequence[str]) -> Iterator[Branch]:
    if wanted.rules is not None or wanted.level == "error":
        return
    query = select(*(events.c[name] for name in (*_EVENT_COLUMNS, "payload"))).where(
        *_bounds(wanted, events.c.received_at)
    )
    for where in _of_events(wanted, names):
        yield Branch(
            "event", query.where(*where), events.c.received_at, events.c.seq, activity_rows.event
        )


def _of_events(wanted: Wanted, names: Sequence[str]) -> Iterator[list[ColumnElement[bool]]]:
    if wanted.outcome == "waiting":  # few, and in an index of their own
        for where in _ranges(wanted, [""], events):
            mine = [_unindexed(events.c.integration).in_(names)]
            yield [IS_PENDING, *mine, *(where if wanted.about else where[1:])]
        return
    if wanted.outcome is None:
        states = [IS_HEARD, IS_QUIET] if wanted.level == "debug" else [IS_HEARD]
    elif wanted.outcome in {"echo", "baseline"}:
        states = [and_(IS_QUIET, events.c.state == wanted.outcome)]
    else:
        return
    for state in states:
        for where in _ranges(wanted, names, events):
            yield [state, *where]


def _decisions(wanted: Wanted, names: Sequence[str]) -> Iterator[Branch]:
    if wanted.level == "error" or wanted.outcome not in {None, "matched", "unmatched"}:
        return
    if wanted.rules is not None:
        yield from _decisions_of_rules(wanted, names)
        return
    sides = [] if wanted.outcome == "unmatched" else [IS_MATCHED]
    if wanted.outcome == "unmatched" or (wanted.outcome is None and wanted.level == "debug"):
        sides.append(IS_UNMATCHED)
    query = select(*(events.c[name] for name in _EVENT_COLUMNS))
    for side in sides:
        for where in _ranges(wanted, names, events):
            bounded = query.where(side, *where, *_bounds(wanted, events.c.evaluated_at))
            yield Branch(
                "decision", bounded, events.c.evaluated_at, events.c.seq, activity_rows.decision
            )


def _decisions_of_rules(wanted: Wanted, names: Sequence[str]) -> Iterator[Branch]:
    """A rule that matched has planned its first action in the same moment: the rule's index tells when."""
    if wanted.outcome == "unmatched":
        return
    told = [events.c[name] for name in _EVENT_COLUMNS if name != "evaluated_at"]
    query = (
        select(*told, actions.c.created_at.label("evaluated_at"))
        .join_from(actions, events, events.c.id == actions.c.event_id)
        .where(actions.c.position == 0, *_about(wanted, actions), *_loosely(wanted, names, actions))
    )
    for pair in sorted(wanted.rules or ()):
        bounded = query.where(*_of_rule(actions, pair), *_bounds(wanted, actions.c.created_at))
        yield Branch(
            "decision", bounded, actions.c.created_at, events.c.seq, activity_rows.decision
        )


def _actions(wanted: Wanted, names: Sequence[str]) -> Iterator[Branch]:
    states = STATES if wanted.outcome is None else _ACTION_STATES.get(wanted.outcome, ())
    if wanted.level == "error":
        states = [state for state in states if state == "failed"]
    query = select(*(actions.c[name] for name in _ACTION_COLUMNS))
    if wanted.outcome in {"failed", "held"}:
        held = actions.c.error_kind == HELD
        query = query.where(held if wanted.outcome == "held" else ~held)
    query = query.where(*_bounds(wanted, actions.c.created_at))
    for where in _narrow(wanted, names, actions, states):
        yield Branch(
            "action", query.where(*where), actions.c.created_at, actions.c.id, activity_rows.action
        )


def _answers(wanted: Wanted, names: Sequence[str]) -> Iterator[Branch]:
    states = ENDS if wanted.outcome is None else _ENDS.get(wanted.outcome, ())
    if wanted.level == "error":
        states = [state for state in states if state == "failed"]
    about = ("event_id", "kind", "object", "record_id", "incident_id")
    query = (
        select(
            *(attempts.c[name] for name in _ANSWER_COLUMNS), *(actions.c[name] for name in about)
        )
        .join_from(attempts, actions, actions.c.id == attempts.c.action_id)
        .where(*_bounds(wanted, attempts.c.ended_at))
    )
    for where in _narrow(wanted, names, attempts, states):
        yield Branch(
            "answer", query.where(*where), attempts.c.ended_at, attempts.c.seq, activity_rows.answer
        )


def _ranges(
    wanted: Wanted, names: Sequence[str], table: Table
) -> Iterator[list[ColumnElement[bool]]]:
    """Yield the conditions of one index range each: the pair's own indexes, or the integration's."""
    by_source = [table.c.source == wanted.source] if wanted.source else []
    if not wanted.about:
        for name in names:
            yield [table.c.integration == name, *by_source]
        return
    within = _unindexed(table.c.integration).in_(names)
    for column, ids in (
        (table.c.record_id, wanted.records),
        (table.c.incident_id, wanted.incidents),
    ):
        for one in sorted(ids):
            yield [column == one, within, *by_source]


def _narrow(
    wanted: Wanted, names: Sequence[str], table: Table, states: Sequence[str]
) -> Iterator[list[ColumnElement[bool]]]:
    """Yield the conditions of one index range each for actions, and for attempts joined to them."""
    if not states:
        return
    every = len(states) == len(STATES if table is actions else ENDS)
    among = [] if every else [_unindexed(table.c.state).in_(states)]
    rest = [*among, *_loosely(wanted, names, table)]
    if wanted.about:
        of_rules = [] if wanted.rules is None else [
            tuple_(_unindexed(table.c.ruleset), _unindexed(table.c.rule)).in_(sorted(wanted.rules))
        ]  # fmt: skip
        for column, ids in (
            (actions.c.record_id, wanted.records),
            (actions.c.incident_id, wanted.incidents),
        ):
            yield from ([column == one, *rest, *of_rules] for one in sorted(ids))
    elif wanted.rules is not None:
        yield from ([*_of_rule(table, pair), *rest] for pair in sorted(wanted.rules))
    else:
        side = _of_source(wanted)
        for name in names:
            for state in states:
                yield [table.c.integration == name, table.c.state == state, *side]


def _loosely(wanted: Wanted, names: Sequence[str], table: Table) -> list[ColumnElement[bool]]:
    """Conditions that are to be checked row by row, so that no database takes their index for the better one."""
    return [_unindexed(table.c.integration).in_(names), *_of_source(wanted)]


def _unindexed(column: Column[str]) -> ColumnElement[str]:
    return column.concat("")


def _of_source(wanted: Wanted) -> list[ColumnElement[bool]]:
    """An action of a Salesforce event carries the record, one of a PagerDuty event the incident."""
    if wanted.source is None:
        return []
    column = actions.c.record_id if wanted.source == SALESFORCE else actions.c.incident_id
    return [column.is_not(None)]


def _of_rule(table: Table, pair: tuple[str, str]) -> list[ColumnElement[bool]]:
    return [table.c.ruleset == pair[0], table.c.rule == pair[1]]


def _about(wanted: Wanted, table: Table) -> list[ColumnElement[bool]]:
    if not wanted.about:
        return []
    of_records = table.c.record_id.in_(sorted(wanted.records))
    return [of_records | table.c.incident_id.in_(sorted(wanted.incidents))]


def _bounds(wanted: Wanted, at: Column[Any]) -> list[ColumnElement[bool]]:
    bounds: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        bounds.append(at >= wanted.since)
    if wanted.until is not None:
        bounds.append(at <= wanted.until)
    return bounds
