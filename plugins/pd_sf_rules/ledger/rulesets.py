"""Every version of a ruleset file that was ever in force, so that a bad edit leaves the last good one working."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exists, select

from pd_sf_rules.ledger.inserts import chunks, insert
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


def seen_since(c: Connection, versions: Mapping[str, str], since: datetime) -> set[str]:
    """Return the paths whose version, of those given by path, is the one in force last, and was seen since then."""
    other = ruleset_versions.alias("other")
    later = exists().where(
        other.c.path == ruleset_versions.c.path, other.c.last_seen > ruleset_versions.c.last_seen
    )
    found: set[str] = set()
    for chunk in chunks(versions):
        rows = c.execute(
            select(ruleset_versions.c.path, ruleset_versions.c.version).where(
                ruleset_versions.c.path.in_(chunk),
                ruleset_versions.c.version.in_([versions[path] for path in chunk]),
                ruleset_versions.c.last_seen > since,
                ~later,
            )
        )
        found |= {row.path for row in rows if versions[row.path] == row.version}
    return found


def last_good(c: Connection, path: str) -> tuple[str, str] | None:
    """(version, text) of the version of this file that was in force last, None when none ever was."""
    row = c.execute(
        select(ruleset_versions.c.version, ruleset_versions.c.text)
        .where(ruleset_versions.c.path == path)
        .order_by(ruleset_versions.c.last_seen.desc(), ruleset_versions.c.first_seen.desc())
        .limit(1)
    ).first()
    return None if row is None else (row.version, row.text)


@dataclass(frozen=True, slots=True)
class RulesetVersion:
    """One version of a file, and from when to when it was in force as far as runs saw."""

    path: str
    name: str
    version: str
    text: str
    first_seen: datetime
    last_seen: datetime


def versions_of(c: Connection, versions: Iterable[str]) -> dict[str, RulesetVersion]:
    """Those of the versions that were ever in force, by version; under several paths the one seen last."""
    found: dict[str, RulesetVersion] = {}
    for chunk in chunks(versions):
        rows = c.execute(
            select(ruleset_versions)
            .where(ruleset_versions.c.version.in_(chunk))
            .order_by(ruleset_versions.c.last_seen)
        )
        found.update((row["version"], RulesetVersion(**row)) for row in rows.mappings())
    return found


def history_of(c: Connection, path: str, *, limit: int = 100) -> list[RulesetVersion]:
    """Return the versions of a file (named without its folder) that were in force, the one seen last first."""
    rows = c.execute(
        select(ruleset_versions)
        .where(ruleset_versions.c.path == path)
        .order_by(ruleset_versions.c.last_seen.desc(), ruleset_versions.c.first_seen.desc())
        .limit(limit)
    )
    return [RulesetVersion(**row) for row in rows.mappings()]


def text_of(c: Connection, version: str) -> str | None:
    """The text of a version (a content hash, so the same under any path), None when it was never in force."""
    return c.scalars(
        select(ruleset_versions.c.text).where(ruleset_versions.c.version == version).limit(1)
    ).first()
