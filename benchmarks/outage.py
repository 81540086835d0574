"""Two pairs of accounts in one Airflow: how long a page of the one takes while every call to the other hangs.

One embedded Airflow (SQLite, LocalExecutor), two integrations, each between two simulated services of its own.
First both are well, then nothing of the second answers: its watchers and its tasks hang.
"""

import contextlib
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.latency import CASE, PAGE, PATIENCE_SECONDS, POLL_SECONDS, RULES, SETTINGS
from benchmarks.table import Line
from embedded import RunningAirflow, running_airflow
from embedded.rest import wait_until
from sandbox.pagerduty import incidents
from sandbox.running import running_sandbox
from sandbox.world import World

PAGES = 8
OTHER = "other"
HANGS_SECONDS = 600.0
LOOK_SECONDS = 0.004
ALL = incidents.Search()


@dataclass(frozen=True, slots=True)
class Bench:
    """Airflow, the accounts that are measured, and those that will hang."""

    airflow: RunningAirflow
    well: World
    hanging: World


def measure() -> list[Line]:
    """Return the median and the longest page in milliseconds, with both well and while the other hangs."""
    with tempfile.TemporaryDirectory() as folder, _running(Path(folder)) as bench:
        _paged(bench.well)  # the first of all pays for what later ones find done
        before = [_paged(bench.well) for _ in range(PAGES)]
        with _hanging(bench.hanging):
            during = [_paged(bench.well) for _ in range(PAGES)]
    lines = []
    figures: dict[str, Callable[[list[float]], float]] = {
        "median": statistics.median,
        "longest": max,
    }
    for name, figure in figures.items():
        usual, now = figure(before), figure(during)
        group = f"{name} of {PAGES} pages, polling every second, load {os.getloadavg()[0]:.1f}"
        lines.append(Line(group, "both pairs of accounts are well", usual, 1.0, "ms"))
        lines.append(Line(group, "the other pair hangs", now, now / usual, "ms"))
    return lines


def _paged(world: World) -> float:
    """Open an important Case at some moment between two looks; return milliseconds until its incident is there."""
    time.sleep(random.uniform(1.0, 1.0 + POLL_SECONDS))
    before = incidents.count(world.pagerduty, ALL)
    began = time.perf_counter()
    world.salesforce.create("Case", CASE)
    wait_until(
        lambda: incidents.count(world.pagerduty, ALL) > before or None,
        what="a page",
        timeout=PATIENCE_SECONDS,
        every=LOOK_SECONDS,
    )
    return (time.perf_counter() - began) * 1000


@contextlib.contextmanager
def _hanging(world: World) -> Iterator[None]:
    """Let nothing of these accounts answer, once a run that has work to do hangs as well."""
    world.salesforce.create("Case", CASE)
    for system in ("salesforce", "pagerduty"):
        world.faults.plan("timeout_before", system=system, times=None, seconds=HANGS_SECONDS)
    try:
        wait_until(
            lambda: any(fault["hits"] for fault in world.faults.faults()) or None,
            what="a call that hangs",
            timeout=PATIENCE_SECONDS,
        )
        yield
    finally:
        world.faults.clear()


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[Bench]:
    """Both pairs of services and an Airflow whose DAGs of both have had their first run."""
    for name in ("rulesets", "integrations"):
        (folder / name).mkdir()
    conn_ids = f"salesforce_conn_id: salesforce_{OTHER}\npagerduty_conn_id: pagerduty_{OTHER}\n"
    (folder / "integrations" / "default.yaml").write_text(SETTINGS)
    (folder / "integrations" / f"{OTHER}.yaml").write_text(
        SETTINGS.replace("name: default", f"name: {OTHER}") + conn_ids
    )
    (folder / "rulesets" / "a.yaml").write_text(RULES)
    (folder / "rulesets" / f"{OTHER}.yaml").write_text(
        RULES.replace("name: Important Cases", f"name: Theirs\nintegration: {OTHER}")
    )
    with running_sandbox() as well, running_sandbox() as hanging:
        theirs = {k.replace("DEFAULT", OTHER.upper()): v for k, v in hanging.connections.items()}
        environ = {
            **well.connections,
            **theirs,
            "PDSF_RULESETS_DIR": str(folder / "rulesets"),
            "PDSF_INTEGRATIONS_DIR": str(folder / "integrations"),
        }
        with running_airflow(folder / "airflow", environ, timeout=PATIENCE_SECONDS) as airflow:
            _start(airflow, PAGE, f"{PAGE}__{OTHER}")
            yield Bench(airflow, well, hanging)


def _start(airflow: RunningAirflow, *dags: str) -> None:
    """Switch DAGs on, and wait until each is watched and has taken its baseline."""
    for dag_id in dags:
        airflow.unpause(dag_id)
    for dag_id in dags:
        airflow.wait_for_watchers(dag_id)
        wait_until(
            lambda dag_id=dag_id: (
                any(one["state"] == "success" for one in airflow.runs(dag_id)) or None
            ),  # type: ignore[misc]
            what=f"the first run of {dag_id}",
            timeout=PATIENCE_SECONDS,
        )
