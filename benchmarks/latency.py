"""From a change to its effect on the other side, beside what Airflow itself needs from a change to a task.

One embedded Airflow (SQLite, LocalExecutor) runs the sync DAGs between the simulated services and, in turns with
them, a DAG whose only task does nothing. The watchers of the sync look once a second, the other's a little oftener.
A change comes at a random moment between two looks, all parts of that second alike, and only when every run before
it has ended.
"""

import contextlib
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.table import Line
from embedded import RunningAirflow, running_airflow
from embedded.rest import FINISHED, wait_until
from sandbox.pagerduty import incidents
from sandbox.running import running_sandbox
from sandbox.world import World

ROOT = Path(__file__).resolve().parents[1]
FLOOR = ROOT / "benchmarks" / "floor"
ROUNDS = 16
LAST_ROUNDS = 4
"""In the last rounds the way back is on, too: each page's own log entry then starts a run, which takes a while."""

POLL_SECONDS = 1.0
FLOOR_POLL_SECONDS = 26 / 27 * POLL_SECONDS
"""So that its looks meet every moment of the triggerer's second in turn, instead of keeping the one they began at."""

LOOK_SECONDS = 0.004
PATIENCE_SECONDS = 180.0
PAGE, BACK, NOTHING = "salesforce_to_pagerduty", "pagerduty_to_salesforce", "floor"
RULES = """
version: 1
name: Important Cases
enabled: true
rules:
  - name: Page
    object: Case
    run_on: salesforce
    when: { field: Case.Priority, operation: equals, value: High }
    actions:
      - create_incident: { service: Support P1, title: "{{ record.Subject }}", details: "{{ links.record_url }}" }
  - name: Working
    object: Case
    run_on: pagerduty
    when: { field: event.type, operation: equals, value: acknowledge }
    actions:
      - update_record: { fields: { Status: Working } }
"""
SETTINGS = f"""
name: default
poll_seconds: {POLL_SECONDS}
limits: {{ incidents_per_rule: {{ count: 0, minutes: 10 }}, incidents: {{ count: 0, minutes: 10 }} }}
"""


@dataclass(slots=True)
class Bench:
    """Airflow between both services, and how many milliseconds each way took so far."""

    world: World
    airflow: RunningAirflow
    folder: Path
    on: tuple[str, ...] = ()
    """The sync DAGs that are switched on."""
    taken: dict[str, list[float]] = field(default_factory=lambda: {PAGE: [], BACK: [], NOTHING: []})

    def start(self, *dags: str) -> None:
        """Switch DAGs on, and wait until each is watched and those of the sync have had their first run."""
        began = datetime.now(UTC)
        for dag_id in dags:
            self.airflow.unpause(dag_id)
        for dag_id in dags:
            self.airflow.wait_for_watchers(dag_id)
        sync = tuple(dag_id for dag_id in dags if dag_id != NOTHING)
        self._quiet(began, *sync)
        self.on += sync

    def page(self, moment: float) -> str:
        """An important Case, until its incident is there and all runs have ended; returns the incident's id."""
        self._at(moment, self._looked("salesforce"))
        began = datetime.now(UTC)
        before = incidents.count(self.world.pagerduty, _ALL)
        self.world.salesforce.create("Case", CASE)
        self._until(PAGE, lambda: incidents.count(self.world.pagerduty, _ALL) > before)
        self._quiet(began, *self.on)
        (newest,) = incidents.search(self.world.pagerduty, _NEWEST, 0, 1)
        return str(newest["id"])

    def back(self, incident_id: str, moment: float) -> None:
        """Somebody acknowledges the incident, until its Case says so and all runs have ended."""
        before = len(self.world.salesforce.soql(WORKING))
        self._at(moment, self._looked("pagerduty"))
        began = datetime.now(UTC)
        self.world.person("Ana Lopez").acknowledge(incident_id)
        self._until(BACK, lambda: len(self.world.salesforce.soql(WORKING)) > before)
        self._quiet(began, *self.on)

    def nothing(self, number: int, moment: float) -> None:
        """A change that only the DAG that does nothing follows, until its task runs and has ended."""
        answered, asked = self.folder / "answered", self.folder / "asked"
        self._at(moment, (self.folder / "asked.looked").stat().st_mtime)
        began = datetime.now(UTC)
        (self.folder / "asked.new").write_text(str(number))
        (self.folder / "asked.new").replace(asked)
        self._until(NOTHING, lambda: answered.exists() and answered.read_text() == str(number))
        self._quiet(began, NOTHING)

    def _looked(self, system: str) -> float:
        """When a watcher asked last: while nothing runs, nobody else asks."""
        return self.world.traffic.requests(system)[-1].at

    @staticmethod
    def _at(moment: float, looked: float) -> None:
        """Sleep until that part of a second after a watcher's look."""
        time.sleep((looked + moment * POLL_SECONDS - time.time()) % POLL_SECONDS)

    def _until(self, way: str, happened: Callable[[], bool]) -> None:
        began = time.perf_counter()
        wait_until(
            lambda: happened() or None, what=way, timeout=PATIENCE_SECONDS, every=LOOK_SECONDS
        )
        self.taken[way].append((time.perf_counter() - began) * 1000)

    def _quiet(self, since: datetime, *dags: str) -> None:
        """Wait until each of these DAGs has run after an instant, and none runs any more."""

        def look() -> bool | None:
            for dag_id in dags:
                runs = self.airflow.runs(dag_id, limit=3)
                begun = [one["start_date"] for one in runs]
                ended = all(one["state"] in FINISHED for one in runs)
                if not ended or not any(_instant(one) > since for one in begun):
                    return None
            return True

        wait_until(look, what=f"the end of {dags}", timeout=PATIENCE_SECONDS, every=0.1)


CASE = {"Subject": "Important", "Priority": "High", "Status": "New", "Origin": "Web"}
WORKING = "SELECT Id FROM Case WHERE Status = 'Working'"
_ALL = incidents.Search()
_NEWEST = incidents.Search(order=(("number", "DESC"),))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def measure() -> list[Line]:
    """Return median and p95 in milliseconds of both ways and of the DAG that does nothing, each as times the latter."""
    with tempfile.TemporaryDirectory() as folder, _running(Path(folder)) as bench:
        bench.start(PAGE, NOTHING)
        looked = bench.folder / "asked.looked"
        wait_until(lambda: looked.exists() or None, what="a look", timeout=PATIENCE_SECONDS)
        bench.nothing(-1, 0.5)  # as the sync, it has run once before
        bench.taken[NOTHING].clear()
        for number, moment in enumerate(_moments()):
            if number == ROUNDS - LAST_ROUNDS:
                bench.start(BACK)
            incident_id = bench.page(moment)
            bench.nothing(number, moment)
            if BACK in bench.on:
                bench.back(incident_id, moment)
    return _told(bench.taken)


def _moments() -> list[float]:
    """A random moment out of each part of the time between two looks, in random order."""
    moments = [(part + random.random()) / ROUNDS for part in range(ROUNDS)]
    random.shuffle(moments)
    return moments


def _told(taken: dict[str, list[float]]) -> list[Line]:
    said = {
        NOTHING: "a DAG that does nothing: change -> its task runs",
        PAGE: "Salesforce record changed -> incident created",
        BACK: "incident acknowledged -> Salesforce field written",
    }
    lines = []
    figures: dict[str, Callable[[list[float]], float]] = {"median": statistics.median, "p95": _p95}
    for name, figure in figures.items():
        floor = figure(taken[NOTHING])
        group = f"{name}, polling every second, load {os.getloadavg()[0]:.1f}"
        lines += [
            Line(group, what, figure(taken[way]), figure(taken[way]) / floor, "ms")
            for way, what in said.items()
        ]
    return lines


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[Bench]:
    """Both services, and an Airflow with the sync DAGs and the one that does nothing, all switched on."""
    for name, text in {"rulesets/a.yaml": RULES, "integrations/default.yaml": SETTINGS}.items():
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)
    (folder / "asked").write_text("")
    dags = shutil.copytree(ROOT / "dags", folder / "dags")
    shutil.copy(FLOOR / "floor.py", dags)
    with running_sandbox() as world:
        environ = {
            **world.connections,
            "PDSF_RULESETS_DIR": str(folder / "rulesets"),
            "PDSF_INTEGRATIONS_DIR": str(folder / "integrations"),
            "FLOOR_ASKED": str(folder / "asked"),
            "FLOOR_ANSWERED": str(folder / "answered"),
            "FLOOR_POLL_SECONDS": str(FLOOR_POLL_SECONDS),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), str(ROOT)]),
        }
        with running_airflow(
            folder / "airflow", environ, dags_folder=dags, timeout=PATIENCE_SECONDS
        ) as airflow:
            bench = Bench(world, airflow, folder)
            yield bench
