"""What the task of the DAG `replay` does; its operator is in upkeep.py."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from pd_sf_rules.errors import SettingsError, SyncError
from pd_sf_rules.hooks.runs import run_of_task
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.model import Action, Window
from pd_sf_rules.operators.upkeep import ReplayOperator
from pd_sf_rules.operators.windows import given_window_of, is_dry_run
from pd_sf_rules.pipeline import replay
from pd_sf_rules.pipeline.identifiers import find_record
from pd_sf_rules.pipeline.preview import preview
from pd_sf_rules.pipeline.run import Run

LISTED = 200


def try_again(task: ReplayOperator, context: Context) -> dict[str, Any]:
    """Replay; raises SettingsError when the form names nothing, or several things."""
    params: Any = context["params"]
    named = [name for name in ("failed", "record", "action", "since") if params.get(name)]
    if len(named) != 1:
        raise SettingsError(
            f"The form names {' and '.join(named) or 'nothing'} to replay.",
            hint="Give exactly one of failed, record, action, or since (with until).",
        )
    with run_of_task(task.integration, context) as run:
        if named == ["since"]:
            return _window(run, context)
        wanted = _wanted(run, named[0], params[named[0]])
        if is_dry_run(context):
            return {"dry_run": True, "count": len(wanted), "actions": _listed(wanted)}
        return _done(context, replay.replay_actions(run, wanted) if wanted else [])


def _window(run: Run, context: Context) -> dict[str, Any]:
    params: Any = context["params"]
    window = given_window_of(context)
    if window is None:
        raise SettingsError("The form names no window.")
    replay.check_kept(run.ledger, run.name, window.start)
    if params.get("reevaluate"):
        return _judged_again(run, context, window)
    wanted = params.get("direction") or "both"
    directions = tuple(one for one in replay.DIRECTIONS if wanted in {one, "both"})
    if is_dry_run(context):
        told = [preview(run, one, given=window) for one in directions if one != "notes"]
        return {"dry_run": True, "runs": told}
    done = [replay.replay_window(run, one, window) for one in directions]
    return _done(context, [told for told, _ in done], [e for _, e in done if e])


def _judged_again(run: Run, context: Context, window: Window) -> dict[str, Any]:
    """Judge what was recorded in a window by the rules in force now, and do what was never planned."""
    found = replay.judge_again(run, since=window.start, until=window.end)
    planned = [action for one in found for action in one.actions]
    if is_dry_run(context):
        return {"dry_run": True, "count": len(planned), "actions": _listed(planned)}
    return _done(context, replay.plan_again(run, found) if found else [])


def _done(
    context: Context,
    runs: Sequence[dict[str, Any]],
    errors: Sequence[SyncError] = (),
) -> dict[str, Any]:
    """Tell what was done; raises AirflowFailException, after that, when not all of it went well."""
    told = {"dry_run": False, "runs": list(runs)}
    failed = sum(one["counts"]["failed"] for one in runs)
    if not failed and not errors:
        return told
    context["ti"].xcom_push(key="return_value", value=told)
    sentences = [str(error) for error in errors]
    if failed:
        sentences.append(f"{failed} action(s) failed again: `pdsf errors` tells why.")
    raise AirflowFailException(" ".join(sentences))


def _wanted(run: Run, named: str, value: Any) -> list[StoredAction]:
    if named == "failed":
        return replay.failed_actions(run.ledger, run.name)
    if named == "action":
        return replay.actions_to_replay(run.ledger, str(value).replace(",", " ").split())
    with run.ledger.read() as c:
        record_id = find_record(c, str(value))
    return replay.actions_of_record(run.ledger, run.name, record_id)


def _listed(wanted: Sequence[Action]) -> list[dict[str, Any]]:
    return [
        {
            "id": one.id,
            "ruleset": one.ruleset,
            "rule": one.rule,
            "action": one.kind,
            "record": one.record_id,
            "incident": one.incident_id,
            "state": getattr(one, "state", "new"),
            "said": getattr(one, "message", ""),
        }
        for one in wanted[:LISTED]
    ]
