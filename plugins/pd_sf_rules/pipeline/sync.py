"""One whole pass over one direction: what the operators do in five tasks, in one call."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from pd_sf_rules.errors import RefusedError, SyncError
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Window
from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.pipeline.commit import commit
from pd_sf_rules.pipeline.evaluate import evaluate
from pd_sf_rules.pipeline.pull_notes import pull_notes
from pd_sf_rules.pipeline.pull_pagerduty import pull_pagerduty
from pd_sf_rules.pipeline.pull_salesforce import pull_salesforce
from pd_sf_rules.pipeline.pulled import Pulled
from pd_sf_rules.pipeline.record import record_lineage
from pd_sf_rules.pipeline.rulebook import load_rulebook
from pd_sf_rules.pipeline.run import Direction, Run, utc_now

T = TypeVar("T")

PATIENCE_SECONDS = 10.0
"""How long a pass waits for the next try of what failed for the moment."""


def sync(
    run: Run, direction: Direction, *, patience: float = PATIENCE_SECONDS
) -> tuple[dict[str, Any], SyncError | None]:
    """Pull, evaluate, apply, tell, commit; return the lineage, and what stopped the pull or the evaluation.

    `patience` is how many seconds it waits for next tries. An error on the way stops neither what was recorded
    before nor what is due in the outbox; the cursor then stays where it was.
    """
    started_at = utc_now()
    pulled, pull_error = _kept(lambda: pull(run, direction), list[Pulled]())
    counts, judge_error = _kept(lambda: judge_pending(run, direction), dict[str, int]())
    apply(run, direction, eager=True, patience=patience)
    told = record_lineage(run, direction, pulled, counts, started_at=started_at)
    error = pull_error or judge_error
    if error is None:
        commit(run, pulled)
    run.keep_usage()
    return told, error


def _kept(step: Callable[[], T], nothing: T) -> tuple[T, SyncError | None]:
    try:
        return step(), None
    except SyncError as error:
        return nothing, error


def pull(
    run: Run,
    direction: Direction,
    *,
    given: Window | None = None,
    objects: Collection[str] = (),
) -> list[Pulled]:
    """Read what changed on the side that `direction` starts from; see the pull modules for what they raise."""
    if direction == "notes":
        return pull_notes(run, given=given)
    if direction == "pagerduty":
        return pull_pagerduty(run, given=given)
    try:
        pulled = pull_salesforce(run, load_rulebook(run), given=given, objects=objects)
    except RefusedError as error:
        if error.code != "INVALID_FIELD":
            raise
        fresh = load_rulebook(run, refresh_fields=True)
        pulled = pull_salesforce(run, fresh, given=given, objects=objects)
    if any(one.new for one in pulled):
        run.keep_address()
    return pulled


def judge_pending(run: Run, direction: Direction) -> dict[str, int]:
    """Evaluate the pending events of one direction; notes are planned when they are pulled."""
    if direction == "notes":
        return {}
    source = SALESFORCE if direction == "salesforce" else PAGERDUTY
    return evaluate(run, load_rulebook(run), source)
