"""Which claim a request went out in: only its own answer ends the doubt about it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Requests that are out during the upgrade count as sent in an earlier claim: they stay in doubt."""
    op.add_column(
        "actions",
        sa.Column("sent_in_claim", sa.Boolean, nullable=False, server_default=sa.false()),
    )
