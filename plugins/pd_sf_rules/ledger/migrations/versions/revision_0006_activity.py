"""The log of what was done can be paged, newest first, by integration, rule and outcome, however long it is."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None

BATCH = 1000
INDEXES: tuple[tuple[str, str, list[str], str | None], ...] = (
    ("ix_events_heard", "events", ["integration", "received_at", "seq"],
     "state IN ('pending', 'evaluated')"),
    ("ix_events_quiet", "events", ["integration", "received_at", "seq"],
     "state NOT IN ('pending', 'evaluated')"),
    ("ix_events_matched", "events", ["integration", "evaluated_at", "seq"], "matched <> ''"),
    ("ix_events_unmatched", "events", ["integration", "evaluated_at", "seq"], "matched = ''"),
    ("ix_events_run", "events", ["run_id", "seq"], None),
    ("ix_actions_planned", "actions", ["integration", "state", "created_at", "id"], None),
    ("ix_actions_rule", "actions", ["ruleset", "rule", "created_at", "id"], None),
    ("ix_attempts_ended", "attempts", ["integration", "state", "ended_at", "seq"], None),
    ("ix_attempts_rule", "attempts", ["ruleset", "rule", "ended_at", "seq"], None),
)  # fmt: skip


def upgrade() -> None:
    """Tell which rules matched without reading every verdict, and whose an attempt was; index both."""
    op.add_column("events", sa.Column("matched", sa.Text))
    for name in ("integration", "ruleset", "rule"):
        op.add_column("attempts", sa.Column(name, sa.Text, nullable=False, server_default=""))
    connection = op.get_bind()
    _fill_matched(connection)
    connection.execute(
        sa.text(
            "UPDATE attempts SET integration = a.integration, ruleset = a.ruleset, rule = a.rule"
            " FROM actions a WHERE a.id = attempts.action_id"
        )
    )
    for name, table, columns, where in INDEXES:
        partial = sa.text(where) if where else None
        op.create_index(name, table, columns, sqlite_where=partial, postgresql_where=partial)


def _fill_matched(connection: sa.Connection) -> None:
    events = sa.table("events", *map(sa.column, ("seq", "state", "verdicts", "matched")))
    events.c.verdicts.type = sa.Text()
    connection.execute(sa.update(events).where(events.c.state == "evaluated").values(matched=""))
    said = sa.cast(events.c.verdicts, sa.Text)
    last = 0
    while True:
        rows = connection.execute(
            sa.select(events.c.seq, said)
            .where(events.c.seq > last, said.like('%"matched": true%'))
            .order_by(events.c.seq)
            .limit(BATCH)
        ).all()
        for seq, text in rows:
            connection.execute(
                sa.update(events).where(events.c.seq == seq).values(matched=_names(text))
            )
        if len(rows) < BATCH:
            return
        last = rows[-1][0]


def _names(text: str) -> str:
    verdicts: list[dict[str, Any]] = json.loads(text)
    names = [f"{one['ruleset']} / {one['rule']}" for one in verdicts if one["matched"]]
    return "\n".join(dict.fromkeys(names)).replace("\x00", "\ufffd")
