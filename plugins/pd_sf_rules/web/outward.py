"""Ways out of the pages: to a run in Airflow, to a record in Salesforce, to an incident in PagerDuty."""

import threading
import time
from urllib.parse import quote

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import snapshots
from pd_sf_rules.model import PAGERDUTY
from pd_sf_rules.pipeline.pull_pagerduty import INCIDENT
from pd_sf_rules.settings import Integration
from pd_sf_rules.systems.pagerduty.incidents import fetch_incidents
from pd_sf_rules.web import opened

COMMAND_LINE = "pdsf"
KNOWN_SECONDS = 600.0
_bases: dict[str, tuple[float, str]] = {}
_asking = threading.Lock()


def run_path(run_id: str | None) -> str:
    """Return where Airflow's UI shows a run ("dags/x/runs/y"), "" for a pass of the command line."""
    dag, _, run = (run_id or "").partition("/")
    if not run or dag == COMMAND_LINE:
        return ""
    return f"dags/{quote(dag, safe='')}/runs/{quote(run, safe='')}"


def record_url(integration: Integration, record_id: str) -> str:
    """Return a record's address. The org's own is asked by one login and believed for ten minutes."""
    with _asking:
        asked_at, base = _bases.get(integration.name, (0.0, ""))
        if not base or time.monotonic() - asked_at > KNOWN_SECONDS:
            with opened.open_run(integration) as run:
                base = run.salesforce.record_url("", "").rstrip("/")
            _bases[integration.name] = (time.monotonic(), base)
    return f"{base}/{quote(record_id, safe='')}"


def incident_url(integration: Integration, incident_id: str) -> str:
    """Return an incident's address, as the ledger saw it or as PagerDuty tells it now.

    Raises ConfigError for an incident that neither knows.
    """
    with opened.ledger().read() as c:
        seen = snapshots.get_snapshots(c, integration.name, PAGERDUTY, INCIDENT, [incident_id])
    url = seen[incident_id].values.get("html_url") if incident_id in seen else None
    if not url:
        with opened.open_run(integration) as run:
            found = fetch_incidents(run.pagerduty, [incident_id])
        url = found.get(incident_id, {}).get("html_url")
    if not str(url or "").startswith(("https://", "http://")):
        raise ConfigError(f"PagerDuty tells no address of incident {incident_id[:80]}.")
    return str(url)
