"""`pdsf` beside an Airflow: it finds the connections that a person stored there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedded import database

ROOT = Path(__file__).resolve().parents[2]
DROPPED = ("PDSF_", "AIRFLOW_CONN_", "AIRFLOW__")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a shell whose Airflow holds the connections `pdsf_ledger` and `pagerduty_default`."""
    home = tmp_path_factory.mktemp("airflow")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(DROPPED)}
    environment = inherited | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "PYTHONPATH": str(ROOT / "plugins"),
    }
    database.prepare(home, environment, ROOT / ".run" / "templates")
    stored = {
        "pdsf_ledger": {
            "conn_type": "generic",
            "extra": {"url": f"sqlite:///{home}/the_ledger.db"},
        },
        "pagerduty_default": {
            "conn_type": "pagerduty",
            "extra": {"base_url": "http://127.0.0.1:9"},
        },
    }
    file = home / "connections.json"
    file.write_text(json.dumps(stored))
    done = _run([sys.executable, "-m", "airflow", "connections", "import", str(file)], environment)
    assert done.returncode == 0, done.stderr
    return environment


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=200
    )


def test_stored_connections_are_found(shell: dict[str, str]) -> None:
    """The ledger is the one that the stored connection names, and stdout holds nothing but the JSON."""
    done = _run([sys.executable, "-m", "pd_sf_rules", "status", "--json"], shell)
    told = json.loads(done.stdout)
    assert told["ledger"]["database"].endswith("/the_ledger.db")
    salesforce, pagerduty = told["integrations"][0]["connections"]
    assert "'salesforce_default': is not defined" in salesforce["said"]
    assert "field 'password': is missing" in pagerduty["said"]


def test_the_environment_wins(shell: dict[str, str], tmp_path: Path) -> None:
    """A ledger named in the environment is taken without asking Airflow."""
    environment = {**shell, "PDSF_LEDGER_URL": f"sqlite:///{tmp_path}/mine.db"}
    done = _run([sys.executable, "-m", "pd_sf_rules", "ledger", "stats", "--json"], environment)
    assert json.loads(done.stdout)["database"].endswith("/mine.db")
    assert done.stderr == ""
