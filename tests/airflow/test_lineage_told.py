"""Airflow's hook lineage and OpenLineage: what a run read and wrote, as docs/operating.md names it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pd_sf_rules.hooks.runs import ledger_of_process
from pd_sf_rules.operators import reporting
from pd_sf_rules.operators.sync import PullChangesOperator
from tests.integration.pipeline_world import PAGE_HIGH, ROOT, PipelineWorld

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

SECRET_FIELDS = ("routing_key", "webhook_secret")


def told(world: PipelineWorld, file: Path | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the collector held after the four tasks of a run, and OpenLineage's events; `file` None: nobody listens."""
    transport = {"type": "file", "log_file_path": str(file), "append": True}
    listening = {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)} if file else {}
    done = subprocess.run(
        [sys.executable, "-m", "tests.airflow.told_lineage"],
        env=os.environ | {"PYTHONPATH": f"{ROOT}/plugins:{ROOT}"} | listening,
        cwd=world.home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    collected: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    lines = file.read_text().splitlines() if file else []
    return collected, [json.loads(line) for line in lines]


@pytest.fixture
def paging(world: PipelineWorld) -> PipelineWorld:
    """A world with one rule and one Case that it pages for."""
    world.rules(PAGE_HIGH)
    world.sync()
    world.case()
    return world


def test_openlineage_is_told_what_a_run_did(paging: PipelineWorld, tmp_path: Path) -> None:
    """Each task's event names what it read and wrote, with counts and the version of each ruleset, and no secret.

    Airflow's own collector holds the same, for any other reader.
    """
    collected, events = told(paging, tmp_path / "lineage.ndjson")
    org = f"salesforce://{paging.sandbox.salesforce_url.removeprefix('http://')}"
    account = f"pagerduty://{paging.sandbox.pagerduty_url.removeprefix('http://')}"
    assert [(_names(one["inputs"]), _names(one["outputs"])) for one in events] == [
        ([f"{org}/Case"], ["pdsf://ledger/default/events"]),
        (["pdsf://ledger/default/events"], ["pdsf://ledger/default/actions"]),
        (["pdsf://ledger/default/actions"], [f"{account}/pagerduty_default/incidents"]),
        (["pdsf://ledger/default/actions"], ["pdsf://ledger/default/runs"]),
    ]
    facets = [one["run"]["facets"]["pdsf_sync"] for one in events]
    assert facets[0]["counts"] == {"pulled": 1}
    assert facets[2]["counts"]["applied"] == facets[3]["counts"]["applied"] == 1
    (version,) = {one.ruleset_version for one in paging.actions()}
    assert [one["rulesets"] for one in facets] == [{}, *[{"Rules of a.yaml": version}] * 3]
    wrote = events[2]["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"]
    assert wrote == len(paging.incidents()) == 1
    named = {uri for one in events for uri in _names(one["inputs"]) + _names(one["outputs"])}
    assert {uri for uri, _ in collected["inputs"] + collected["outputs"]} == named
    assert ["pdsf://ledger/default/events", {"rows": 1}] in collected["outputs"]
    facts = [one["counts"] for one in collected["extra"]]
    assert facts == [one["counts"] for one in facets]
    everything = json.dumps([collected, events])
    pagerduty: dict[str, Any] = paging.sandbox.pagerduty_connection()
    secrets = [pagerduty["password"], *(pagerduty["extra"][name] for name in SECRET_FIELDS)]
    assert [one for one in secrets if one in everything] == []
    assert "Database is down" not in everything


def test_where_nobody_listens_nothing_is_collected(paging: PipelineWorld) -> None:
    """Without a reader no task looks anything up for it; the run does its work, with what PDSF_PRELOAD had imported."""
    collected, _ = told(paging, None)
    assert collected == {"inputs": [], "outputs": [], "extra": [], "imported": []}
    assert len(paging.incidents()) == 1
    assert not reporting.is_listened_to()


def test_a_reader_that_breaks_fails_no_task(
    paging: PipelineWorld, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever error Airflow's collector or a plugin raises: what was pulled is returned, and the log tells."""

    def broken() -> Any:
        raise TypeError("a plugin of another version")

    monkeypatch.setattr(reporting, "get_hook_lineage_readers_plugins", lambda: ["a reader"])
    monkeypatch.setattr("airflow.sdk.lineage.get_hook_lineage_collector", broken)
    ledger_of_process.cache_clear()
    task = PullChangesOperator(task_id="pull", direction="salesforce")
    run = SimpleNamespace(dag_id="salesforce_to_pagerduty", run_id="r1", run_type="manual")
    context: Any = {"dag_run": run, "params": {}, "ti": None}
    try:
        assert [one["new"] for one in task.execute(context)] == [1]
    finally:
        ledger_of_process().close()
        ledger_of_process.cache_clear()
    assert "The lineage of this task is not told" in capfd.readouterr().out


def test_the_page_names_the_data_sets() -> None:
    """docs/operating.md lists every data set and fact that is told."""
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    for name in (
        "host>/Case`",
        "/log_entries`",
        "/incidents`",
        "/notes`",
        "CaseComment`",
        "`pdsf_sync`",
    ):
        assert name in page, name
    for table in ("events", "actions", "runs"):
        assert f"`pdsf://ledger/<integration>/{table}`" in page


def _names(datasets: list[dict[str, Any]]) -> list[str]:
    return [f"{one['namespace']}/{one['name']}" for one in datasets]
