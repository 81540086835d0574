"""The log of what was done: events, decisions, actions and answers as one stream, newest first, in pages."""

import heapq
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Literal

from sqlalchemy import Column, ColumnElement, Connection, RowMapping, Select, tuple_

from pd_sf_rules.model import Source

Kind = Literal["event", "decision", "action", "answer"]
Level = Literal["debug", "info", "error"]
Reading = Callable[[], AbstractContextManager[Connection]]

RANK: Mapping[Kind, int] = {"event": 0, "decision": 1, "action": 2, "answer": 3}
"""Of one instant, the later ones follow from the earlier ones."""

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the stream: behind it come the older entries. `id` is a number, an action's is a text."""

    at: datetime
    rank: int
    id: int | str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the stream is to tell of; every field left out asks for everything.

    `records` and `incidents`: entries about any of either. `rules` are (ruleset, rule). `outcome` is a word of
    activity_branches.OUTCOMES. `since` and `until` (UTC, inclusive) bound when a thing was recorded.
    """

    integration: str | None = None
    records: frozenset[str] = frozenset()
    incidents: frozenset[str] = frozenset()
    rules: frozenset[tuple[str, str]] | None = None
    outcome: str | None = None
    source: Source | None = None
    kind: Kind | None = None
    since: datetime | None = None
    until: datetime | None = None
    level: Level = "info"

    @property
    def about(self) -> bool:
        """Whether it asks about records or incidents."""
        return bool(self.records or self.incidents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the log. `at` (UTC) is when it was recorded.

    `outcome`: of an event its state; of a decision `matched` or `unmatched`; of an action where it stands now,
    `held` where a breaker holds it; of an answer how the attempt ended, `retry` for one that is made again.
    `facts` are the rest of the row by column name.
    """

    kind: Kind
    at: datetime
    id: int | str
    level: Level
    integration: str
    event_id: str
    source: Source
    object: str | None
    record_id: str | None
    incident_id: str | None
    ruleset: str = ""
    rule: str = ""
    outcome: str
    run_id: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        """Where it stands in the stream."""
        return Place(self.at, RANK[self.kind], self.id)


@dataclass(frozen=True, slots=True)
class Branch:
    """One part of the stream that an index yields in order: `query` still lacks the place, the order and the limit."""

    kind: Kind
    query: Select[Any]
    at: Column[datetime]
    id: Column[Any]
    entry: Callable[[RowMapping], Entry]

    def fetch(self, c: Connection, before: Place | None, limit: int) -> list[Entry]:
        """Return the next entries behind `before`."""
        query = self.query.order_by(self.at.desc(), self.id.desc()).limit(limit)
        if before is not None:
            query = query.where(self._behind(before))
        return [self.entry(row) for row in c.execute(query).mappings()]

    def _behind(self, before: Place) -> ColumnElement[bool]:
        rank = RANK[self.kind]
        if rank > before.rank:
            return self.at < before.at
        if rank < before.rank:
            return self.at <= before.at
        return tuple_(self.at, self.id) < (before.at, before.id)


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first; `older` is the place of the last one when there are more behind it."""

    entries: list[Entry]
    older: Place | None


def page(c: Connection, branches: list[Branch], *, before: Place | None, limit: int) -> Page:
    """Return at most `limit` entries behind `before` (from the newest on without it)."""
    merged = stream(lambda: nullcontext(c), branches, before=before, chunk=limit + 1)
    found = list(islice(merged, limit + 1))
    more = len(found) > limit
    return Page(found[:limit], found[limit - 1].place if more else None)


def stream(
    reading: Reading, branches: list[Branch], *, before: Place | None = None, chunk: int = CHUNK
) -> Iterator[Entry]:
    """Yield every entry behind `before`, newest first, holding at most `chunk` of each branch in memory.

    Each chunk is read in a transaction of its own, so that a slow reader keeps none open.
    """
    last: tuple[Kind, int | str] | None = None
    parts = [_entries(reading, branch, before, chunk) for branch in branches]
    for entry in heapq.merge(*parts, key=_order, reverse=True):
        if (entry.kind, entry.id) != last:
            yield entry
        last = (entry.kind, entry.id)


def _order(entry: Entry) -> tuple[datetime, int, int | str]:
    return entry.at, RANK[entry.kind], entry.id


def _entries(reading: Reading, branch: Branch, before: Place | None, chunk: int) -> Iterator[Entry]:
    while True:
        with reading() as c:
            found = branch.fetch(c, before, chunk)
        yield from found
        if len(found) < chunk:
            return
        before = found[-1].place
