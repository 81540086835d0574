"""One ledger database: how it is opened, and its two kinds of transaction."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import forking, migrating
from pd_sf_rules.ledger.address import HINT, parse_url, shown
from pd_sf_rules.ledger.engines import in_memory, reading_and_writing
from pd_sf_rules.ledger.failures import translated
from pd_sf_rules.ledger.tables import metadata


class Ledger:
    """An open ledger. Threads may share it, and forked children: every transaction has its own connection."""

    def __init__(self, url: URL) -> None:
        self.name = shown(url)
        self._reader, self._writer = reading_and_writing(url)

    def __repr__(self) -> str:
        return f"Ledger({self.name})"

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One write transaction: committed at the end of the block, undone when it raises.

        SQLite lets one writer in at a time: the others wait here, up to 30 s. Keep it short, call no
        server inside, and open no second one inside. Raises RetryableError (locked, gone) or ConfigError.
        """
        forking.check(self._writer)
        with translated(self.name), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One reading transaction that sees the ledger as it was at its first statement."""
        forking.check(self._writer)
        with translated(self.name), self._reader.begin() as connection:
            yield connection

    def upgrade(self, revision: str = "head") -> str:
        """Bring the tables to `revision`; returns the revision they have now. Safe beside other processes."""
        with self.begin() as connection:
            return migrating.upgrade(connection, self.name, revision)

    def revision(self) -> str | None:
        """The revision the tables have, None in an empty database."""
        with self.read() as connection:
            return migrating.revision(connection)

    @contextmanager
    def in_memory(self) -> Iterator[None]:
        """Work on empty tables in memory, and leave the file alone; for SQLite, and where no thread shares it."""
        with in_memory(self._writer):
            with self.begin() as connection:
                metadata.create_all(connection)
            yield

    def close(self) -> None:
        """Give every pooled connection back to the system."""
        self._writer.dispose()


_rehearsed: dict[URL, Ledger] = {}


@contextmanager
def rehearsed(url: str) -> Iterator[Ledger]:
    """Give a ledger in memory that knows afterwards how to ask the one at `url` (SQLite): the next to open that has it.

    A process that forks others so saves each of them the work; the file is not touched.
    """
    parsed = parse_url(url)
    ledger = Ledger(parsed)
    with ledger.in_memory():
        yield ledger
    _rehearsed[parsed] = ledger


def open_ledger(url: str) -> Ledger:
    """The ledger at `url`, created or migrated where needed.

    `sqlite:///file` or `postgresql://...` (also `postgres://`). Raises ConfigError naming the database
    (password masked) for a wrong URL, a missing folder, missing rights, a corrupt file, a foreign or a newer
    database; RetryableError when it is locked or out of reach.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        _check_place(parsed)
    ledger = _rehearsed.pop(parsed, None) or Ledger(parsed)
    try:
        if not _is_current(ledger):
            ledger.upgrade()
    except BaseException:
        ledger.close()
        raise
    return ledger


def _is_current(ledger: Ledger) -> bool:
    revision = ledger.revision()
    if revision == migrating.HEAD:
        return True
    if revision is not None:
        migrating.check_known(revision, ledger.name)
    return False


def _check_place(url: URL) -> None:
    """Say what is wrong with the file's place in words that SQLite has not."""
    path = Path(url.database or "")
    try:
        if not path.parent.is_dir():
            raise ConfigError(
                f"Ledger {shown(url)}: its folder {path.parent} does not exist.",
                hint="Make the folder, or set PDSF_LEDGER_URL to another place.",
            )
        if path.is_dir():
            raise ConfigError(f"Ledger {shown(url)}: this is a folder, not a file.", hint=HINT)
        allowed = os.access(path.parent, os.W_OK | os.X_OK) and (
            not path.exists() or os.access(path, os.R_OK | os.W_OK)
        )
    except PermissionError:
        allowed = False
    if not allowed:
        raise ConfigError(
            f"Ledger {shown(url)}: this user may not write it.",
            hint="Give this user write access to the file and to its folder.",
        )
