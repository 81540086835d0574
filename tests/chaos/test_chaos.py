"""Random people, faults, kills and concurrency: nothing is lost and nothing happens twice, whatever the seed."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from pd_sf_rules.ledger import Ledger, actions, events, links, open_ledger
from pd_sf_rules.ledger.tables import metadata
from pd_sf_rules.planning import kinds
from sandbox.postgres import PostgresServer
from sandbox.running import running_sandbox
from sandbox.salesforce.seed import API_USER
from sandbox.salesforce.settings import ConnectedApp
from sandbox.world import World
from tests.chaos import demands, rules, troubles
from tests.chaos.clock import VirtualClock
from tests.chaos.people import People
from tests.chaos.play import Play
from tests.chaos.steps import Steps

pytest_plugins = ["tests.integration.ledger_databases"]

SEED = os.environ.get("PDSF_CHAOS_SEED")
FIRST = int(os.environ.get("PDSF_CHAOS_FIRST", "0"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("PDSF_CHAOS_SEEDS", "200")))
POSTGRES_SEEDS = 3
KILLED_SEEDS = 2
ROOT = Path(__file__).resolve().parents[2]
MEMORY = Path("/dev/shm")
CHOSEN = [int(SEED)] if SEED else list(SEEDS)


@pytest.fixture(scope="module")
def clock() -> VirtualClock:
    """The clock of everything."""
    return VirtualClock()


@pytest.fixture(scope="module")
def sandbox(clock: VirtualClock) -> Iterator[World]:
    """One sandbox for all seeds."""
    with running_sandbox(clock=clock) as world:
        yield world


@pytest.fixture(scope="module")
def opened(migrated_file: Path) -> Iterator[Ledger]:
    """A ledger whose file is replaced for each seed: its compiled statements serve them all."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        shutil.copy(migrated_file, f"{folder}/ledger.db")
        # Nobody waits long for a ledger that the play locks.
        ledger = open_ledger(f"sqlite:///{folder}/ledger.db?timeout=0.02")
        yield ledger
        ledger.close()


@pytest.fixture
def sqlite_ledger(opened: Ledger) -> Ledger:
    """An empty ledger in SQLite."""
    return _emptied(opened)


def _emptied(ledger: Ledger) -> Ledger:
    with ledger.begin() as c:
        for table in reversed(metadata.sorted_tables):
            c.execute(delete(table))
    return ledger


def _home(sandbox: World, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rulesets", "integrations"):
        (home / name).mkdir()
    (home / "rulesets" / "a.yaml").write_text(rules.PAGING)
    (home / "rulesets" / "b.yaml").write_text(rules.MIRRORING)
    (home / "integrations" / "default.yaml").write_text(rules.INTEGRATION)
    monkeypatch.setenv("PDSF_RULESETS_DIR", str(home / "rulesets"))
    monkeypatch.setenv("PDSF_INTEGRATIONS_DIR", str(home / "integrations"))
    # A log-in by client credentials, for a signature costs more than all of a pass.
    app = ConnectedApp(consumer_key="chaos", consumer_secret="hush", run_as=API_USER)
    sandbox.salesforce.register_app(app)
    extra = {
        "consumer_key": app.consumer_key,
        "consumer_secret": app.consumer_secret,
        "login_url": sandbox.salesforce_url,
    }
    salesforce = {"conn_type": "salesforce", "login": API_USER, "extra": extra}
    for name, value in (
        sandbox.connections | {"AIRFLOW_CONN_SALESFORCE_DEFAULT": json.dumps(salesforce)}
    ).items():
        monkeypatch.setenv(name, value)


def _left_over(ledger: Ledger, now: demands.Truth) -> list[str]:
    """What the ledger still holds open, and the links that are missing."""
    linked_cases = {case_id for case_id, _ in demands.links_wanted(now)}
    linked_incidents = {incident_id for _, incident_id in demands.links_wanted(now)}
    with ledger.read() as c:
        there = {(one.record_id, one.incident_id) for one in links.all_links(c, "default")}
        still = actions.open_actions(c, "default")
        waiting = [
            *events.pending_events(c, "default", "salesforce"),
            *events.pending_events(c, "default", "pagerduty"),
        ]
    there = {pair for pair in there if pair[0] not in now.deleted}
    wrong = [f"not linked: {pair}" for pair in demands.links_wanted(now) - there]
    wrong += [f"linked: {pair}" for pair in there - demands.links_wanted(now)]
    wrong += [f"not judged: {one.id}" for one in waiting]
    wrong += [
        f"left in the outbox: {one.state} {one.kind} {one.event_id} {one.error_kind} {one.message}"
        for one in still
        if not _is_left_to_a_person(one)
        and (
            one.kind not in kinds.NOTE_COPIES
            or one.record_id in linked_cases
            or one.incident_id in linked_incidents
        )
    ]
    return wrong


def _is_left_to_a_person(action: actions.StoredAction) -> bool:
    """Say whether this is a lost answer that nobody can look up: it fails in plain sight, and is not sent again."""
    asked_once = {"run_incident_workflow", "publish_status_update", "add_responders"}
    return (
        action.kind in asked_once and action.state == "failed" and "no way to ask" in action.message
    )


def _set_up(
    seed: int, sandbox: World, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    troubles.calm(sandbox)
    clock.restart()
    sandbox.reset()
    sandbox.pagerduty.limits.per_minute = 0
    sandbox.pagerduty._random = random.Random(seed)
    _home(sandbox, home, monkeypatch)


def _play(
    seed: int,
    sandbox: World,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    ledger: Ledger,
) -> None:
    _set_up(seed, sandbox, clock, monkeypatch, home)
    clock.rule(monkeypatch)
    steps = Steps(clock)
    steps.install(monkeypatch)
    play = Play(seed, sandbox, clock, steps, ledger)
    try:
        play.run()
        now = demands.truth(sandbox)
        wrong = [*demands.broken(now), *demands.repeated(now), *_left_over(ledger, now)]
        assert not wrong, demands.sorted_lines(wrong)
    except BaseException as error:
        story = "\n".join(play.story)
        there = demands.shown(demands.truth(sandbox))
        error.add_note(f"Seed {seed}; replay it by `make chaos SEED={seed}`.\n{story}\n{there}")
        raise


@pytest.mark.parametrize("seed", CHOSEN)
def test_nothing_is_lost_and_nothing_happens_twice(
    seed: int,
    sandbox: World,
    clock: VirtualClock,
    sqlite_ledger: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After any mixture of actions, faults and kills: each effect once, both sides in step, then silence."""
    _play(seed, sandbox, clock, monkeypatch, tmp_path, sqlite_ledger)


@pytest.mark.parametrize("seed", CHOSEN[:POSTGRES_SEEDS])
def test_the_same_on_postgresql(
    seed: int,
    sandbox: World,
    clock: VirtualClock,
    postgres_server: PostgresServer,
    migrated_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ledger's other database keeps the same promises."""
    ledger = open_ledger(postgres_server.url(migrated_database))
    try:
        _emptied(ledger)
        _play(seed, sandbox, clock, monkeypatch, tmp_path, ledger)
    finally:
        ledger.close()


@pytest.mark.parametrize("seed", CHOSEN[:KILLED_SEEDS])
def test_processes_killed_anywhere(
    seed: int,
    sandbox: World,
    clock: VirtualClock,
    sqlite_ledger: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`pdsf sync` is ended by SIGKILL after some request of its own, again and again; then it may finish."""
    story: list[str] = []
    rng = random.Random(seed)
    _set_up(seed, sandbox, clock, monkeypatch, tmp_path)
    monkeypatch.setenv("PDSF_LEDGER_URL", sqlite_ledger.name)
    people = People(sandbox, clock, rng, story)
    _finish(_process(tmp_path))
    for _ in range(4):
        for _ in range(3):
            people.act()
        process = _process(tmp_path)
        until = sandbox.traffic.last_number() + rng.randint(4, 25)
        while process.poll() is None and sandbox.traffic.last_number() < until:
            time.sleep(0.002)  # a process of its own cannot tell us more than its traffic does
        process.kill()
        process.communicate()
    people.let_commit()
    for _ in range(3):
        before = sandbox.traffic.last_number()
        _finish(_process(tmp_path))
    assert sandbox.traffic.requests(writes_only=True, after=before) == []
    now = demands.truth(sandbox)
    wrong = [*demands.broken(now), *demands.repeated(now), *_left_over(sqlite_ledger, now)]
    told = "\n".join([*story, demands.shown(now)])
    assert not wrong, f"{demands.sorted_lines(wrong)}\n{told}"


def _process(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pd_sf_rules", "sync"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "plugins")},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finish(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
