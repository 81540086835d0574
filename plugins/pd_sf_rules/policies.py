"""What every DAG of this product has in common: names, forms, retries, time-outs, alerts."""

from datetime import timedelta
from typing import Any

from airflow.sdk import (
    Context,
    Param,
    RetryDecision,
    RetryPolicy,
)
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from pd_sf_rules.errors import RateLimitedError, RetryableError, SyncError
from pd_sf_rules.notifications import (
    alert_about_stuck_run,
    alert_on_failure,
    resolve_on_success,
)
from pd_sf_rules.settings import Integration

OWNER = "pd-sf-rules"
RETRY_DELAY = timedelta(seconds=5)
LONGEST_TASK = timedelta(minutes=30)


class SyncRetryPolicy(RetryPolicy):
    """Retry what may work later, after the server's own waiting time; fail at once what a person must mend."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,  # noqa: ARG002 - Airflow's signature
        context: Context | None = None,  # noqa: ARG002 - Airflow's signature
    ) -> RetryDecision:
        """Decide by the error tree; anything that is not ours is left to Airflow."""
        if isinstance(exception, RateLimitedError):
            delay = timedelta(seconds=max(exception.retry_after, 1))
            return RetryDecision.retry(delay, reason="the server asked to wait")
        if isinstance(exception, RetryableError):
            return RetryDecision.retry(RETRY_DELAY * 2 ** (try_number - 1), reason=str(exception))
        if isinstance(exception, SyncError):
            return RetryDecision.fail(reason=str(exception))
        return RetryDecision.default()


def dag_id(name: str, integration: Integration) -> str:
    """Return `name`, with `__<integration>` behind it for any other integration than `default`."""
    return name if integration.name == "default" else f"{name}__{integration.name}"


def owner_links(integration: Integration) -> dict[str, str]:
    """Return where the owner's name in the UI leads: the integration's `owner_link`, nowhere without one."""
    return {OWNER: integration.owner_link} if integration.owner_link else {}


def default_args(integration: Integration) -> dict[str, Any]:
    """Return what every task has: an owner, retries by our own errors, a time-out and an alert."""
    return {
        "owner": OWNER,
        "retries": 3,
        "retry_delay": RETRY_DELAY,
        "retry_policy": SyncRetryPolicy(),
        "execution_timeout": LONGEST_TASK,
        "on_failure_callback": alert_on_failure(integration),
        "on_success_callback": resolve_on_success(integration),
    }


def deadline(integration: Integration) -> DeadlineAlert:
    """Return what pages when a run has not ended `stuck_after_minutes` after it was queued; a good run resolves it.

    Airflow's scheduler watches the time, and its triggerer makes the call.
    """
    told = {
        "integration": integration.name,
        "pagerduty_conn_id": integration.pagerduty_conn_id,
        "minutes": integration.stuck_after_minutes,
    }
    return DeadlineAlert(
        name="Stuck run",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=integration.stuck_after_minutes),
        callback=AsyncCallback(alert_about_stuck_run, kwargs=told),
    )


def upkeep_tags(integration: Integration) -> list[str]:
    """Return the tags of a DAG that looks after the sync."""
    return ["pd-sf-rules", "upkeep", integration.name]


def window_form() -> dict[str, Param]:
    """Return the form of a sync DAG: every field may stay empty, and then the run goes on from the cursor."""
    return {
        **notes_form(),
        "objects": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            examples=["Case"],
            title="Objects",
            description_md="Only these Salesforce objects; empty means all that rules name.",
        ),
        "dry_run": Param(
            default=False,
            type="boolean",
            title="Dry run",
            description_md="Stop after the plan: nothing is written to either side, nor to the ledger.",
        ),
    }


def notes_form() -> dict[str, Param]:
    """Return the form of a window: both ends may stay empty."""
    return {
        "since": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Since",
            description_md="Read this window again instead of going on from the cursor (which then stays).",
        ),
        "until": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Until",
            description_md="End of the window; empty means now.",
        ),
    }
