"""The settings of an embedded Airflow: one machine, one person, and a short way from a change to its effect.

Each number that differs from Airflow's own was measured: see docs/adr/0003-embedded-airflow.md.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedded.home import USERNAME, Secrets

HOST = "127.0.0.1"
LOCAL_SETTINGS = Path(__file__).resolve().parent / "local_settings"

# Imported once by the scheduler instead of by every task: see local_settings.
PRELOADED = (
    "airflow.dag_processing.bundles.local",
    "airflow.providers.common.io.assets.file",
    "airflow.sdk",
    "airflow.sdk.bases.decorator",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.decorators.condition",
    "airflow.sdk.definitions.decorators.setup_teardown",
    "airflow.sdk.definitions.decorators.task_group",
    "airflow.sdk.execution_time.cache",
    "airflow.sdk.execution_time.timeout",
    "airflow.providers.standard.decorators.python",
    "airflow.version",
    "httpcore2",
    "jinja2.ext",
    "pagerduty",
    "simple_salesforce",
    "pd_sf_rules.policies",
    "pd_sf_rules.sync_policies",
    "pd_sf_rules.operators.work",
    "pd_sf_rules.hooks.alerts",
    "pd_sf_rules.systems.salesforce.login",
    "pd_sf_rules.pipeline.rehearsal:rehearse",
)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where people and programs find the api-server, and where tasks find theirs."""

    api: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Folders:
    """Where an embedded Airflow finds what it runs and keeps what it writes."""

    home: Path
    dags: Path
    plugins: Path


def environment(
    folders: Folders, secrets: Secrets, passwords: Path, ports: Ports, inherited: Mapping[str, str]
) -> dict[str, str]:
    """The variables that every component is started with.

    `inherited` are the variables of the caller (connections, PDSF_*, PATH...). An AIRFLOW__*
    variable in it wins over the tuning but not over what makes the components one Airflow (home,
    database, address, secrets).
    """
    chosen = {**_tuning(), **inherited}
    chosen.update(_identity(folders, secrets, passwords, ports))
    path = [str(LOCAL_SETTINGS), inherited.get("PYTHONPATH", "")]
    chosen["PYTHONPATH"] = os.pathsep.join(part for part in path if part)
    # Tasks talk to the api-server on this machine: not through a proxy.
    for name in ("NO_PROXY", "no_proxy"):
        direct = [inherited.get(name, ""), HOST, "localhost"]
        chosen[name] = ",".join(part for part in direct if part)
    return chosen


def _identity(folders: Folders, secrets: Secrets, passwords: Path, ports: Ports) -> dict[str, str]:
    url = f"http://{HOST}:{ports.api}"
    return {
        "AIRFLOW_HOME": str(folders.home),
        # A person's own airflow.cfg must not leak in, nor ours out.
        "AIRFLOW_CONFIG": str(folders.home / "airflow.cfg"),
        # Seconds that a writer waits for its turn: with SQLite's own 5, a busy machine loses a request.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folders.home / 'airflow.db'}?timeout=20",
        # Of embedded/local_settings, which is on the path of every component.
        "AIRFLOW__CORE__EXECUTOR": "resuming_executor.ResumingLocalExecutor",
        "AIRFLOW__CORE__DAGS_FOLDER": str(folders.dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(folders.plugins),
        "AIRFLOW__CORE__FERNET_KEY": secrets.fernet_key,
        "AIRFLOW__CORE__AUTH_MANAGER": (
            "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USERNAME}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        # In a process of its own: see docs/adr/0003-embedded-airflow.md.
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{ports.tasks}/execution/",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(ports.api),
        "AIRFLOW__API__SECRET_KEY": secrets.api_secret_key,
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.jwt_secret,
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folders.home / "logs"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(
            folders.home / "logs" / "dag_processor"
        ),
        "PYTHONUNBUFFERED": "1",
    }


def _tuning() -> dict[str, str]:
    tuned = {
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # A connection's extra of this name is a secret too: Airflow shows it to nobody.
        "AIRFLOW__CORE__SENSITIVE_VAR_CONN_NAMES": "routing_key",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        # Task processes are forked from idle workers: as many as can run at once on a small machine, no more.
        "AIRFLOW__CORE__PARALLELISM": "8",
        # A hop from task to task waits for the scheduler to look again.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        # After a scheduler or a task was killed its runs go on within a minute; by default after five.
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        # A DAG that is switched on gets its watchers when its file is parsed again.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
        "AIRFLOW__API__WORKERS": "1",
        # A task gives up after five requests without an answer: on a busy machine not after 5 s each.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "20",
        "PDSF_PRELOAD": ",".join(PRELOADED),
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    }
    if sys.platform == "linux":
        tuned["AIRFLOW__CORE__MP_START_METHOD"] = "fork"
    return tuned
