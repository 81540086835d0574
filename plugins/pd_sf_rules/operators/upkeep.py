"""What looks after the sync: reconciliation, health, the ledger's retention, and trying things again.

What these do is in looking_after.py and trying_again.py.
"""

from pd_sf_rules.operators.step import Step


class ReconcileOperator(Step):
    """Compare all linked pairs; the form says whether to repair, and how many API calls it may take.

    Returns the report of pipeline/reconcile.py.
    """

    ui_color = "#e0f2f1"


class HealthOperator(Step):
    """Look whether the sync and Airflow are well. Returns the figures; fails with a sentence for each finding."""

    ui_color = "#e8eaf6"


class MaintainLedgerOperator(Step):
    """Check the ledger for damage, and forget what is older than the integration keeps. Returns its statistics."""

    ui_color = "#efebe9"


class ReplayOperator(Step):
    """Try again what the form names: failed actions, one record's, one action, or a window. First a dry run.

    With `reevaluate` a window is not read again: what was recorded in it is judged by the rules in force now.
    Returns the plan (dry run), or the lineages. Fails when an action failed again or a side could not be read.
    """

    ui_color = "#fff3e0"
