"""Links and snapshots are found by a record's or incident's id alone, whatever its integration."""

from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Put the id first in the indexes of links, and index the ids of snapshots."""
    for side in ("record", "incident"):
        op.drop_index(f"ix_links_{side}", "links")
        op.create_index(f"ix_links_{side}", "links", [f"{side}_id", "integration"])
    op.create_index("ix_snapshots_target", "snapshots", ["target_id", "system"])
