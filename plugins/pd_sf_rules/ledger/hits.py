"""How often rules matched, counted from an index that holds the first action of every match."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.sql.selectable import ScalarSelect

from pd_sf_rules.ledger.tables import IS_FIRST, actions

CHUNK = 100
"""Rules in one statement."""

Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Hits:
    """Matches of one rule since each of the instants asked for, live and shadow; `last` is when it matched last."""

    since: Sequence[int]
    last: datetime | None


def hits(c: Connection, rules: Sequence[Name], since: Sequence[datetime]) -> dict[Name, Hits]:
    """Count for each rule, named as (ruleset, rule), its matches since each of those instants (UTC)."""
    found: dict[Name, Hits] = {}
    width = len(since) + 1
    for first in range(0, len(rules), CHUNK):
        chunk = list(dict.fromkeys(rules[first : first + CHUNK]))
        columns = [column for rule in chunk for column in _of_rule(rule, since)]
        row = list(c.execute(select(*columns)).one())
        for n, rule in enumerate(chunk):
            last, *counts = row[n * width : (n + 1) * width]
            found[rule] = Hits(counts, last)
    return found


def _of_rule(rule: Name, since: Sequence[datetime]) -> list[ScalarSelect[Any]]:
    mine = (actions.c.ruleset == rule[0], actions.c.rule == rule[1], IS_FIRST)
    last = select(func.max(actions.c.created_at)).where(*mine).scalar_subquery()
    counts = [
        select(func.count()).where(*mine, actions.c.created_at >= at).scalar_subquery()
        for at in since
    ]
    return [last, *counts]
