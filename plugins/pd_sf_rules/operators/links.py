"""From a task to the incident and the record it last wrote to, and to the story of its run."""

from typing import Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

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
