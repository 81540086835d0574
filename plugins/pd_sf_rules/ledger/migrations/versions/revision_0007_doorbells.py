"""Webhooks that arrived: one row each, so that a waiting trigger in another process looks at once."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the table; an event id that is there already is a webhook that came twice."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "doorbells",
        sa.Column("seq", number, primary_key=True, autoincrement=True),
        sa.Column("integration", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("event_type", sa.Text, nullable=False),
        sa.Column("incident_id", sa.Text),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_doorbells"),
        sa.UniqueConstraint("integration", "event_id", name="uq_doorbells_integration_event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_doorbells_integration_seq", "doorbells", ["integration", "seq"])
