"""What Airflow itself knows about a sync that says nothing: components that died, DAGs that are off or never ran."""

from collections.abc import Iterator
from typing import Any

import requests
from airflow.sdk import Context
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowRuntimeError

from pd_sf_rules.errors import RetryableError
from pd_sf_rules.hooks.runs import ledger_of_process
from pd_sf_rules.pipeline.switching import load_switched
from pd_sf_rules.policies import dag_id
from pd_sf_rules.settings import Integration

MONITOR = "/api/v2/monitor/health"
PATIENCE_SECONDS = 10.0
WITHOUT = {
    "scheduler": "no run is started",
    "triggerer": "changes start no run, and only the clock does, every 15 minutes",
    "dag_processor": "edited DAGs, integration files and switches of DAGs are not seen",
}
"""What it means that a component of Airflow is dead, by its name in `/api/v2/monitor/health`."""


def dead_components() -> Iterator[str]:
    """Yield a sentence for each component of Airflow whose heartbeat is missing.

    Asked at the api-server by the one call that needs no login. Not told there: a component that was never started.
    What runs this is alive: a dead scheduler is seen only where there are several, or it hangs.
    """
    try:
        told = _monitored()
    except RetryableError as error:
        yield f"Airflow does not tell which of its components are alive: {error}"
        return
    for name, what in WITHOUT.items():
        found = told.get(name) or {}
        if found.get("status") == "unhealthy":
            last = found.get(f"latest_{name}_heartbeat") or "never"
            yield f"Airflow's {name} is dead (last sign of life: {last}): {what}. Start it again."


def _monitored() -> dict[str, Any]:
    """Return what the api-server tells: at the address that tasks use, else (an `execution` server) at the UI's."""
    of_tasks = str(conf.get("core", "execution_api_server_url", fallback="")).rstrip("/")
    of_people = str(conf.get("api", "base_url", fallback="")).rstrip("/")
    said = "no address is configured."
    for server in filter(None, (of_tasks.removesuffix("/execution"), of_people)):
        try:
            with requests.Session() as session:
                session.trust_env = False  # the task reaches the same server without a proxy
                answer = session.get(f"{server}{MONITOR}", timeout=PATIENCE_SECONDS)
                answer.raise_for_status()
                found: dict[str, Any] = answer.json()
                return found
        except (requests.RequestException, ValueError) as error:
            said = f"{server}{MONITOR}: {error}"
    raise RetryableError(said)


def silent_dags(context: Context, integration: Integration) -> Iterator[str]:
    """Yield a sentence for each DAG of an integration that is to run and is not there, switched off, or never ran.

    An integration that is paused, or that no enabled rule and no comment needs, is silent on purpose.
    """
    if integration.paused:
        return
    task: Any = context["ti"]
    for name in sorted(_needed(integration)):
        wanted = dag_id(name, integration)
        try:
            found = task.get_dag(wanted)
        except AirflowRuntimeError:
            yield f"There is no DAG {wanted}: are the files of `dags/` where Airflow looks for them?"
            continue
        if found.is_paused:
            yield (
                f"DAG {wanted} is switched off, and rules or comments need it: switch it on, or say "
                "`paused: true` in the integration file."
            )
        elif not task.get_dr_count(wanted):
            yield f"DAG {wanted} is switched on and has never run: is the scheduler running?"


def _needed(integration: Integration) -> set[str]:
    rulesets, _ = load_switched(ledger_of_process())
    sources = {
        rule.run_on
        for ruleset in rulesets
        if ruleset.enabled and ruleset.integration == integration.name
        for rule in ruleset.rules
    }
    needed = {
        name
        for name, source in (
            ("salesforce_to_pagerduty", "salesforce"),
            ("pagerduty_to_salesforce", "pagerduty"),
        )
        if source in sources
    }
    comments = integration.comments
    if comments.salesforce_to_pagerduty or comments.pagerduty_to_salesforce:
        needed.add("note_sync")
    return needed
