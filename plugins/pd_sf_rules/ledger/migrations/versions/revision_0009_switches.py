"""A person can switch a ruleset on or off beside its file; how often a rule matched is counted from an index."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the table, one row for each turn of a switch, and the index: each match has one first action."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "ruleset_switches",
        sa.Column("seq", number, primary_key=True, autoincrement=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean),
        sa.Column("turned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("turned_by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_ruleset_switches"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ruleset_switches_path_seq", "ruleset_switches", ["path", "seq"])
    first = sa.text("position = 0")
    op.create_index(
        "ix_actions_first",
        "actions",
        ["ruleset", "rule", "created_at"],
        sqlite_where=first,
        postgresql_where=first,
    )
