"""
### Salesforce to PagerDuty

Reads the Salesforce records that changed, judges them by the rulesets in `include/rulesets/`, and carries out
what the matching rules say: incidents created, acknowledged, resolved, re-prioritised, fields written back.

**Runs** when a watched object changed (within a few seconds) and every 15 minutes as the net under it.
**By hand** (Trigger): with an empty form it looks now; with *Since* and *Until* it reads that window again and
leaves the cursor alone; *Dry run* stops after the plan. **Backfill** re-syncs a window that was missed: what was
seen already does nothing.

**When a task is red**: its log names the connection, record or rule, and what to do. Nothing is lost meanwhile:
events wait in the inbox, actions in the outbox of the ledger. `pdsf errors` lists what failed.
"""

from typing import Any

import pendulum
from airflow.sdk import DAG

from pd_sf_rules.operators.sync import (
    ApplyActionsOperator,
    EvaluateRulesetsOperator,
    PullChangesOperator,
    RecordLineageOperator,
)
from pd_sf_rules.policies import dag_id, deadline, default_args, owner_links, window_form
from pd_sf_rules.settings import usable_integrations
from pd_sf_rules.sync_policies import changes_or_clock, docs, ruleset_errors, tags

errors = ruleset_errors()
for integration in usable_integrations()[0].values():
    with DAG(
        dag_id("salesforce_to_pagerduty", integration),
        schedule=changes_or_clock(integration, "salesforce"),
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
        params=window_form(),
        deadline=deadline(integration),
        default_args=default_args(integration),
        owner_links=owner_links(integration),
        doc_md=docs(__doc__, errors),
        tags=tags(integration, errors),
    ) as dag:
        step: Any = {"integration": integration.name, "direction": "salesforce"}
        pull = PullChangesOperator(task_id="pull_changed_records", **step)
        evaluate = EvaluateRulesetsOperator(
            task_id="evaluate_rulesets", trigger_rule="all_done", **step
        )
        apply = ApplyActionsOperator(task_id="apply_actions", trigger_rule="all_done", **step)
        record = RecordLineageOperator(
            task_id="record_lineage_and_move_cursor",
            trigger_rule="all_done",
            pull_task=pull.task_id,
            apply_task=apply.task_id,
            evaluate_task=evaluate.task_id,
            **step,
        )
        pull >> evaluate >> apply >> record
    globals()[dag.dag_id] = dag
