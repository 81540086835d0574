"""What one DAG run is to read: the only place that knows Airflow's kinds of run."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from airflow.sdk import Context

from pd_sf_rules.errors import SettingsError
from pd_sf_rules.ledger import events
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Window
from pd_sf_rules.pipeline.pulled import Pulled
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.values import instant
from pd_sf_rules.planning.windows import given_window

BACKFILL = "backfill"


def given_window_of(context: Context) -> Window | None:
    """Return a backfill's data interval or the form's window; None means: from the cursor to now.

    Raises SettingsError when the form's instants cannot be read.
    """
    dag_run = context["dag_run"]
    if str(getattr(dag_run.run_type, "value", dag_run.run_type)) == BACKFILL:
        start, end = context["data_interval_start"], context["data_interval_end"]
        if start is None or end is None:
            raise SettingsError("This backfill run has no data interval.")
        return given_window(start, end, utc_now())
    params: Any = context["params"]
    since = _instant(params.get("since"), "since")
    if since is None:
        return None
    return given_window(since, _instant(params.get("until"), "until"), utc_now())


def forgotten(run: Run, pulled: Sequence[Pulled]) -> Iterator[str]:
    """Yield a sentence for each stream of which a given window reaches back to what the ledger has pruned.

    What is that old may have been done and forgotten, and is therefore not taken in.
    """
    with run.ledger.read() as c:
        for one in pulled:
            source, _, name = one.stream.partition(":")
            if one.window.moves_cursor or source not in {SALESFORCE, PAGERDUTY}:
                continue
            of_object = name if source == SALESFORCE else None
            until = events.forgotten_until(
                c, run.name, SALESFORCE if source == SALESFORCE else PAGERDUTY, of_object
            )
            if until is not None and one.window.start <= until:
                yield (
                    f"{one.stream}: changes up to {until.isoformat()} are older than what the ledger keeps "
                    "(`log: {retention_days: ...}`). They may have been done already, and are left as they are: "
                    "`reconcile` compares the pairs as they stand."
                )


def is_dry_run(context: Context) -> bool:
    """Say whether this run is to stop after the plan."""
    return bool(context["params"].get("dry_run"))


def objects_of(context: Context) -> tuple[str, ...]:
    """Return the objects that the form narrows the run to; none means all."""
    return tuple(context["params"].get("objects") or ())


def _instant(value: Any, name: str) -> datetime | None:
    if value is None or value == "":
        return None
    stamp = instant(str(value))
    if stamp is None:
        raise SettingsError(
            f"'{name}' is '{value}'.", hint="Give an instant such as 2026-11-01T08:00:00Z."
        )
    return stamp
