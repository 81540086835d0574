"""Ways out of the pages: to a run in Airflow, to a record in Salesforce, to an incident in PagerDuty."""

import re
import threading
import time
from dataclasses import dataclass
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
_STAMPED = re.compile(r"([a-z_]+?)__\d{4}-(\d\d-\d\d)T(\d\d:\d\d:\d\d)")
_bases: dict[str, tuple[float, str]] = {}
_asking = threading.Lock()


@dataclass(frozen=True, slots=True)
class RunLink:
    """A run of the sync: `path` is where Airflow's UI shows it, "" for a pass of the command line."""

    path: str
    name: str


def run_link(run_id: str | None) -> RunLink:
    """Return the way to a run, named by how it came about and when ("scheduled 11-23 10:15:00")."""
    dag, _, run = (run_id or "").partition("/")
    stamped = _STAMPED.match(run)
    name = f"{stamped[1].replace('_', ' ')} {stamped[2]} {stamped[3]}" if stamped else run or dag
    if not run or dag == COMMAND_LINE:
        return RunLink("", f"{dag}/{name}" if run else name)
    return RunLink(f"dags/{quote(dag, safe='')}/runs/{quote(run, safe='')}", name)


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
