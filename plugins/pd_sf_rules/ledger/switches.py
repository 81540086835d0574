"""Rulesets that a person switched on or off beside what their files say: each turn is kept, the last one holds."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from pd_sf_rules.ledger.tables import ruleset_switches


@dataclass(frozen=True, slots=True)
class Switch:
    """One turn. `path` is the file's name without its folder; `enabled` None takes the switch back: the file decides.

    `turned_by` and `why` are a person's own words.
    """

    path: str
    enabled: bool | None
    turned_at: datetime
    turned_by: str
    why: str


def turn(c: Connection, switch: Switch) -> None:
    """Keep a turn; from now on it holds for its file."""
    c.execute(insert(ruleset_switches).values(**asdict(switch)))


def in_force(c: Connection) -> dict[str, Switch]:
    """Return the switches that hold, by file; one that was taken back is absent."""
    last = select(func.max(ruleset_switches.c.seq)).group_by(ruleset_switches.c.path)
    query = select(ruleset_switches).where(ruleset_switches.c.seq.in_(last))
    found = (_switch(dict(row)) for row in c.execute(query).mappings())
    return {one.path: one for one in found if one.enabled is not None}


def turns_of(c: Connection, path: str, *, limit: int = 50) -> list[Switch]:
    """Return the turns of a file's switch, the last one first."""
    query = (
        select(ruleset_switches)
        .where(ruleset_switches.c.path == path)
        .order_by(ruleset_switches.c.seq.desc())
        .limit(limit)
    )
    return [_switch(dict(row)) for row in c.execute(query).mappings()]


def _switch(row: dict[str, object]) -> Switch:
    row.pop("seq")
    return Switch(**row)  # type: ignore[arg-type]
