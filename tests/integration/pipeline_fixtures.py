"""Fixtures of the pipeline tests: one sandbox for the session, a world of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.running import running_sandbox
from sandbox.world import World
from tests.integration.pipeline_world import Clock, PipelineWorld, opened_world


@pytest.fixture(scope="session")
def sandbox_clock() -> Clock:
    """The clock of the session's sandbox."""
    return Clock()


@pytest.fixture(scope="session")
def session_sandbox(sandbox_clock: Clock) -> Iterator[World]:
    """One sandbox for the session; each test gets it freshly reset."""
    with running_sandbox(clock=sandbox_clock) as world:
        yield world


@pytest.fixture
def world(
    session_sandbox: World,
    sandbox_clock: Clock,
    migrated_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[PipelineWorld]:
    """A world of this test's own, its ledger in a SQLite file."""
    (tmp_path / "ledger.db").write_bytes(migrated_file.read_bytes())
    with opened_world(
        session_sandbox, sandbox_clock, tmp_path, f"sqlite:///{tmp_path}/ledger.db", monkeypatch
    ) as opened:
        yield opened


@pytest.fixture
def both_worlds(
    session_sandbox: World,
    sandbox_clock: Clock,
    ledger_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[PipelineWorld]:
    """A world whose ledger is in SQLite and, in a second run, in PostgreSQL."""
    with opened_world(session_sandbox, sandbox_clock, tmp_path, ledger_url, monkeypatch) as opened:
        yield opened
