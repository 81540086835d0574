"""A dry run: read and judge as a live run would, and stop after the plan. Nothing is written anywhere."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pd_sf_rules.errors import SettingsError
from pd_sf_rules.lineage import lineage
from pd_sf_rules.model import Action, Window
from pd_sf_rules.pipeline.evaluate import judge
from pd_sf_rules.pipeline.pull_pagerduty import preview_pagerduty
from pd_sf_rules.pipeline.pull_salesforce import preview_salesforce
from pd_sf_rules.pipeline.rulebook import load_rulebook
from pd_sf_rules.pipeline.run import Direction, Run

PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class _Planned:
    """An action that a live run would put into the outbox."""

    action: Action
    state: str = PLANNED
    target: str | None = None
    attempt: int = 0
    error_kind: str = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.action, name)


def preview(
    run: Run, direction: Direction, *, given: Window | None = None, objects: Collection[str] = ()
) -> dict[str, Any]:
    """Return the lineage that a run would have now, with the outcome `planned` for every action.

    Raises SettingsError for the notes, which have no rules to try.
    """
    if direction == "notes":
        raise SettingsError("There is no dry run of note_sync: it copies by policy, not by rules.")
    rulebook = load_rulebook(run, record=False)
    if direction == "salesforce":
        pulled, pending = preview_salesforce(run, rulebook, given=given, objects=objects)
    else:
        pulled, pending = preview_pagerduty(run, given=given)
    judged = judge(run, rulebook, pending)
    planned = [_Planned(action) for one in judged for action in one.actions]
    windows = [one.window for one in pulled]
    return lineage(
        run_id=run.id,
        integration=run.name,
        direction=direction,
        window=(min(w.start for w in windows), max(w.end for w in windows)) if windows else None,
        counts={
            "pulled": len(pending),
            "evaluated": len(judged),
            "matched": sum(bool(one.said.matches) for one in judged),
            "applied": 0,
            "skipped": 0,
            "failed": 0,
        },
        actions=planned,
        dry_run=True,
    )
