"""From a task to the incident and the record it last wrote to, and to the story of its run."""

from typing import Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

from pd_sf_rules.ledger import actions, snapshots
from pd_sf_rules.model import PAGERDUTY
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.planning.kinds import WRITES_TO

INCIDENT_URL = "incident_url"
RECORD_URL = "record_url"


class IncidentLink(BaseOperatorLink):
    """Opens the incident that the task created or changed last."""

    name = "Incident in PagerDuty"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the URL, "" when the task wrote to no incident."""
        return str(XCom.get_value(ti_key=ti_key, key=INCIDENT_URL) or "")


class RecordLink(BaseOperatorLink):
    """Opens the record that the task created or changed last."""

    name = "Record in Salesforce"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the URL, "" when the task wrote to no record."""
        return str(XCom.get_value(ti_key=ti_key, key=RECORD_URL) or "")


class ExplainLink(BaseOperatorLink):
    """Opens the page that tells what the task's run saw, decided and did."""

    name = "Explain"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return an address relative to Airflow's own, wherever that is."""
        run = {"dag_id": ti_key.dag_id, "run_id": ti_key.run_id}
        return f"pd-sf-rules/explain?{urlencode(run)}"


def link_urls(run: Run) -> dict[str, str]:
    """Return the URLs of the incident and the record that this run wrote to last; "" for one that is unknown."""
    with run.ledger.read() as c:
        done = actions.find_actions(c, integration=run.name, run_id=run.id, limit=50)
        written = [one for one in done if one.state == "applied" and one.target]
        urls = {INCIDENT_URL: "", RECORD_URL: ""}
        for one in written:
            target = str(one.target).split(",")[0]
            if WRITES_TO[one.kind] == PAGERDUTY and not urls[INCIDENT_URL]:
                seen = snapshots.get_snapshots(c, run.name, PAGERDUTY, "incident", [target])
                url = seen[target].values.get("html_url") if target in seen else None
                if url:
                    urls[INCIDENT_URL] = str(url)
            elif WRITES_TO[one.kind] != PAGERDUTY and not urls[RECORD_URL]:
                urls[RECORD_URL] = run.salesforce.record_url(one.object or "", target)
    return urls
