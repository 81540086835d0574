"""The only file that Airflow's plugin loader reads: it registers what the package has for Airflow."""

from airflow.plugins_manager import AirflowPlugin

from pd_sf_rules.operators.links import IncidentLink, RecordLink


class PdSfRulesPlugin(AirflowPlugin):
    """Links from tasks to incidents and records."""

    name = "pd_sf_rules"
    operator_extra_links = [IncidentLink(), RecordLink()]  # noqa: RUF012 - Airflow's own form
