"""Every attempt at an action with the answer it got, so that a story can be told months later."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table; it forgets with its actions."""
    op.create_table(
        "attempts",
        sa.Column("seq", BIG, autoincrement=True, nullable=False),
        sa.Column("action_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("error_kind", sa.Text, nullable=False),
        sa.Column("target", sa.Text),
        sa.Column("request", sa.JSON),
        sa.Column("answer", sa.JSON),
        sa.Column("run_id", sa.Text),
        sa.Column("sent_at", TIME),
        sa.Column("ended_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_attempts"),
        sa.ForeignKeyConstraint(
            ["action_id"], ["actions.id"], name="fk_attempts_action_id", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_attempts_action_id", "attempts", ["action_id", "seq"])
