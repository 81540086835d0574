"""A person can pause an integration or one ruleset: its actions queue until they are let go on."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the table; an empty ruleset means all of the integration."""
    op.create_table(
        "pauses",
        sa.Column("integration", sa.Text, nullable=False),
        sa.Column("ruleset", sa.Text, nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paused_by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("integration", "ruleset", name="pk_pauses"),
    )
