"""Every version of a ruleset file that was ever in force, so that a bad edit leaves the last good one working."""

from datetime import datetime

from sqlalchemy import Connection, select

from pd_sf_rules.ledger.inserts import insert
from pd_sf_rules.ledger.tables import ruleset_versions


def remember(c: Connection, path: str, name: str, version: str, text: str, now: datetime) -> None:
    """Note that this version of the file is good and in force now."""
    statement = insert(c, ruleset_versions).values(
        path=path, version=version, name=name, text=text, first_seen=now, last_seen=now
    )
    c.execute(
        statement.on_conflict_do_update(
            index_elements=["path", "version"], set_={"name": name, "last_seen": now}
        )
    )


def last_good(c: Connection, path: str) -> tuple[str, str] | None:
    """(version, text) of the version of this file that was in force last, None when none ever was."""
    row = c.execute(
        select(ruleset_versions.c.version, ruleset_versions.c.text)
        .where(ruleset_versions.c.path == path)
        .order_by(ruleset_versions.c.last_seen.desc(), ruleset_versions.c.first_seen.desc())
        .limit(1)
    ).first()
    return None if row is None else (row.version, row.text)


def text_of(c: Connection, version: str) -> str | None:
    """The text of a version (a content hash, so the same under any path), None when it was never in force."""
    return c.scalars(
        select(ruleset_versions.c.text).where(ruleset_versions.c.version == version).limit(1)
    ).first()
