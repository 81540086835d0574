"""What the DAGs of the sync have in common beyond policies.py: when they run, and docs that tell of ruleset errors."""

from collections.abc import AsyncIterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from airflow.sdk import (
    Asset,
    AssetOrTimeSchedule,
    AssetWatcher,
    CronDataIntervalTimetable,
    get_parsing_context,
)
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Source
from pd_sf_rules.rules.diagnostics import Diagnostic
from pd_sf_rules.rules.loader import load_folder
from pd_sf_rules.settings import Integration, rulesets_folder

EVERY_15_MINUTES = "*/15 * * * *"
MOST_ERRORS = 20
TRIGGERS = {
    SALESFORCE: "pd_sf_rules.triggers.changes.SalesforceChangesTrigger",
    PAGERDUTY: "pd_sf_rules.triggers.changes.PagerDutyChangesTrigger",
}


class NamedTrigger(BaseEventTrigger):
    """What a DAG file tells of a trigger: the path of its class and its arguments.

    Airflow keeps these, and its triggerer imports the class, with the clients that it needs, and runs that.
    """

    def __init__(self, path: str, **arguments: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.path = path
        self.arguments = arguments

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return self.path, dict(self.arguments)

    def run(self) -> AsyncIterator[TriggerEvent]:
        """Refuse: a name can be told, not run."""
        raise NotImplementedError(f"Import {self.path} and run that.")


def changes_or_clock(
    integration: Integration, *systems: Source, topic: str = "rules"
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
    name = f"{system}_{'changes' if topic == 'rules' else topic}__{integration.name}"
    trigger = NamedTrigger(
        TRIGGERS[system],
        integration=integration.name,
        poll_seconds=integration.poll_seconds,
        topic=topic,
    )
    return Asset(
        name=name,
        uri=f"pdsf://{system}/{integration.name}/{topic}",
        group="pd-sf-rules",
        watchers=[AssetWatcher(name=name, trigger=trigger)],
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


def _plain(text: str) -> str:
    """Return a sentence that Markdown shows as it is, on one line."""
    return escape(" ".join(text.split()), quote=False)
