"""Inserts that may find the row there already, and lists cut to what one statement takes."""

from collections.abc import Iterable, Iterator
from itertools import islice

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

CHUNK = 500  # SQLite takes 32,766 variables in one statement at best, 999 in old builds


def insert(c: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ON CONFLICT, in the dialect of `c`."""
    return insert_in(c.dialect.name, table)


def insert_in(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """The same in a dialect by name, for statements that are put together once and kept."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    """The distinct ids, sorted, in lists that fit into one IN."""
    rest = iter(sorted(set(ids)))
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
