"""Random people, faults and kills with the real scheduler between them: nothing is lost, nothing happens twice."""

import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from sandbox.running import running_sandbox
from tests.airflow.scheduler_chaos import (
    DAGS,
    KILLS,
    Chaos,
    LeapingClock,
    join,
    leave,
    looked_after,
)
from tests.airflow.sync_world import PATIENT, SHARED, SYNC_DAGS, SyncWorld, eventually
from tests.chaos.demands import sorted_lines
from tests.chaos.people import People

pytestmark = pytest.mark.xdist_group(SHARED)

SEED = os.environ.get("PDSF_SCHEDULER_SEED")
SEEDS = range(int(os.environ.get("PDSF_SCHEDULER_SEEDS", len(KILLS))))


@pytest.fixture(scope="module")
def chaos(shared_sync: SyncWorld) -> Iterator[Chaos]:
    """Two systems of their own, and Airflow looked after as `make up` does; the other DAGs rest."""
    clock: Any = LeapingClock()  # where chaos in one process has a virtual one
    for dag_id in SYNC_DAGS:
        shared_sync.airflow.pause(dag_id)
    with running_sandbox(clock=clock) as sandbox:
        join(shared_sync, sandbox)
        story: list[str] = []
        people = People(sandbox, clock, Random(0), story)
        with looked_after(shared_sync):
            yield Chaos(shared_sync, sandbox, clock, people, story)
        for dag_id in DAGS:  # a run of a DAG that is off would not go on
            eventually(lambda dag_id=dag_id: _ended(shared_sync, dag_id), "its runs to end")  # type: ignore[misc]
            shared_sync.airflow.pause(dag_id)
    leave(shared_sync)
    for dag_id in SYNC_DAGS:
        shared_sync.airflow.unpause(dag_id)


def _ended(sync: SyncWorld, dag_id: str) -> bool:
    return all(run["state"] in {"success", "failed"} for run in sync.airflow.runs(dag_id))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [int(SEED)] if SEED else list(SEEDS))
def test_nothing_is_lost_and_nothing_happens_twice(seed: int, chaos: Chaos) -> None:
    """A task, the triggerer or the scheduler is killed amid faults: each effect once, both sides in step, silence."""
    try:
        chaos.play(seed)
        chaos.calm()
        eventually(lambda: not chaos.wrong(), "the sync to be in step")
        for dag_id in DAGS:  # and once more, each of them, without anything to do
            run_id = chaos.sync.airflow.trigger(dag_id)
            chaos.sync.airflow.wait_for_run(dag_id, run_id, timeout=PATIENT)
        before = chaos.sandbox.traffic.last_number()
        for dag_id in DAGS:
            run_id = chaos.sync.airflow.trigger(dag_id)
            assert chaos.sync.airflow.wait_for_run(dag_id, run_id, timeout=PATIENT) == "success"
        written = chaos.sandbox.traffic.requests(writes_only=True, after=before)
        assert [(one.method, one.path) for one in written if "enqueue" not in one.path] == []
        assert chaos.wrong() == []
    except BaseException as error:
        error.add_note(f"Seed {seed} (PDSF_SCHEDULER_SEED={seed} plays it alone).\n{chaos.told()}")
        error.add_note(sorted_lines(chaos.wrong()))
        raise
