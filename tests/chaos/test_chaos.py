"""Random people, faults, kills and concurrency: nothing is lost and nothing happens twice, whatever the seed."""

import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from pd_sf_rules.ledger import Ledger, actions, events, links, open_ledger
from pd_sf_rules.ledger.tables import metadata
from pd_sf_rules.planning import kinds
from sandbox.running import running_sandbox
from sandbox.salesforce.seed import API_USER
from sandbox.salesforce.settings import ConnectedApp
from sandbox.world import World
from tests.chaos import demands, rules, troubles
from tests.chaos.clock import VirtualClock
from tests.chaos.play import Play
from tests.chaos.steps import Steps

pytest_plugins = ["tests.integration.ledger_databases"]

SEED = os.environ.get("PDSF_CHAOS_SEED")
FIRST = int(os.environ.get("PDSF_CHAOS_FIRST", "0"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("PDSF_CHAOS_SEEDS", "60")))
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
        ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
        yield ledger
        ledger.close()


@pytest.fixture
def sqlite_ledger(opened: Ledger) -> Ledger:
    """An empty ledger in SQLite."""
    with opened.begin() as c:
        for table in reversed(metadata.sorted_tables):
            c.execute(delete(table))
    return opened


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
    for name, value in (sandbox.connections | {"AIRFLOW_CONN_SALESFORCE_DEFAULT": json.dumps(salesforce)}).items():
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
    wrong = [f"not linked: {pair}" for pair in demands.links_wanted(now) - there]
    wrong += [f"linked: {pair}" for pair in there - demands.links_wanted(now)]
    wrong += [f"not judged: {one.id}" for one in waiting]
    wrong += [
        f"left in the outbox: {one.state} {one.kind} {one.event_id} {one.error_kind} {one.message}"
        for one in still
        if one.kind not in kinds.NOTE_COPIES
        or one.record_id in linked_cases
        or one.incident_id in linked_incidents
    ]
    return wrong


def _play(seed: int, sandbox: World, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, home: Path, ledger: Ledger) -> None:
    troubles.calm(sandbox)
    clock.restart()
    sandbox.reset()
    sandbox.pagerduty.limits.per_minute = 0
    sandbox.pagerduty._random = random.Random(seed)
    _home(sandbox, home, monkeypatch)
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
        print(f"Seed {seed}; replay it by `make chaos SEED={seed}`.\n{story}\n{there}\n{error}")
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
