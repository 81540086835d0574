"""Pages of links, newest first, and the last run of one direction, each from an index."""

from alembic import op

revision = "0010"
down_revision: str | None = "0009"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make both indexes."""
    op.create_index(
        "ix_links_created", "links", ["integration", "created_at", "record_id", "incident_id"]
    )
    op.create_index("ix_runs_direction", "runs", ["integration", "direction", "started_at"])
