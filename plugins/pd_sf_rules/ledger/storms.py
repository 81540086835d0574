"""Actions that a breaker holds: how many went out lately, what waits, and what a person decided."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select, update

from pd_sf_rules.ledger.actions import StoredAction, open_actions
from pd_sf_rules.ledger.inserts import chunks
from pd_sf_rules.ledger.tables import actions
from pd_sf_rules.planning.breaker import APPROVED, Held, Lately
from pd_sf_rules.planning.kinds import CREATE_INCIDENT, NOTE_COPIES

HELD = "held"
"""The error kind of a failed action that waits for a person's decision about a storm."""


def went_out_lately(
    c: Connection, integration: str, *, rule_since: datetime, since: datetime, pair_since: datetime
) -> Lately:
    """Count the incidents created since two instants (by rule, and all), and the actions applied by pair."""
    applied = (actions.c.integration == integration, actions.c.state == "applied")
    created = (*applied, actions.c.kind == CREATE_INCIDENT)
    by_rule = c.execute(
        select(actions.c.ruleset, actions.c.rule, func.count())
        .where(*created, actions.c.updated_at >= rule_since)
        .group_by(actions.c.ruleset, actions.c.rule)
    )
    total = c.scalar(
        select(func.count()).select_from(actions).where(*created, actions.c.updated_at >= since)
    )
    pair = func.coalesce(actions.c.record_id, actions.c.incident_id)
    by_pair = c.execute(
        select(pair, func.count())
        .where(*applied, actions.c.updated_at >= pair_since, actions.c.kind.not_in(NOTE_COPIES))
        .group_by(pair)
    )
    return Lately(
        {(row[0], row[1]): row[2] for row in by_rule},
        total or 0,
        {row[0]: row[1] for row in by_pair},
    )


def hold(c: Connection, held: Iterable[Held], *, run_id: str) -> set[str]:
    """Hold pending actions back; the ids that were pending come back."""
    taken: set[str] = set()
    by_reason: dict[tuple[str, str], list[str]] = {}
    for one in held:
        by_reason.setdefault((one.storm, one.why), []).append(one.action_id)
    for (storm, why), ids in by_reason.items():
        for chunk in chunks(ids):
            statement = (
                update(actions)
                .where(actions.c.id.in_(chunk), actions.c.state == "pending")
                .values(
                    state="failed",
                    error_kind=HELD,
                    message=why,
                    answer={"storm": storm},
                    run_id=run_id,
                    updated_at=datetime.now(UTC),
                )
            )
            taken |= set(c.scalars(statement.returning(actions.c.id)))
    return taken


def held_actions(c: Connection, integration: str, storm: str | None = None) -> list[StoredAction]:
    """Return what is held, oldest event first; of one storm only, if it is named."""
    return [
        one
        for one in open_actions(c, integration, state="failed", error_kind=HELD)
        if storm in {None, storm_of(one)}
    ]


def storm_of(action: StoredAction) -> str:
    """Return the name of the storm that holds an action."""
    return str(action.answer.get("storm", "")) if isinstance(action.answer, dict) else ""


def approve(c: Connection, ids: Sequence[str]) -> set[str]:
    """Let held actions go out, whatever the breakers say."""
    return _decide(c, ids, state="pending", error_kind=APPROVED, message="")


def discard(c: Connection, ids: Sequence[str], *, reason: str) -> set[str]:
    """Give failed or held actions up for good; the reason is kept with each."""
    return _decide(c, ids, state="skipped", error_kind="", message=reason)


def _decide(
    c: Connection, ids: Sequence[str], *, state: str, error_kind: str, message: str
) -> set[str]:
    decided: set[str] = set()
    for chunk in chunks(ids):
        statement = (
            update(actions)
            .where(actions.c.id.in_(chunk), actions.c.state == "failed")
            .values(
                state=state,
                error_kind=error_kind,
                message=message,
                attempt=0,
                retry_at=None,
                updated_at=datetime.now(UTC),
            )
        )
        decided |= set(c.scalars(statement.returning(actions.c.id)))
    return decided
