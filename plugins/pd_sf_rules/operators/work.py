"""What each operator does when it is executed: the way from `dags/` to the pipeline."""

from collections.abc import Callable, Mapping
from typing import Any

from airflow.sdk import BaseOperator

from pd_sf_rules.operators import (
    deciding,
    looking_after,
    storms,
    sync,
    syncing,
    trying_again,
    upkeep,
)

Work = Callable[[Any, Any], Any]

WORK: Mapping[type[BaseOperator], Work] = {
    sync.PullChangesOperator: syncing.pull_changes,
    sync.EvaluateRulesetsOperator: syncing.evaluate_rulesets,
    sync.ApplyActionsOperator: syncing.apply_actions,
    sync.RecordLineageOperator: syncing.record_and_commit,
    upkeep.ReconcileOperator: looking_after.reconcile_pairs,
    upkeep.HealthOperator: looking_after.examine,
    upkeep.MaintainLedgerOperator: looking_after.maintain,
    upkeep.ReplayOperator: trying_again.try_again,
    storms.AskAboutStormOperator: deciding.put_the_question,
    storms.DecideStormOperator: deciding.carry_out_decision,
}
"""By operator: what it is given is the operator and Airflow's context, what it returns is the task's result."""
