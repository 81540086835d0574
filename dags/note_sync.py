"""
### Note sync

Carries Case comments to incident notes and notes to comments, each with its author's name, as the integration
file says (`comments:`; off until you choose). Comments it writes are internal unless the file says `public`.
What it wrote itself never comes back.

**Runs** when either side changed and every 15 minutes as the net under it. **By hand**: with *Since* and *Until*
it reads that window again and leaves the cursor alone. **Backfill** carries over what was missed.
"""

from typing import Any

import pendulum
from airflow.sdk import DAG

from pd_sf_rules.operators.sync import (
    ApplyActionsOperator,
    PullChangesOperator,
    RecordLineageOperator,
)
from pd_sf_rules.policies import dag_id, deadline, default_args, notes_form, owner_links
from pd_sf_rules.settings import usable_integrations
from pd_sf_rules.sync_policies import changes_or_clock, docs, ruleset_errors, tags

errors = ruleset_errors()
for integration in usable_integrations()[0].values():
    with DAG(
        dag_id("note_sync", integration),
        schedule=changes_or_clock(integration, "salesforce", "pagerduty", topic="notes"),
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
        params=notes_form(),
        deadline=deadline(integration),
        default_args=default_args(integration),
        owner_links=owner_links(integration),
        doc_md=docs(__doc__, errors),
        tags=tags(integration, errors),
    ) as dag:
        step: Any = {"integration": integration.name, "direction": "notes"}
        pull = PullChangesOperator(task_id="pull_comments_and_notes", **step)
        apply = ApplyActionsOperator(
            task_id="copy_to_the_other_side", trigger_rule="all_done", **step
        )
        record = RecordLineageOperator(
            task_id="record_lineage_and_move_cursor",
            trigger_rule="all_done",
            pull_task=pull.task_id,
            apply_task=apply.task_id,
            **step,
        )
        pull >> apply >> record
    globals()[dag.dag_id] = dag
