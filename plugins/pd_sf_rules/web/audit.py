"""Every change made on these pages stands in Airflow's own audit log (Browse > Audit Log), before it is made."""

import json
from typing import Any

from airflow._shared.secrets_masker import secrets_masker
from airflow.models.log import Log
from airflow.utils.session import create_session

from pd_sf_rules.settings import Integration
from pd_sf_rules.web.access import Viewer, sync_dag


def write_audit(viewer: Viewer, event: str, integration: Integration, **details: Any) -> None:
    """Note who is about to do what: `event` such as "pdsf.pause", `details` what it is done to, and why.

    It is kept with the integration's sync DAG, so that whoever may read that DAG's log reads it. As Airflow does,
    it is written first: a change that fails afterwards was still asked for.
    """
    extra = {name: secrets_masker.redact(value, name) for name, value in details.items()}
    with create_session() as session:
        session.add(
            Log(
                event=event,
                task_instance=None,
                owner=viewer.name,
                owner_display_name=viewer.name,
                extra=json.dumps({"integration": integration.name, **extra}, default=str),
                dag_id=sync_dag(integration),
            )
        )
