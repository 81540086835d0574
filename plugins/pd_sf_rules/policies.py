"""What every DAG of this product has in common: names, schedule, form, retries, time-outs, alerts."""

from collections.abc import Sequence
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import Any

from airflow.sdk import (
    Asset,
    AssetOrTimeSchedule,
    AssetWatcher,
    Context,
    CronDataIntervalTimetable,
    Param,
    RetryDecision,
    RetryPolicy,
    get_parsing_context,
)
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from pd_sf_rules.errors import RateLimitedError, RetryableError, SyncError
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Source
from pd_sf_rules.notifications import (
    alert_about_stuck_run,
    alert_on_failure,
    resolve_on_success,
)
from pd_sf_rules.rules.diagnostics import Diagnostic
from pd_sf_rules.rules.loader import load_folder
from pd_sf_rules.settings import Integration, rulesets_folder
from pd_sf_rules.triggers.changes import PagerDutyChangesTrigger, SalesforceChangesTrigger
from pd_sf_rules.triggers.doorbell import RULES

EVERY_15_MINUTES = "*/15 * * * *"
OWNER = "pd-sf-rules"
RETRY_DELAY = timedelta(seconds=5)
LONGEST_TASK = timedelta(minutes=30)
MOST_ERRORS = 20
TRIGGERS = {SALESFORCE: SalesforceChangesTrigger, PAGERDUTY: PagerDutyChangesTrigger}


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


def changes_or_clock(
    integration: Integration, *systems: Source, topic: str = RULES
) -> AssetOrTimeSchedule:
    """Run when one of the systems changed, or every 15 minutes over a data interval, whichever comes first.

    `topic` is what a change must be about: "rules", or "notes" for comments and notes alone.
    """
    assets = [_changes(integration, system, topic) for system in systems]
    condition: Any = assets[0]
    for asset in assets[1:]:
        condition |= asset
    return AssetOrTimeSchedule(
        timetable=CronDataIntervalTimetable(EVERY_15_MINUTES, timezone="UTC"), assets=condition
    )


def _changes(integration: Integration, system: Source, topic: str) -> Asset:
    name = f"{system}_{'changes' if topic == RULES else topic}__{integration.name}"
    trigger = TRIGGERS[system](
        integration=integration.name, poll_seconds=integration.poll_seconds, topic=topic
    )
    return Asset(
        name=name,
        uri=f"pdsf://{system}/{integration.name}/{topic}",
        group="pd-sf-rules",
        watchers=[AssetWatcher(name=name, trigger=trigger)],
    )


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


def ruleset_errors() -> list[Diagnostic]:
    """Return what keeps ruleset files from being used, as they are now; read once for a DAG file.

    A task parses the DAG file too, and shows nobody its docs and tags: it reads no rulesets for them.
    """
    if get_parsing_context().task_id is not None:
        return []
    _, diagnostics = load_folder(rulesets_folder())
    return [one for one in diagnostics if one.severity == "error"]


def docs(text: str | None, errors: Sequence[Diagnostic]) -> str:
    """Return the docs of a DAG: its docstring, and above it the errors of the ruleset files, if there are any."""
    if not errors:
        return text or ""
    listed = "\n".join(
        f"- `{Path(one.path).name}:{one.line}:{one.column}` {_plain(one.message)} {_plain(one.hint)}"
        for one in errors[:MOST_ERRORS]
    )
    more = len(errors) - MOST_ERRORS
    return (
        f"### ⚠ Ruleset files with errors: {len({one.path for one in errors})}\n\n"
        "Everything else goes on, and so does the last good version of these files, until they are mended:\n\n"
        f"{listed}\n{f'- … and {more} more' if more > 0 else ''}\n\n`pdsf lint` tells them all.\n{text or ''}"
    )


def tags(integration: Integration, errors: Sequence[Diagnostic]) -> list[str]:
    """Return the tags of a sync DAG: `ruleset-error` is one of them while a ruleset file cannot be used."""
    told = ["ruleset-error"] if errors else []
    return ["pd-sf-rules", "sync", integration.name, *told]


def upkeep_tags(integration: Integration) -> list[str]:
    """Return the tags of a DAG that looks after the sync."""
    return ["pd-sf-rules", "upkeep", integration.name]


def _plain(text: str) -> str:
    """Return a sentence that Markdown shows as it is, on one line."""
    return escape(" ".join(text.split()), quote=False)


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
