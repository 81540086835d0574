"""
### Reconcile

Compares every linked pair on both sides with what the sync last knew: records and incidents that are gone, fields
and states that changed without having been seen, rules that never acted, comments and notes that never crossed.
The report is this run's result (XCom), and is kept in the ledger.

**Runs** every night, and only reports. **By hand** with *Repair*: what was missed is fed through the inbox, the
rules and the outbox like any other change. *Most API calls* bounds what one look may cost; the next look goes on.
While the API allowance is short it does nothing, and says so.
"""

import pendulum
from airflow.sdk import DAG, Param

from pd_sf_rules.operators.upkeep import ReconcileOperator
from pd_sf_rules.policies import dag_id, default_args, owner_links, upkeep_tags
from pd_sf_rules.settings import usable_integrations

for integration in usable_integrations()[0].values():
    with DAG(
        dag_id("reconcile", integration),
        schedule="20 3 * * *",
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
        params={
            "repair": Param(default=False, type="boolean", title="Repair"),
            "max_calls": Param(500, type="integer", minimum=1, title="Most API calls"),
        },
        default_args=default_args(integration),
        owner_links=owner_links(integration),
        doc_md=__doc__,
        tags=upkeep_tags(integration),
    ) as dag:
        ReconcileOperator(task_id="compare_all_pairs", integration=integration.name)
    globals()[dag.dag_id] = dag
