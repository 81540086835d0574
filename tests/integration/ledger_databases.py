"""Fixtures: every ledger test runs on SQLite and, where its server is installed, on PostgreSQL."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pd_sf_rules.ledger import Ledger, open_ledger
from pd_sf_rules.ledger.tables import metadata
from sandbox.postgres import (
    HOW_TO_GET,
    PostgresServer,
    running_postgres,
    server_binaries,
)

EMPTYING_ORDER = list(reversed(metadata.sorted_tables))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the session; without its binaries the test is skipped, saying how to get them."""
    binaries = server_binaries()
    if binaries is None:
        pytest.skip(HOW_TO_GET)
    with running_postgres(binaries) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> str:
    """A database at the newest revision, emptied before each test that takes it: quicker than a new one."""
    name = postgres_server.new_database()
    open_ledger(postgres_server.url(name)).close()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.url(server.new_database())


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file at the newest revision, to copy from."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    open_ledger(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a ledger of this test's own."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "ledger.db")
        return f"sqlite:///{tmp_path}/ledger.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name: str = request.getfixturevalue("migrated_database")
    server.execute(*(f"DELETE FROM {t.name}" for t in EMPTYING_ORDER), database=name)
    return server.url(name)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An open ledger of this test's own."""
    opened = open_ledger(ledger_url)
    yield opened
    opened.close()
