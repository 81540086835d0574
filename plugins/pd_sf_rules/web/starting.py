"""Starts a run of a sync DAG, so that what a person just decided is carried out in seconds and not at the next run."""

import logging
from collections.abc import Iterable

from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.exceptions import DagNotFound, DagRunAlreadyExists
from airflow.models.dag import DagModel
from airflow.utils.types import DagRunTriggeredByType

from pd_sf_rules.pipeline.run import Direction
from pd_sf_rules.policies import dag_id
from pd_sf_rules.settings import Integration
from pd_sf_rules.web.access import Viewer

_log = logging.getLogger(__name__)

DAGS: dict[Direction, str] = {
    "salesforce": "salesforce_to_pagerduty",
    "pagerduty": "pagerduty_to_salesforce",
    "notes": "note_sync",
}
SOON = "The run that was started for it carries it out."
LATER = "The next run of the sync carries it out."


def start_sync(viewer: Viewer, integration: Integration, directions: Iterable[Direction]) -> str:
    """Start a run of each direction's DAG; return one sentence about what happens next.

    Where the DAG is not there, is paused, or this person may not start it, the queue simply waits for its next run.
    """
    started = [_started(viewer, dag_id(DAGS[one], integration)) for one in sorted(set(directions))]
    return SOON if started and all(started) else LATER


def _started(viewer: Viewer, dag: str) -> bool:
    model = DagModel.get_dagmodel(dag)
    if model is None or model.is_paused or model.is_stale or not _may_start(viewer, dag):
        return False
    try:
        trigger_dag(
            dag,
            triggered_by=DagRunTriggeredByType.UI,
            triggering_user_name=viewer.name,
            note="Started by a decision on the pages of PagerDuty and Salesforce.",
        )
    except (DagNotFound, DagRunAlreadyExists, ValueError) as error:
        _log.warning("No run of %s was started: %s", dag, error)
        return False
    return True


def _may_start(viewer: Viewer, dag: str) -> bool:
    details = DagDetails(id=dag, team_name=DagModel.get_team_name(dag))
    allowed = get_auth_manager().is_authorized_dag(
        method="POST", access_entity=DagAccessEntity.RUN, details=details, user=viewer.user
    )
    return bool(allowed)
