"""The real DAGs in a real Airflow between the two simulated systems."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from embedded import RunningAirflow, running_airflow
from embedded.rest import wait_until
from pd_sf_rules.ledger import cursors
from pd_sf_rules.pipeline.status import READ
from sandbox.running import running_sandbox
from sandbox.world import World
from tests.integration.pipeline_world import (
    CREATED,
    HIGH,
    PAGE,
    Clock,
    PipelineWorld,
    event_is,
    mirror,
    rule,
)

ROOT = Path(__file__).resolve().parents[2]
SYNC_DAGS = ("salesforce_to_pagerduty", "pagerduty_to_salesforce", "note_sync")
LAST_TASK = "record_lineage_and_move_cursor"
PATIENT = 180.0
"""Seconds to wait for what takes two on an idle machine."""

SHARED = "one Airflow"
"""The group of the tests that share an Airflow: files marked with it run in one worker, one after the other."""

MISSED = "Missed while nothing ran"
SLOW = "slow"
"""An integration whose runs count as stuck after STUCK_AFTER_SECONDS."""

STUCK_AFTER_SECONDS = 12.0

HASTY = {
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "1",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
}
"""How often Airflow looks after itself: every few seconds, so that a test need not wait for it."""

T = TypeVar("T")
Run = Mapping[str, Any]


def eventually(look: Callable[[], T | None], what: str) -> T:
    """Return what `look` gives as soon as it gives something true."""
    return wait_until(lambda: look() or None, what=what, timeout=PATIENT)


@dataclass(slots=True)
class SyncWorld:
    """Two simulated systems (`sides`), and an Airflow that keeps them in step."""

    sides: PipelineWorld
    airflow: RunningAirflow

    def start(self, *dags: str) -> None:
        """Switch DAGs on, and wait until a watcher has rung for each and its run has ended well."""
        for dag_id in dags:
            self.airflow.unpause(dag_id)
        for dag_id in dags:
            eventually(lambda dag_id=dag_id: self.rung(dag_id), f"the first run of {dag_id}")  # type: ignore[misc]

    def cursors(self) -> dict[str, datetime]:
        """How far each stream of the pulls was read."""
        with self.sides.ledger.read() as c:
            found = cursors.all_cursors(c, "default")
        return {one.stream: one.position for one in found if one.stream.startswith(READ)}

    def rung(self, dag_id: str) -> list[Run]:
        """The runs that a watcher started and that ended well."""
        runs = self.airflow.runs(dag_id)
        return [r for r in runs if (r["run_type"], r["state"]) == ("asset_triggered", "success")]

    def lineage(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """What the last task of a run told."""
        told: dict[str, Any] = self.airflow.xcom(dag_id, run_id, LAST_TASK)
        return told

    def run_about(self, dag_id: str, target: str) -> tuple[str, dict[str, Any]]:
        """Id and lineage of the ended run that acted on this record or incident, once there is one."""

        def look() -> tuple[str, dict[str, Any]] | None:
            for run in self.airflow.runs(dag_id):
                if run["state"] in {"success", "failed"}:
                    told = self.lineage(dag_id, run["dag_run_id"])
                    if any(target in (a["record"], a["incident"]) for a in told["actions"]):
                        return run["dag_run_id"], told
            return None

        return eventually(look, f"a run of {dag_id} about {target}")

    def by_hand(self, dag_id: str, **form: Any) -> tuple[str, str, dict[str, Any]]:
        """Start a run with a form and wait for its end: its id, its state and its lineage."""
        run_id = self.airflow.trigger(dag_id, form)
        state = self.airflow.wait_for_run(dag_id, run_id, timeout=PATIENT)
        return run_id, state, self.lineage(dag_id, run_id)

    def incident_for(self, title: str) -> dict[str, Any]:
        """The one incident of that title, once it is there."""
        found = eventually(
            lambda: [one for one in self.sides.incidents() if one["title"] == title],
            f"an incident '{title}'",
        )
        assert len(found) == 1
        return found[0]

    def task_log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1) -> str:
        """The log of one try of a task, as the UI shows it."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/logs/{attempt}"
        return json.dumps(self.airflow.call("GET", path, params={"full_content": "true"}))


@contextmanager
def running_sync(
    folder: Path,
    *,
    prepare: Callable[[PipelineWorld], None],
    environ: Callable[[World], Mapping[str, str]],
    ledger: Path | None = None,
    missed: timedelta = timedelta(),
) -> Iterator[SyncWorld]:
    """Run both systems and Airflow in `folder`; `prepare` writes rules and may act before Airflow starts.

    `environ` gives Airflow's extra variables. The ledger is in Airflow's home unless it is given. What
    `prepare` does happened `missed` ago.
    """
    clock = Clock(-missed)
    with running_sandbox(clock=clock) as sandbox:
        home = folder / "airflow"
        path = ledger or home / "pdsf_ledger.db"
        sides = PipelineWorld(sandbox, clock, folder, f"sqlite:///{path}")
        for name in ("rulesets", "integrations"):
            (folder / name).mkdir()
        prepare(sides)
        clock.ahead = timedelta()
        dags = shutil.copytree(ROOT / "dags", folder / "dags")
        shutil.copytree(Path(__file__).parent / "sensing", dags, dirs_exist_ok=True)
        variables = {
            "PDSF_RULESETS_DIR": str(folder / "rulesets"),
            "PDSF_INTEGRATIONS_DIR": str(folder / "integrations"),
            **environ(sandbox),
        }
        with running_airflow(home, variables, dags_folder=dags, timeout=PATIENT) as airflow:
            yield SyncWorld(sides, airflow)
        sides.close()


def usual(sides: PipelineWorld) -> None:
    """What the shared Airflow starts with: a rule for each direction, comments both ways, a Case that nobody saw."""
    usual_rules(sides)
    slow = {"name": SLOW, "poll_seconds": 5, "stuck_after_minutes": STUCK_AFTER_SECONDS / 60}
    (sides.home / "integrations" / "slow.yaml").write_text(json.dumps(slow))
    sides.case(MISSED)


def usual_rules(sides: PipelineWorld) -> None:
    """The settings and rules of `default` that the shared Airflow starts with."""
    sides.settings(
        poll_seconds=1,
        comments={"salesforce_to_pagerduty": True, "pagerduty_to_salesforce": "internal"},
    )
    sides.rules(
        rule("Page", {"all": [HIGH, CREATED]}, PAGE),
        mirror(
            "Working", event_is("acknowledge"), {"update_record": {"fields": {"Status": "Working"}}}
        ),
    )
