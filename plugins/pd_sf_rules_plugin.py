"""The only file that Airflow's plugin loader reads: it registers what the package has for Airflow.

Every process of Airflow imports it, so it imports little: pages are built in the api-server when they are asked for.
"""

from airflow.plugins_manager import AirflowPlugin

from pd_sf_rules.operators.links import ExplainLink, IncidentLink, RecordLink
from pd_sf_rules.web.mounting import BuiltWhenAsked

ICON = "pd-sf-rules/static/icon.svg"


class PdSfRulesPlugin(AirflowPlugin):
    """The pages, the webhook endpoint, and links from tasks to incidents and records."""

    name = "pd_sf_rules"
    operator_extra_links = [IncidentLink(), RecordLink(), ExplainLink()]  # noqa: RUF012 - Airflow's own form
    fastapi_apps = [  # noqa: RUF012
        {
            "name": "pd_sf_rules pages",
            "app": BuiltWhenAsked("pd_sf_rules.web.app:pages_app"),
            "url_prefix": "/pd-sf-rules",
        },
        {  # open to anybody: it lives by its signature
            "name": "pd_sf_rules webhooks",
            "app": BuiltWhenAsked("pd_sf_rules.webhooks.app:webhooks_app"),
            "url_prefix": "/pd-sf-webhooks",
        },
    ]
    external_views = [  # noqa: RUF012
        {
            "name": "PagerDuty and Salesforce",
            "href": "pd-sf-rules/summary",
            "destination": "nav",
            "category": "browse",
            "url_route": "pd-sf-rules",
            "icon": ICON,
        },
        {
            "name": "Explain",
            "href": "pd-sf-rules/explain?dag_id={DAG_ID}&run_id={RUN_ID}",
            "destination": "dag_run",
            "url_route": "pd-sf-rules-explain",
            "icon": ICON,
        },
        {
            "name": "Explain",
            "href": "pd-sf-rules/explain?dag_id={DAG_ID}&run_id={RUN_ID}",
            "destination": "task_instance",
            "url_route": "pd-sf-rules-explain-task",
            "icon": ICON,
        },
    ]
