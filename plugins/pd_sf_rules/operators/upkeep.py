"""What looks after the sync: reconciliation, health, the ledger's retention, and trying things again."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from pd_sf_rules.errors import SettingsError, SyncError
from pd_sf_rules.hooks.runs import ledger_of_process
from pd_sf_rules.hooks.stored import stored_connection
from pd_sf_rules.ledger import maintenance
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.model import Action, Window
from pd_sf_rules.operators.silence import dead_components, silent_dags
from pd_sf_rules.operators.step import Step
from pd_sf_rules.operators.windows import given_window_of, is_dry_run
from pd_sf_rules.pipeline import replay
from pd_sf_rules.pipeline.health import health
from pd_sf_rules.pipeline.identifiers import find_record
from pd_sf_rules.pipeline.preview import preview
from pd_sf_rules.pipeline.reconcile import MAX_CALLS, reconcile
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.settings import load_integration

LISTED = 200


class ReconcileOperator(Step):
    """Compare all linked pairs; the form says whether to repair, and how many API calls it may take.

    Returns the report of pipeline/reconcile.py.
    """

    ui_color = "#e0f2f1"

    def step(self, context: Context) -> dict[str, Any]:
        """Reconcile; raises the errors of the systems."""
        params: Any = context["params"]
        with self.open_run(context) as run:
            report = reconcile(
                run,
                repair=bool(params.get("repair")),
                max_calls=int(params.get("max_calls") or MAX_CALLS),
            )
        for one in report["findings"]:
            self.log.warning("%s", one)
        return report


class HealthOperator(Step):
    """Look whether the sync and Airflow are well. Returns the figures; fails with a sentence for each finding."""

    ui_color = "#e8eaf6"

    def step(self, context: Context) -> dict[str, Any]:
        """Examine; raises AirflowFailException when something is broken."""
        integration = load_integration(self.integration)
        found = health(ledger_of_process(), integration, stored_connection)
        findings = [*dead_components(), *silent_dags(context, integration), *found.findings]
        told = {**asdict(found), "findings": findings}
        if not findings:
            return told
        context["ti"].xcom_push(key="return_value", value=told)
        for said in findings:
            self.log.error("%s", said)
        raise AirflowFailException(" ".join(findings))


class MaintainLedgerOperator(Step):
    """Check the ledger for damage, and forget what is older than the integration keeps. Returns its statistics."""

    ui_color = "#efebe9"

    def step(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - the same shape for every step
        """Maintain; raises AirflowFailException when the database is damaged, before anything is forgotten."""
        ledger = ledger_of_process()
        broken = maintenance.damage(ledger)
        if broken:
            raise AirflowFailException(
                f"The ledger {ledger.name} is damaged: {broken[0]}. Restore a backup, or move it away, sync, and "
                "rebuild the links with `pdsf links`."
            )
        days = load_integration(self.integration).log.retention_days
        before = utc_now() - timedelta(days=days)
        forgotten = maintenance.prune(ledger, before=before, integration=self.integration)
        return {"forgotten": forgotten, **maintenance.stats(ledger)}


class ReplayOperator(Step):
    """Try again what the form names: failed actions, one record's, one action, or a window. First a dry run.

    With `reevaluate` a window is not read again: what was recorded in it is judged by the rules in force now.
    Returns the plan (dry run), or the lineages. Fails when an action failed again or a side could not be read.
    """

    ui_color = "#fff3e0"

    def step(self, context: Context) -> dict[str, Any]:
        """Replay; raises SettingsError when the form names nothing, or several things."""
        params: Any = context["params"]
        named = [name for name in ("failed", "record", "action", "since") if params.get(name)]
        if len(named) != 1:
            raise SettingsError(
                f"The form names {' and '.join(named) or 'nothing'} to replay.",
                hint="Give exactly one of failed, record, action, or since (with until).",
            )
        with self.open_run(context) as run:
            if named == ["since"]:
                return self._window(run, context)
            wanted = _wanted(run, named[0], params[named[0]])
            if is_dry_run(context):
                return {"dry_run": True, "count": len(wanted), "actions": _listed(wanted)}
            return self._done(context, replay.replay_actions(run, wanted) if wanted else [])

    def _window(self, run: Run, context: Context) -> dict[str, Any]:
        params: Any = context["params"]
        window = given_window_of(context)
        if window is None:
            raise SettingsError("The form names no window.")
        replay.check_kept(run.ledger, run.name, window.start)
        if params.get("reevaluate"):
            return self._judged_again(run, context, window)
        wanted = params.get("direction") or "both"
        directions = tuple(one for one in replay.DIRECTIONS if wanted in {one, "both"})
        if is_dry_run(context):
            told = [preview(run, one, given=window) for one in directions if one != "notes"]
            return {"dry_run": True, "runs": told}
        done = [replay.replay_window(run, one, window) for one in directions]
        return self._done(context, [told for told, _ in done], [e for _, e in done if e])

    def _judged_again(self, run: Run, context: Context, window: Window) -> dict[str, Any]:
        """Judge what was recorded in a window by the rules in force now, and do what was never planned."""
        found = replay.judge_again(run, since=window.start, until=window.end)
        planned = [action for one in found for action in one.actions]
        if is_dry_run(context):
            return {"dry_run": True, "count": len(planned), "actions": _listed(planned)}
        return self._done(context, replay.plan_again(run, found) if found else [])

    def _done(
        self,
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
