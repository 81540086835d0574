"""What a breaker holds is found by its storm, and what may go next without reading what is held or failed."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None

PLACE = ["event_occurred_at", "event_seq", "ordinal", "id"]
INDEXES: tuple[tuple[str, list[str], str], ...] = (
    ("ix_actions_waiting", ["integration", *PLACE], "mode = 'live' AND state = 'pending'"),
    ("ix_actions_claimed", ["integration", "id"], "mode = 'live' AND state = 'claimed'"),
    ("ix_actions_failed", ["integration", "error_kind", "storm", *PLACE],
     "mode = 'live' AND state = 'failed'"),
    ("ix_actions_created", ["integration", "updated_at"],
     "kind = 'create_incident' AND state = 'applied'"),
)  # fmt: skip


def upgrade() -> None:
    """Make the table of storms and the column that names one; fill both from what is held now."""
    at = sa.DateTime(timezone=True)
    storms = op.create_table(
        "storms",
        sa.Column("integration", sa.Text, nullable=False),
        sa.Column("storm", sa.Text, nullable=False),
        sa.Column("occurrence", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("held_at", at, nullable=False),
        sa.Column("told_at", at),
        sa.Column("decided_at", at),
        sa.Column("summary", sa.Text),
        sa.PrimaryKeyConstraint("integration", "storm", name="pk_storms"),
    )
    op.add_column("actions", sa.Column("storm", sa.Text))
    _fill(op.get_bind(), storms)
    for name, columns, where in INDEXES:
        partial = sa.text(where)
        op.create_index(name, "actions", columns, sqlite_where=partial, postgresql_where=partial)


def _fill(connection: sa.Connection, storms: sa.Table) -> None:
    actions = sa.table(
        "actions",
        *map(sa.column, ("id", "integration", "state", "error_kind", "message", "storm")),
        sa.column("answer", sa.Text),
        sa.column("updated_at", sa.DateTime(timezone=True)),
    )
    held = sa.and_(actions.c.state == "failed", actions.c.error_kind == "held")
    rows = connection.execute(
        sa.select(actions.c.id, actions.c.integration, sa.cast(actions.c.answer, sa.Text),
                  actions.c.message, actions.c.updated_at)
        .where(held).order_by(actions.c.updated_at, actions.c.id)
    ).all()  # fmt: skip
    known: set[tuple[str, str]] = set()
    for action_id, integration, answer, why, at in rows:
        told = json.loads(answer or "{}")
        storm = str(told.get("storm", "")) if isinstance(told, dict) else ""
        connection.execute(
            sa.update(actions).where(actions.c.id == action_id).values(storm=storm, answer=None)
        )
        if (integration, storm) not in known:
            known.add((integration, storm))
            occurrence = hashlib.sha256(f"{integration} {storm} {action_id}".encode()).hexdigest()
            row = {"integration": integration, "storm": storm, "occurrence": occurrence[:16]}
            connection.execute(sa.insert(storms).values(**row, why=why, held_at=at, told_at=at))
