"""What failed or waits for its next try, grouped by the database: thousands of actions come back as a few causes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from string import digits
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select

from pd_sf_rules.ledger.storms import HELD
from pd_sf_rules.ledger.tables import HAS_FAILED, IS_CLAIMED, IS_WAITING, actions

ABOUT = (actions.c.id, actions.c.record_id, actions.c.incident_id, actions.c.event_id)
ELLIPSIS = "…"
ANY_DIGIT = "#"

Alike = tuple[str, str, str, str, str]
"""Error kind, kind of action, ruleset, rule, and the words without digits and ids of what they are about."""


@dataclass(frozen=True, slots=True)
class Group:
    """Actions of one integration that are alike: how many, and how many of them failed for good.

    `message` is one of theirs; `is_lost` says that the answer to a failed one is not known; `next_try` is None where
    none is tried again by itself; `oldest` is the time of the first event. `fits` says whether the words looked for
    are in one of them.
    """

    alike: Alike
    message: str
    storm: str
    count: int
    failed: int
    is_lost: bool
    next_try: datetime | None
    oldest: datetime
    fits: bool


@dataclass(frozen=True, slots=True)
class Member:
    """One action of a group, and where its event stands."""

    alike: Alike
    id: str
    place: tuple[datetime, int, int, str]
    state: str


def groups(
    c: Connection, integration: str, *, with_held: bool, looked_for: str = ""
) -> list[Group]:
    """Count the live actions of an integration that failed, or wait with a message, by what they have in common.

    What differs by a state (failed, waiting) comes as a group each. `with_held` counts what a breaker holds as well.
    """
    failed = case((actions.c.state == "failed", 1), else_=0)
    lost = case((and_(actions.c.state == "failed", actions.c.sent_at.is_not(None)), 1), else_=0)
    next_try = case((actions.c.state != "failed", actions.c.retry_at))
    fits = case((_has(looked_for), 1), else_=0) if looked_for else 1
    figures = (
        func.min(actions.c.message),
        func.min(actions.c.storm),
        func.count(),
        func.sum(failed),
        func.max(lost),
        func.min(next_try),
        func.min(actions.c.event_occurred_at),
        func.max(fits),
    )
    alike = _alike()
    found: list[Group] = []
    for some in _troubled(integration, with_held=with_held):
        query: Select[*tuple[Any, ...]] = select(*alike, *figures).where(some).group_by(*alike)
        for row in map(tuple, c.execute(query)):
            message, storm, count, bad, is_lost, at, oldest, has = row[5:]
            held = row[0] == HELD
            found.append(
                Group(
                    _key(row[:5]), message, (storm or "") if held else "", count, bad, bool(is_lost),
                    at, oldest, bool(has),
                )
            )  # fmt: skip
    return found


def members(c: Connection, integration: str, *, with_held: bool, limit: int | None) -> list[Member]:
    """Return the first `limit` actions of each group (all of them for None), the oldest event first."""
    alike = _alike()
    place = (
        actions.c.event_occurred_at,
        actions.c.event_seq,
        actions.c.ordinal,
        actions.c.id,
    )
    found: list[Member] = []
    for some in _troubled(integration, with_held=with_held):
        query: Select[*tuple[Any, ...]] = select(*alike, *place, actions.c.state).where(some)
        if limit is not None:
            nth = func.row_number().over(partition_by=alike, order_by=place).label("nth")
            ranked = query.add_columns(nth).subquery()
            query = select(*list(ranked.c)[:-1]).where(ranked.c.nth <= limit)
        found += [
            Member(_key(row[:5]), row[8], row[5:9], row[9]) for row in map(tuple, c.execute(query))
        ]
    return sorted(found, key=lambda one: one.place)


def behind(c: Connection, integration: str) -> dict[Alike, int]:
    """Count, by group, the actions that have not been tried and stand behind one of it in the same event and rule."""
    alike = _alike()
    later = actions.alias("later")
    waits = and_(
        later.c.event_id == actions.c.event_id,
        later.c.ruleset == actions.c.ruleset,
        later.c.rule == actions.c.rule,
        later.c.ordinal > actions.c.ordinal,
        later.c.state == "pending",
        later.c.mode == "live",
        later.c.message == "",
    )
    found: dict[Alike, int] = {}
    for some in _troubled(integration, with_held=True):
        query: Select[*tuple[Any, ...]] = select(*alike, func.count()).join_from(
            actions, later, waits
        )
        for row in map(tuple, c.execute(query.where(some).group_by(*alike))):
            found[_key(row[:5])] = found.get(_key(row[:5]), 0) + row[5]
    return found


def _key(row: Sequence[str]) -> Alike:
    error_kind, kind, ruleset, rule, words = row
    return error_kind, kind, ruleset, rule, words


def _alike() -> tuple[ColumnElement[str], ...]:
    words: ColumnElement[str] = actions.c.message
    for column in ABOUT:
        words = func.replace(words, func.coalesce(column, actions.c.id), ELLIPSIS)
    for digit in digits:  # else every number makes a group of its own
        words = func.replace(words, digit, ANY_DIGIT)
    return (
        actions.c.error_kind,
        actions.c.kind,
        actions.c.ruleset,
        actions.c.rule,
        words.label("words"),
    )


def _troubled(integration: str, *, with_held: bool) -> list[ColumnElement[bool]]:
    """Return the conditions of what failed, of what waits and of what is under way: an index holds each of them."""
    mine = actions.c.integration == integration
    failed = HAS_FAILED if with_held else and_(HAS_FAILED, actions.c.error_kind != HELD)
    said = actions.c.message != ""
    return [and_(mine, failed), and_(mine, IS_WAITING, said), and_(mine, IS_CLAIMED, said)]


def _has(text: str) -> ColumnElement[bool]:
    return or_(
        *(column.icontains(text, autoescape=True) for column in (*ABOUT[:3], actions.c.message))
    )
