"""Notes and comments that were seen or written, known by their ids and by a digest of their text."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Literal

from sqlalchemy import Connection, select
from sqlalchemy.sql.dml import ReturningInsert

from pd_sf_rules.ledger.inserts import chunks, insert_in
from pd_sf_rules.ledger.tables import notes
from pd_sf_rules.model import SALESFORCE, Source


@dataclass(frozen=True, slots=True)
class KnownNote:
    """A note in one system. `origin` "ours": this product wrote it, by `action_id`; "theirs": somebody else did."""

    integration: str
    system: Source
    note_id: str
    record_id: str | None
    incident_id: str | None
    digest: str
    action_id: str | None
    seen_at: datetime
    origin: Literal["theirs", "ours"]


def add_note(c: Connection, note: KnownNote) -> bool:
    """Remember a note; False when its id is known in that system already (nothing is changed then)."""
    return c.execute(_adding(c.dialect.name), asdict(note)).first() is not None


@cache
def _adding(dialect: str) -> ReturningInsert[tuple[str]]:
    return insert_in(dialect, notes).on_conflict_do_nothing().returning(notes.c.note_id)


def known_notes(c: Connection, integration: str, system: Source, ids: Iterable[str]) -> set[str]:
    """Those of the note ids that are known in that system."""
    known: set[str] = set()
    for chunk in chunks(ids):
        known.update(
            c.scalars(
                select(notes.c.note_id).where(
                    notes.c.integration == integration,
                    notes.c.system == system,
                    notes.c.note_id.in_(chunk),
                )
            )
        )
    return known


def note_digests(
    c: Connection, integration: str, system: Source, target_id: str
) -> dict[str, list[KnownNote]]:
    """The known notes on a target by digest: of a record in Salesforce, of an incident in PagerDuty."""
    place = notes.c.record_id if system == SALESFORCE else notes.c.incident_id
    rows = c.execute(
        select(notes)
        .where(notes.c.integration == integration, notes.c.system == system, place == target_id)
        .order_by(notes.c.seen_at, notes.c.note_id)
    )
    found: dict[str, list[KnownNote]] = {}
    for row in rows.mappings():
        found.setdefault(row["digest"], []).append(KnownNote(**row))
    return found
