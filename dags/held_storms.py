"""
### Held storms

A rule that would create many incidents at once (`limits:` in the integration file), or a pair that goes round in
circles, is held back, and **you are asked here**, once for each storm: open the run, *Required Actions*, and choose

- *Release*: everything goes out now, one by one;
- *Discard*: nothing of it ever goes out;
- *Release as one summary incident*: one incident for all of the records, linked to each.

Started by the sync DAG that held something back; the sync itself goes on meanwhile. `pdsf errors --release`,
`--drop` and `--summary` do the same.
"""

import pendulum
from airflow.sdk import DAG, Param

from pd_sf_rules.operators.storms import AskAboutStormOperator, DecideStormOperator
from pd_sf_rules.policies import dag_id, default_args, owner_links, upkeep_tags
from pd_sf_rules.settings import usable_integrations

for integration in usable_integrations()[0].values():
    with DAG(
        dag_id("held_storms", integration),
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=100,
        is_paused_upon_creation=False,
        params={"storm": Param("", type="string", title="Storm")},
        default_args=default_args(integration),
        owner_links=owner_links(integration),
        doc_md=__doc__,
        tags=upkeep_tags(integration),
    ) as dag:
        ask = AskAboutStormOperator(task_id="ask_what_to_do", integration=integration.name)
        decide = DecideStormOperator(
            task_id="carry_out_the_decision", ask_task=ask.task_id, integration=integration.name
        )
        ask >> decide
    globals()[dag.dag_id] = dag
