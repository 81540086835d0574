"""
### Ledger maintenance

Checks the ledger's database for damage, then forgets what is older than the integration keeps
(`log: {retention_days: 90}`): judged events with their settled actions, old runs. Links, snapshots, cursors, notes
and everything that keeps a change from being done twice stay for ever. Returns what is left, by table and state.
"""

import pendulum
from airflow.sdk import DAG

from pd_sf_rules.operators.upkeep import MaintainLedgerOperator
from pd_sf_rules.policies import dag_id, default_args, owner_links, upkeep_tags
from pd_sf_rules.settings import usable_integrations

for integration in usable_integrations()[0].values():
    with DAG(
        dag_id("ledger_maintenance", integration),
        schedule="40 2 * * *",
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
        default_args=default_args(integration),
        owner_links=owner_links(integration),
        doc_md=__doc__,
        tags=upkeep_tags(integration),
    ) as dag:
        MaintainLedgerOperator(task_id="check_and_forget", integration=integration.name)
    globals()[dag.dag_id] = dag
