"""What is paid before anything is done: `pdsf lint`, and the parsing of a DAG file, each in a process of its own."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.table import Line

ROOT = Path(__file__).resolve().parents[1]
ROUNDS, PARSES = 7, 3
REFERENCE = "import yaml, pydantic"
"""The two libraries that reading rule files cannot do without."""

EMPTY = """\
import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("empty", schedule="0 3 * * *", start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):
    EmptyOperator(task_id="nothing")
"""
PARSE = """\
import sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder=sys.argv[1])
assert bag.dags and not bag.import_errors, bag.import_errors
"""


def measure() -> list[Line]:
    """Return processor seconds: of lint beside its libraries, and of each DAG file beside an empty one."""
    return [*_lint(), *_dag_files()]


def _lint() -> list[Line]:
    with_package = {"PYTHONPATH": str(ROOT / "plugins")}
    lint = [sys.executable, "-m", "pd_sf_rules", "lint", str(ROOT / "include" / "rulesets")]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        f"python -c '{REFERENCE}'": [sys.executable, "-c", REFERENCE],
        "pdsf lint, the example rulesets and their tests": lint,
    }
    spent = _best(commands, with_package, ROUNDS)
    base = spent[f"python -c '{REFERENCE}'"]
    return [
        Line("a command", what, seconds * 1e3, seconds / base, "ms")
        for what, seconds in spent.items()
    ]


def _dag_files() -> list[Line]:
    with tempfile.TemporaryDirectory() as home:
        empty = Path(home) / "empty.py"
        empty.write_text(EMPTY, encoding="utf-8")
        settings = {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "PYTHONPATH": str(ROOT / "plugins"),
        }
        files = [empty, *sorted((ROOT / "dags").glob("*.py"))]
        commands = {
            path.name: [sys.executable, "-c", PARSE, str(path)]
            for path in files
            if path.name != "integration_files.py"  # an asset only, no DAG
        }
        spent = _best(commands, settings, PARSES)
    base = spent[empty.name]
    group = "a DAG file, Airflow's own start included"
    return [Line(group, what, used * 1e3, used / base, "ms") for what, used in spent.items()]


def _best(
    commands: Mapping[str, Sequence[str]], settings: Mapping[str, str], rounds: int
) -> dict[str, float]:
    """Return the least processor seconds (user and system) that each command took, started anew each time.

    Unlike the clock on the wall they hardly tell who else uses the machine; on an idle one the two are alike. They
    take turns, so that a machine whose speed changes changes all of them.
    """
    # Compiled modules are kept, as they are unless a machine is told otherwise: the first round makes them.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **settings}
    spent: dict[str, list[float]] = {what: [] for what in commands}
    for _ in range(rounds):
        for what, command in commands.items():
            before = _used()
            subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
            spent[what].append(_used() - before)
    return {what: min(seconds) for what, seconds in spent.items()}


def _used() -> float:
    """Return the processor seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
