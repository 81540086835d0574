"""An integration of its own for chaos in the shared Airflow: its own two systems, people, faults, kills and calm."""

import json
import os
import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import psutil

from pd_sf_rules.ledger import actions, events, links
from pd_sf_rules.planning import kinds
from sandbox.salesforce.seed import API_USER
from sandbox.salesforce.settings import ConnectedApp
from sandbox.world import World
from tests.airflow.sync_world import SYNC_DAGS, SyncWorld, eventually
from tests.chaos import demands, rules, troubles
from tests.chaos.people import People

NAME = "chaos"
DAGS = tuple(f"{name}__{NAME}" for name in SYNC_DAGS)
KILLS = ("task", "triggerer", "scheduler")
LATE_SECONDS = 125
"""How far the systems' clock moves in the calm: entries that the log shows late are shown by then."""


class LeapingClock:
    """The two systems' clock: the machine's, which people's acts move ahead by some seconds each."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        """Now, in UTC."""
        return datetime.now(UTC) + self._ahead

    def pass_(self, seconds: float) -> None:
        """Leap ahead."""
        self._ahead += timedelta(seconds=seconds)


@dataclass(slots=True)
class Chaos:
    """Two systems of their own that the shared Airflow keeps in step. `story` tells what happened to them."""

    sync: SyncWorld
    sandbox: World
    clock: LeapingClock
    people: People
    story: list[str] = field(default_factory=list)

    def play(self, seed: int) -> None:
        """People act amid faults; once in each round a process is killed while it is at work."""
        rng = Random(seed)
        self.people.rng = Random(seed + 1)
        self.story.clear()
        for number in range(3):
            self.story.append(f"--- round {number}")
            troubles.plan(self.sandbox, rng, self.story)
            before = self.sandbox.traffic.last_number()
            for _ in range(rng.randint(2, 5)):
                self.people.act()
            calls = rng.randint(5, 40)
            eventually(
                lambda before=before, calls=calls: (  # type: ignore[misc]
                    self.sandbox.traffic.last_number() >= before + calls
                ),
                "the sync to be at work",
            )
            if number == 1:
                self._kill(KILLS[seed % len(KILLS)])
            elif rng.random() < 0.5:
                self._kill("task")

    def calm(self) -> None:
        """Nothing goes wrong any more, and what is open in Salesforce commits."""
        self.story.append("--- calm")
        troubles.calm(self.sandbox)
        self.people.let_commit()
        self.clock.pass_(LATE_SECONDS)

    def wrong(self) -> list[str]:
        """Every demand that is not met, in words: of the two systems' journals, and of the ledger."""
        now = demands.truth(self.sandbox)
        return [*demands.broken(now), *demands.repeated(now), *self._left_over(now)]

    def told(self) -> str:
        """The story, and both systems as they stand."""
        return "\n".join([*self.story, demands.shown(demands.truth(self.sandbox))])

    def _left_over(self, now: demands.Truth) -> list[str]:
        wanted = demands.links_wanted(now)
        linked = {one for pair in wanted for one in pair}
        with self.sync.sides.ledger.read() as c:
            there = {(one.record_id, one.incident_id) for one in links.all_links(c, NAME)}
            still = actions.open_actions(c, NAME)
            waiting = [
                *events.pending_events(c, NAME, "salesforce"),
                *events.pending_events(c, NAME, "pagerduty"),
            ]
        gone: Collection[str] = now.deleted
        there = {pair for pair in there if pair[0] not in gone}
        return [
            *(f"not linked: {pair}" for pair in wanted - there),
            *(f"linked: {pair}" for pair in there - wanted),
            *(f"not judged: {one.id}" for one in waiting),
            *(
                f"left in the outbox: {one.state} {one.kind} {one.event_id} {one.message}"
                for one in still
                # A lost answer that nobody can look up is left to a person, in plain sight.
                if not (one.state == "failed" and "no way to ask" in one.message)
                if one.kind not in kinds.NOTE_COPIES or {one.record_id, one.incident_id} & linked
            ),
        ]

    def _kill(self, what: str) -> None:
        pids = self.sync.airflow.components.pids()
        victim = pids.get(what) or eventually(lambda: at_work(pids["scheduler"]), "a task at work")
        self.story.append(f"    KILLED {what} {victim}")
        with suppress(ProcessLookupError):  # a task that has ended a moment ago
            os.kill(victim, signal.SIGKILL)


def at_work(scheduler: int) -> int | None:
    """The process of a task at work, which a worker of LocalExecutor supervises; None in a quiet moment."""
    with suppress(psutil.NoSuchProcess):
        for one in psutil.Process(scheduler).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if one.ppid() != scheduler and one.status() != psutil.STATUS_ZOMBIE:
                    return one.pid
    return None


@contextmanager
def looked_after(sync: SyncWorld) -> Iterator[None]:
    """Start again what ends, as `make up` does, for the length of the block."""
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.5):
            sync.airflow.components.restart_ended()

    watcher = threading.Thread(target=look, name="as make up does")
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def leave(sync: SyncWorld) -> None:
    """Take settings and rules away again: what comes after it in the shared Airflow reads these folders too."""
    for path in sync.sides.home.glob("*/chaos*.yaml"):
        path.unlink()


def join(sync: SyncWorld, sandbox: World) -> None:
    """Give the shared Airflow connections, settings and rules for these two systems, and switch their DAGs on."""
    app = ConnectedApp(consumer_key="chaos", consumer_secret="hush", run_as=API_USER)
    sandbox.salesforce.register_app(app)
    sandbox.pagerduty.limits.per_minute = 0
    extra = {
        "consumer_key": app.consumer_key,
        "consumer_secret": app.consumer_secret,
        "login_url": sandbox.salesforce_url,
    }
    pagerduty: dict[str, Any] = sandbox.pagerduty_connection()
    for name, body in {
        "salesforce": {"conn_type": "salesforce", "login": API_USER, "extra": json.dumps(extra)},
        "pagerduty": {**pagerduty, "extra": json.dumps(pagerduty["extra"])},
    }.items():
        named = {"connection_id": f"{name}_{NAME}", **body}
        sync.airflow.call("POST", "/connections", json=named)
    home = sync.sides.home
    for file, text in (("paging", rules.PAGING), ("mirroring", rules.MIRRORING)):
        (home / "rulesets" / f"chaos-{file}.yaml").write_text(f"{text}integration: {NAME}\n")
    settings = rules.INTEGRATION.replace("name: default", f"name: {NAME}")
    conn_ids = f"salesforce_conn_id: salesforce_{NAME}\npagerduty_conn_id: pagerduty_{NAME}\n"
    (home / "integrations" / "chaos.yaml").write_text(f"{settings}{conn_ids}poll_seconds: 1\n")
    sync.start(*DAGS)
