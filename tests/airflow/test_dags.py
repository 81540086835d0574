"""What Airflow's DAG processor makes of the DAG files: ids, schedules, forms, docs; and what a broken file does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import yaml

from pd_sf_rules.sync_policies import TRIGGERS, NamedTrigger

ROOT = Path(__file__).resolve().parents[2]
SYNC_DAGS = {"salesforce_to_pagerduty", "pagerduty_to_salesforce", "note_sync"}
UPKEEP_DAGS = {"reconcile", "replay", "health", "ledger_maintenance", "held_storms"}

# Asked for one home after the other, it parses each in a process forked for that, as the DAG processor does, with
# Airflow's own serialisation behind it.
DESCRIBE = """
import json, os, sys, time
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

for home in sys.stdin:
    child = os.fork()
    if not child:
        break
    os.waitpid(child, 0)
    print("ENDED", flush=True)
else:
    sys.exit()
os.environ["PDSF_INTEGRATIONS_DIR"] = home.strip() + "/integrations"
os.environ["PDSF_RULESETS_DIR"] = home.strip() + "/rulesets"
from pd_sf_rules.rules import loader

DagBag(dag_folder=sys.argv[1])  # imports what the files import
work = ("pd_sf_rules.ledger", "pd_sf_rules.pipeline", "pd_sf_rules.systems", "pd_sf_rules.triggers", "httpx2")
imported = sorted(name for name in sys.modules if name.startswith(work))
for kept in vars(loader).values():  # Airflow parses each file in a fresh process, which has read no ruleset yet
    getattr(kept, "cache_clear", int)()
started = time.process_time()
bag = DagBag(dag_folder=sys.argv[1])
seconds = time.process_time() - started

def described(dag):
    stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    return {
        "doc": dag.doc_md, "tags": sorted(dag.tags), "max_active_runs": dag.max_active_runs,
        "catchup": dag.catchup, "params": dag.params.validate(), "periodic": stored.timetable.periodic,
        "paused": dag.is_paused_upon_creation, "owner_links": dag.owner_links,
        "assets": sorted(getattr(one, "name", "") for one in _assets(dag.timetable.asset_condition)),
        "schedule": stored.timetable.summary,
        "tasks": {t.task_id: {
            "owner": t.owner, "retries": t.retries,
            "timeout": t.execution_timeout and t.execution_timeout.total_seconds(),
            "kind": type(t).__name__,
            "policy": type(t.retry_policy).__name__, "doc": t.doc_md,
            "on_failure": [c.__qualname__.partition(".")[0] for c in t.on_failure_callback],
            "downstream": sorted(t.downstream_task_ids), "rule": str(t.trigger_rule),
        } for t in dag.tasks},
    }

def _assets(condition):
    return getattr(condition, "objects", [condition])

print(json.dumps({
    "errors": {path: text for path, text in bag.import_errors.items()},
    "dags": {name: described(dag) for name, dag in bag.dags.items() if name in sys.argv[2:] or not sys.argv[2:]},
    "imported": imported,
    "seconds": seconds / max(len(bag.dagbag_stats), 1),
}, default=str), flush=True)
os._exit(0)  # what is buffered is the parent's too
"""


@dataclass(frozen=True)
class Parsed:
    """What the DAG files were parsed to. `seconds` of processor time one file took.

    `imported` are modules that only the execution of a task needs.
    """

    errors: dict[str, str]
    dags: dict[str, dict[str, Any]]
    imported: list[str]
    seconds: float


Parse = Callable[[dict[str, str], dict[str, str]], Parsed]


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A process that has imported Airflow: for each home that it is told it parses the DAG files and tells of them."""
    home = tmp_path_factory.mktemp("parser")
    environ = {
        **{n: v for n, v in os.environ.items() if not n.startswith(("AIRFLOW_", "PDSF_"))},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
        "PYTHONPATH": str(ROOT / "plugins"),
    }
    with subprocess.Popen(
        [sys.executable, "-c", DESCRIBE, str(ROOT / "dags")],
        env=environ, cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield process
        process.kill()


@pytest.fixture(scope="module")
def parse(tmp_path_factory: pytest.TempPathFactory, parser: subprocess.Popen[str]) -> Parse:
    """Parses the project's DAG files with these integration and ruleset files, by name; the same ones once."""
    known: dict[str, Parsed] = {}

    def run(integrations: dict[str, str], rulesets: dict[str, str]) -> Parsed:
        key = json.dumps([integrations, rulesets])
        if key not in known:
            known[key] = fresh(integrations, rulesets)
        return known[key]

    def fresh(integrations: dict[str, str], rulesets: dict[str, str]) -> Parsed:
        home = tmp_path_factory.mktemp("parsed")
        for folder, files in (("integrations", integrations), ("rulesets", rulesets)):
            (home / folder).mkdir()
            for name, text in files.items():
                (home / folder / name).write_text(text)
        assert parser.stdin is not None
        assert parser.stdout is not None
        parser.stdin.write(f"{home}\n")
        parser.stdin.flush()
        told = list(takewhile(lambda line: line != "ENDED\n", parser.stdout))
        assert told, "it could not tell: see the captured stderr"
        return Parsed(**json.loads(told[-1]))

    return run


def integration(name: str, **more: Any) -> str:
    """The text of an integration file."""
    return yaml.safe_dump({"name": name, **more})


BROKEN = """\
version: 1
name: Broken
enabled: true
rules:
  - name: No such operation
    object: Case
    run_on: salesforce
    when: { field: Case.Status, operation: resembles, value: <b>New</b> }
    actions:
      - resolve_incident: {}
"""


@pytest.fixture(scope="module")
def parsed(parse: Parse) -> Parsed:
    """Two integrations, the rulesets that the project ships, and one that cannot be used."""
    files = {"default.yaml": integration("default"), "b.yaml": integration("eu", poll_seconds=3)}
    shipped = {p.name: p.read_text() for p in (ROOT / "include" / "rulesets").glob("*.yaml")}
    return parse(files, {**shipped, "broken.yaml": BROKEN})


@pytest.fixture(scope="module")
def dags(parsed: Parsed) -> dict[str, dict[str, Any]]:
    """The sync DAGs of both integrations."""
    wanted = SYNC_DAGS | {f"{name}__eu" for name in SYNC_DAGS}
    return {name: dag for name, dag in parsed.dags.items() if name in wanted}


def test_every_file_can_be_imported(parsed: Parsed) -> None:
    """A broken ruleset file keeps no DAG from its place."""
    assert parsed.errors == {}


def test_each_integration_has_its_own_dags(dags: dict[str, dict[str, Any]]) -> None:
    """`default` has the bare ids, any other its name behind them; each watches its own assets."""
    assert set(dags) == SYNC_DAGS | {f"{name}__eu" for name in SYNC_DAGS}
    assert dags["salesforce_to_pagerduty"]["assets"] == ["salesforce_changes__default"]
    assert dags["note_sync__eu"]["assets"] == ["pagerduty_notes__eu", "salesforce_notes__eu"]


@pytest.fixture(scope="module")
def upkeep(parsed: Parsed) -> dict[str, dict[str, Any]]:
    """The DAGs of both integrations that look after the sync."""
    return {name: dag for name, dag in parsed.dags.items() if name.split("__")[0] in UPKEEP_DAGS}


def test_each_integration_is_looked_after(upkeep: dict[str, dict[str, Any]]) -> None:
    """Each integration has its own upkeep DAGs, with docs, tags, retries by our errors and an alert."""
    assert set(upkeep) == UPKEEP_DAGS | {f"{name}__eu" for name in UPKEEP_DAGS}
    for name, dag in upkeep.items():
        assert dag["doc"].strip().startswith("###")
        assert {"pd-sf-rules", "upkeep", "eu" if "__" in name else "default"} == set(dag["tags"])
        for task in dag["tasks"].values():
            assert (task["policy"], task["on_failure"]) == ("SyncRetryPolicy", ["alert_on_failure"])


def test_upkeep_runs_by_the_clock_or_by_hand(upkeep: dict[str, dict[str, Any]]) -> None:
    """Health looks every five minutes, reconcile and maintenance at night; the other two wait for a person."""
    schedules = {name: upkeep[name]["schedule"] for name in UPKEEP_DAGS}
    assert schedules["health"] == "*/5 * * * *"
    assert schedules["reconcile"].endswith("3 * * *")
    assert schedules["ledger_maintenance"].endswith("2 * * *")
    assert (schedules["replay"], schedules["held_storms"]) == ("None", "None")
    assert (upkeep["replay"]["paused"], upkeep["held_storms"]["paused"]) == (False, False)


def test_what_a_person_starts_does_no_harm_unasked(upkeep: dict[str, dict[str, Any]]) -> None:
    """The forms begin with a dry run and without repairs, and a question waits as long as it takes."""
    assert upkeep["replay"]["params"]["dry_run"] is True
    assert upkeep["reconcile"]["params"]["repair"] is False
    assert upkeep["held_storms"]["tasks"]["ask_what_to_do"]["timeout"] is None


def test_a_run_never_overlaps_itself_and_can_be_backfilled(dags: dict[str, dict[str, Any]]) -> None:
    """One run at a time, no catch-up by itself, and a periodic schedule, which Airflow's backfill asks for."""
    for dag in dags.values():
        assert (dag["max_active_runs"], dag["catchup"], dag["periodic"]) == (1, False, True)


def test_a_scheduled_run_needs_no_form(dags: dict[str, dict[str, Any]]) -> None:
    """Every field has a value that a run without a person can use, and a scheduled run is no dry run."""
    for name, dag in dags.items():
        expected: dict[str, Any] = {"since": None, "until": None}
        if not name.startswith("note_sync"):
            expected |= {"objects": None, "dry_run": False}
        assert dag["params"] == expected


def test_every_task_is_owned_retried_bounded_and_alerts(parsed: Parsed) -> None:
    """Owner, our retry policy, a time-out and an alert on failure: no task goes without, but a question has time."""
    for dag_id, dag in parsed.dags.items():
        for task_id, task in dag["tasks"].items():
            told = (dag_id, task_id, task)
            assert task["owner"] == "pd-sf-rules", told
            assert task["policy"] == "SyncRetryPolicy", told
            if task["kind"] != "AskAboutStormOperator":
                assert 0 < task["timeout"] <= 1800, told
            assert "alert_on_failure" in task["on_failure"], told


def test_names_read_as_sentences_and_end_with_the_cursor(dags: dict[str, dict[str, Any]]) -> None:
    """The steps follow one another, and the last one tells and commits whatever happened before it."""
    for dag in dags.values():
        last = [name for name, task in dag["tasks"].items() if not task["downstream"]]
        assert last == ["record_lineage_and_move_cursor"]
        assert dag["tasks"][last[0]]["rule"].lower().endswith("all_done")
        assert all("_" in name for name in dag["tasks"])


def test_docs_are_the_files_own_words(dags: dict[str, dict[str, Any]]) -> None:
    """What the UI shows is the docstring of the file, with the headings that a reader looks for."""
    for dag in dags.values():
        assert "**By hand**" in dag["doc"]
        assert "**Runs**" in dag["doc"]


def test_a_broken_ruleset_file_is_seen_in_the_ui(dags: dict[str, dict[str, Any]]) -> None:
    """Every sync DAG is tagged, and its docs begin with file, line, column, sentence and hint, as plain text."""
    for dag in dags.values():
        assert "ruleset-error" in dag["tags"]
        head, _, rest = dag["doc"].partition("`pdsf lint`")
        assert "broken.yaml:8:" in head
        assert "resembles" in head
        assert "<b>" not in head
        assert "**Runs**" in rest


def test_parsing_is_cheap(parsed: Parsed) -> None:
    """A file takes less than half a second of processor time once its imports are there: it is parsed often."""
    assert parsed.seconds < 0.5


def test_parsing_imports_nothing_that_works(parsed: Parsed) -> None:
    """Ledger, pipeline, clients and triggers are imported by tasks and by the triggerer, not by who reads DAG files."""
    assert parsed.imported == []


@pytest.mark.parametrize("path", TRIGGERS.values())
def test_what_a_dag_file_names_is_a_trigger(path: str) -> None:
    """The triggerer finds a class under the name, and it takes the arguments that the file gives."""
    arguments = {"integration": "eu", "poll_seconds": 3.0, "topic": "notes"}
    made = resolve_name(path)(**arguments)
    assert made.serialize() == NamedTrigger(path, **arguments).serialize() == (path, arguments)


def test_without_errors_nothing_is_said(parse: Parse) -> None:
    """No tag and no block in the docs when every ruleset file can be used; without files `default` is there."""
    found = parse({}, {})
    assert set(found.dags) >= SYNC_DAGS
    for name in SYNC_DAGS:
        assert "ruleset-error" not in found.dags[name]["tags"]
        assert "errors" not in found.dags[name]["doc"].partition("**Runs**")[0]


def test_the_owner_leads_to_the_people_who_look_after_it(parse: Parse) -> None:
    """Every DAG's owner leads where the integration file says, and nowhere without it."""
    address = "mailto:support-operations@example.com"
    linked = parse({"a.yaml": f"name: default\nowner_link: {address}\n"}, {})
    assert {name: dag["owner_links"] for name, dag in linked.dags.items()} == {
        key: {"pd-sf-rules": address} for key in SYNC_DAGS | UPKEEP_DAGS
    }
    assert not any(dag["owner_links"] for dag in parse({}, {}).dags.values())


def test_a_broken_integration_file_stops_no_other(parse: Parse) -> None:
    """The other integrations keep all their DAGs; the broken one is an import error that names file and key."""
    files = {"a.yaml": integration("default"), "b.yaml": "name: eu\npoll_seconds: often\n"}
    found = parse(files, {})
    assert set(found.dags) == SYNC_DAGS | UPKEEP_DAGS
    ((path, text),) = found.errors.items()
    assert path.endswith("/integration_files.py")
    sentence = next(line for line in text.splitlines() if line.startswith("pd_sf_rules."))
    assert "b.yaml: poll_seconds: " in sentence
