"""What a person has paused: an integration or one of its rulesets, whose actions queue meanwhile."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from pd_sf_rules.ledger.inserts import insert
from pd_sf_rules.ledger.tables import pauses

EVERYTHING = ""
"""The ruleset of a pause that holds for the whole integration."""


@dataclass(frozen=True, slots=True)
class Pause:
    """`ruleset` "" pauses all of the integration; `paused_by` and `why` are a person's own words."""

    integration: str
    ruleset: str
    paused_at: datetime
    paused_by: str
    why: str


def add_pause(c: Connection, pause: Pause) -> bool:
    """Begin a pause; False, and the first one's words stay, when it is paused already."""
    statement = insert(c, pauses).values(**asdict(pause)).on_conflict_do_nothing()
    return c.execute(statement.returning(pauses.c.ruleset)).first() is not None


def end_pause(c: Connection, integration: str, ruleset: str) -> bool:
    """End a pause; False when there was none."""
    statement = delete(pauses).where(
        pauses.c.integration == integration, pauses.c.ruleset == ruleset
    )
    return c.execute(statement.returning(pauses.c.ruleset)).first() is not None


def pauses_of(c: Connection, integration: str) -> list[Pause]:
    """Return the pauses in force, the one of the whole integration first, then by ruleset."""
    query = select(pauses).where(pauses.c.integration == integration).order_by(pauses.c.ruleset)
    return [Pause(**row) for row in c.execute(query).mappings()]


def is_paused(ruleset: str, paused: Collection[str]) -> bool:
    """Say whether the actions of a ruleset queue, given the rulesets that are paused."""
    return EVERYTHING in paused or ruleset in paused
