"""Pull, evaluate, apply, tell: the four tasks of every sync DAG. What they do is in syncing.py."""

from typing import TYPE_CHECKING, Any

from pd_sf_rules.operators.links import ExplainLink, IncidentLink, RecordLink
from pd_sf_rules.operators.step import Step

if TYPE_CHECKING:
    from pd_sf_rules.pipeline.run import Direction


class _Step(Step):
    """A task of one direction of one integration."""

    def __init__(self, *, direction: "Direction", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.direction: Direction = direction


class PullChangesOperator(_Step):
    """Read what changed since the cursor, or in the window of a backfill or of the form, into the inbox.

    Returns the windows read, one object a stream; a dry run reads nothing yet.
    """

    ui_color = "#e8f0fe"


class EvaluateRulesetsOperator(_Step):
    """Judge every pending event by the rulesets in force, and write the plan into the outbox.

    Returns counts. A dry run reads and judges without recording anything, and returns the plan instead.
    """

    ui_color = "#e6f4ea"
    operator_extra_links = (ExplainLink(),)


class ApplyActionsOperator(_Step):
    """Carry out the open actions of this direction; what fails for the moment is tried again while patience lasts.

    Returns counts. A dry run applies nothing. For each storm that a breaker holds there is one run of the DAG
    `held_storms`, which asks a person: where a run that died did not start it, this one does. Then it goes on.
    """

    ui_color = "#fef7e0"
    operator_extra_links = (IncidentLink(), RecordLink(), ExplainLink())

    def __init__(self, *, patience_seconds: float = 20.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patience_seconds = patience_seconds


class RecordLineageOperator(_Step):
    """Tell what the run read, decided and did, keep it, and then move the cursor.

    Returns the lineage object. Fails, after all that, when an action failed for good or a step before it failed.
    """

    ui_color = "#f3e8fd"

    def __init__(
        self, *, pull_task: str, apply_task: str, evaluate_task: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.pull_task = pull_task
        self.apply_task = apply_task
        self.evaluate_task = evaluate_task
