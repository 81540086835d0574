"""
### Replay

Tries again what the form names: all failed actions, the failed and waiting ones of one record, single actions by
their ids, or a window of time that was missed. **The first run is a dry run**: it returns what would be done.
Take *Dry run* off to do it.

*Judge again* takes what was recorded since then and does what today's rules say and nobody planned before: after a
rule was changed or added. (`pdsf simulate` shows the same for a draft, without doing anything.)

Everything here is safe to repeat: an action keeps its id, an event is taken in once, and a request whose answer was
lost is looked up before it is sent again. For a whole missed stretch Airflow's own backfill of the sync DAGs does
the same.
"""

import pendulum
from airflow.sdk import DAG, Param

from pd_sf_rules.operators.upkeep import ReplayOperator
from pd_sf_rules.policies import dag_id, default_args, notes_form, owner_links, upkeep_tags
from pd_sf_rules.settings import usable_integrations

for integration in usable_integrations()[0].values():
    with DAG(
        dag_id("replay", integration),
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        params={
            "dry_run": Param(default=True, type="boolean", title="Dry run"),
            "failed": Param(default=False, type="boolean", title="All failed actions"),
            "record": Param(None, type=["null", "string"], title="One record (id or number)"),
            "action": Param(None, type=["null", "string"], title="Actions (ids)"),
            **notes_form(),
            "reevaluate": Param(
                default=False,
                type="boolean",
                title="Judge again",
                description_md="What was recorded in the window is judged by the rules in force now; neither service "
                "is read again, and only actions that were never planned are done.",
            ),
            "direction": Param(
                "both", enum=["both", "salesforce", "pagerduty", "notes"], title="Direction"
            ),
        },
        default_args=default_args(integration),
        owner_links=owner_links(integration),
        doc_md=__doc__,
        tags=upkeep_tags(integration),
    ) as dag:
        ReplayOperator(task_id="try_again", integration=integration.name)
    globals()[dag.dag_id] = dag
