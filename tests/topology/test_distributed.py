"""The distributed set does the whole job, and a worker that is killed costs nothing."""

import shutil
import time
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from demo.story import STORY, Row, Stage, Step
from embedded.rest import wait_until
from pd_sf_rules.ledger import actions, open_ledger
from sandbox.postgres import PostgresServer
from sandbox.running import running_sandbox
from sandbox.world import World
from tests.topology.distributed import PATIENT, Distributed, running_distributed

pytest_plugins = ["tests.integration.ledger_databases"]

DAGS = ("salesforce_to_pagerduty", "pagerduty_to_salesforce", "note_sync")
COMMENTS = 3
"""What the rule says of Ana's acknowledgement, her note, and support's own comment."""
PAGES = r"^/incidents$"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[World]:
    """Both simulated systems."""
    with running_sandbox() as world:
        yield world


@pytest.fixture(scope="module")
def other() -> Iterator[World]:
    """The two systems of other accounts."""
    with running_sandbox() as world:
        yield world


@pytest.fixture(scope="module")
def distributed(
    sandbox: World,
    other: World,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Distributed]:
    """The set of the compose file with two integrations, `default` and `eu`; the sync of `default` is on."""
    if not shutil.which("redis-server"):
        pytest.skip("Redis is not installed: `apt-get install redis-server`")
    folder, accounts = tmp_path_factory.mktemp("set"), {"default": sandbox, "eu": other}
    with running_distributed(folder, postgres_server, accounts) as running:
        _switch_on(running, DAGS)
        yield running


def test_the_story_is_told_by_two_workers(distributed: Distributed, sandbox: World) -> None:
    """Every effect of the demo is seen on the other side, and nothing echoes."""
    stage = Stage(sandbox)
    for step in STORY:
        _perform(stage, step)
    _settled(sandbox)
    assert len(stage.incidents()) == 2
    texts = [str(one["CommentBody"]) for one in stage.comments()]
    assert len(texts) == len(set(texts)) == COMMENTS


def test_the_health_checks_hold(distributed: Distributed) -> None:
    """What the container engine would ask of the DAG processor and the triggerer, they answer."""
    for name in ("airflow-dag-processor", "airflow-triggerer"):
        checked = distributed.running.check(distributed.services[name])
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_killed_worker_costs_no_page(distributed: Distributed, sandbox: World) -> None:
    """The worker dies while its page is on the way: the other one carries on, and there is one page."""
    stage = Stage(sandbox)
    sandbox.faults.plan("timeout_after", system="pagerduty", method="POST", path=PAGES, seconds=20)
    title = "The payment gateway is down"
    account = sandbox.salesforce.records("Account")[0]["Id"]
    fields = {"Subject": title, "Priority": "High", "Status": "New", "AccountId": account}
    case_id = sandbox.salesforce.create("Case", fields)
    wait_until(
        lambda: _pages(stage, title) or None, what="the page to reach PagerDuty", timeout=PATIENT
    )
    distributed.running.kill(_worker_of(distributed, "apply_actions"))
    wait_until(
        lambda: _is_concluded(distributed, case_id),
        what="the action to be settled",
        timeout=PATIENT,
    )
    _settled(sandbox)
    assert len(_pages(stage, title)) == 1
    sandbox.salesforce.update(case_id, {"Status": "Closed"})
    wait_until(
        lambda: _pages(stage, title)[0]["status"] == "resolved" or None,
        what="the incident to be resolved",
        timeout=PATIENT,
    )


def test_accounts_that_hang_cost_others_nothing(
    distributed: Distributed, sandbox: World, other: World
) -> None:
    """While every call to one pair of accounts hangs, another's pages arrive; afterwards it is caught up."""
    _switch_on(distributed, [f"{dag_id}__eu" for dag_id in DAGS])
    for system in ("salesforce", "pagerduty"):
        other.faults.plan("timeout_before", system=system, times=None, seconds=600)
    _open_case(other, "Nobody hears of this one yet")
    wait_until(lambda: _hangs(other), what="calls of both sides to hang", timeout=PATIENT)
    for number in range(3):
        title = f"Order {number} cannot be paid"
        _open_case(sandbox, title)
        wait_until(
            lambda title=title: _pages(Stage(sandbox), title) or None,  # type: ignore[misc]
            what=f"the page '{title}'",
            timeout=PATIENT,
        )
    assert Stage(other).incidents() == []
    other.faults.clear()
    wait_until(lambda: Stage(other).incidents() or None, what="the late page", timeout=PATIENT)
    _settled(other)
    assert len(Stage(other).incidents()) == 1


def _switch_on(running: Distributed, dag_ids: Sequence[str]) -> None:
    """Switch DAGs on, and wait until each was rung for: the silent baseline is taken."""
    for dag_id in dag_ids:
        running.airflow.unpause(dag_id, timeout=PATIENT)
    for dag_id in dag_ids:
        wait_until(
            partial(_rung, running, dag_id), what=f"{dag_id} to be rung for", timeout=PATIENT
        )


def _open_case(sandbox: World, title: str) -> str:
    account = sandbox.salesforce.records("Account")[0]["Id"]
    fields = {"Subject": title, "Priority": "High", "Status": "New", "AccountId": account}
    return sandbox.salesforce.create("Case", fields)


def _hangs(sandbox: World) -> bool | None:
    return all(fault["hits"] for fault in sandbox.faults.faults()) or None


def _rung(running: Distributed, dag_id: str) -> bool | None:
    """Say whether a watcher has rung for the DAG and the run has ended well: the baseline is taken."""
    runs = running.airflow.runs(dag_id)
    rung = [(r["run_type"], r["state"]) == ("asset_triggered", "success") for r in runs]
    return any(rung) or None


def _perform(stage: Stage, step: Step) -> None:
    step.act(stage)
    for effect, is_seen in step.sees.items():
        wait_until(
            lambda is_seen=is_seen: is_seen(stage) or None,  # type: ignore[misc]
            what=f"{step.says} -> {effect}",
            timeout=PATIENT,
        )


def _pages(stage: Stage, title: str) -> list[Row]:
    return [one for one in stage.incidents() if title in one["title"]]


def _worker_of(distributed: Distributed, task_id: str) -> str:
    """Return the worker that runs this task of the sync to PagerDuty."""

    def look() -> str | None:
        for run in distributed.airflow.runs(DAGS[0]):
            for task in distributed.airflow.task_instances(DAGS[0], run["dag_run_id"]):
                if (task["task_id"], task["state"]) == (task_id, "running") and task["pid"]:
                    return distributed.running.name_of(int(task["pid"]))
        return None

    return wait_until(look, what=f"{task_id} to run", timeout=PATIENT)


def _is_concluded(distributed: Distributed, case_id: str) -> bool | None:
    ledger = open_ledger(distributed.ledger_url)
    try:
        with ledger.read() as c:
            found = actions.find_actions(c, integration="default", record_id=case_id, limit=10)
    finally:
        ledger.close()
    return (bool(found) and all(one.state == "applied" for one in found)) or None


def _settled(sandbox: World) -> None:
    """Wait for three seconds without a write."""
    seen, since = -1, time.monotonic()
    deadline = since + PATIENT
    while time.monotonic() - since < 3:
        assert time.monotonic() < deadline, "the two sides never came to rest"
        writes = len(sandbox.traffic.requests(writes_only=True))
        if writes != seen:
            seen, since = writes, time.monotonic()
        time.sleep(0.1)
