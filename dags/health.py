"""
### Health

Looks whether the sync is well: both connections (tried now), how far behind each side was read, what waits and for
how long, what failed, what a breaker holds, ruleset and integration files that cannot be used, names in rules that
PagerDuty has no more, API allowances; and Airflow with it: components without a heartbeat, DAGs that rules need and
that are switched off. **Fails with one sentence for each finding**, which raises one alert at the sync's own service;
the first run that finds nothing resolves it.
"""

import pendulum
from airflow.sdk import DAG

from pd_sf_rules.operators.upkeep import HealthOperator
from pd_sf_rules.policies import dag_id, deadline, default_args, owner_links, upkeep_tags
from pd_sf_rules.settings import usable_integrations

for integration in usable_integrations()[0].values():
    with DAG(
        dag_id("health", integration),
        schedule="*/5 * * * *",
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
        deadline=deadline(integration),
        default_args=default_args(integration),
        owner_links=owner_links(integration),
        doc_md=__doc__,
        tags=upkeep_tags(integration),
    ) as dag:
        HealthOperator(task_id="examine_the_sync", integration=integration.name)
    globals()[dag.dag_id] = dag
