"""The first tables: inbox, outbox, links, snapshots, expectations, notes, cursors, ruleset versions, runs."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON()


def upgrade() -> None:
    """Make every table with its indexes."""
    _events()
    _horizons()
    _actions()
    _pairs()
    _expectations()
    _notes()
    _cursors()
    _records_of_work()


def _text(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _maybe(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text) for name in names]


def _partial(
    name: str, table: str, columns: list[str], where: str, *, unique: bool = False
) -> None:
    predicate = sa.text(where)
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        sqlite_where=predicate,
        postgresql_where=predicate,
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        *_text("id", "integration", "source", "type"),
        *_maybe("object", "record_id", "incident_id"),
        sa.Column("occurred_at", TIME, nullable=False),
        *_text("agent"),
        sa.Column("payload", JSON, nullable=False),
        *_text("state"),
        *_maybe("echo_of"),
        sa.Column("verdicts", JSON),
        *_maybe("run_id"),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("evaluated_at", TIME),
        sa.UniqueConstraint("id", name="uq_events_id"),
        sqlite_autoincrement=True,
    )
    _partial(
        "ix_events_pending",
        "events",
        ["integration", "source", "occurred_at", "seq"],
        "state = 'pending'",
    )
    op.create_index("ix_events_occurred", "events", ["occurred_at", "seq"])
    op.create_index("ix_events_integration", "events", ["integration", "occurred_at", "seq"])
    op.create_index(
        "ix_events_record", "events", ["record_id", "integration", "occurred_at", "seq"]
    )
    op.create_index(
        "ix_events_incident", "events", ["incident_id", "integration", "occurred_at", "seq"]
    )


def _horizons() -> None:
    op.create_table(
        "horizons",
        *_text("integration", "source", "object"),
        sa.Column("forgotten_until", TIME, nullable=False),
        sa.PrimaryKeyConstraint("integration", "source", "object", name="pk_horizons"),
    )


def _actions() -> None:
    op.create_table(
        "actions",
        *_text("id", "event_id"),
        sa.Column("event_occurred_at", TIME, nullable=False),
        sa.Column("event_seq", BIG, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        *_text("integration", "ruleset", "ruleset_version", "rule"),
        sa.Column("position", sa.Integer, nullable=False),
        *_text("kind"),
        sa.Column("params", JSON, nullable=False),
        *_text("mode"),
        *_maybe("object", "record_id", "incident_id"),
        *_text("scope", "state"),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("retry_at", TIME),
        *_maybe("claimed_by"),
        sa.Column("lease_until", TIME),
        sa.Column("sent_at", TIME),
        sa.Column("request", JSON),
        *_maybe("target"),
        sa.Column("answer", JSON),
        *_text("message", "error_kind"),
        *_maybe("run_id"),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_actions"),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name="fk_actions_event_id"),
    )
    _partial(
        "ix_actions_open",
        "actions",
        ["integration", "event_occurred_at", "event_seq", "ordinal"],
        "mode = 'live' AND state IN ('pending', 'claimed', 'failed')",
    )
    op.create_index("ix_actions_event", "actions", ["event_id", "ordinal"])
    op.create_index("ix_actions_state", "actions", ["state", "updated_at"])
    op.create_index("ix_actions_updated", "actions", ["updated_at"])
    op.create_index("ix_actions_record", "actions", ["record_id", "updated_at"])
    op.create_index("ix_actions_incident", "actions", ["incident_id", "updated_at"])
    op.create_index("ix_actions_run", "actions", ["run_id"])


def _pairs() -> None:
    op.create_table(
        "links",
        *_text("integration", "object", "record_id", "incident_id", "ruleset"),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("removed_at", TIME),
        sa.PrimaryKeyConstraint(
            "integration", "object", "record_id", "incident_id", name="pk_links"
        ),
    )
    op.create_index("ix_links_record", "links", ["integration", "record_id"])
    op.create_index("ix_links_incident", "links", ["integration", "incident_id"])
    op.create_table(
        "snapshots",
        *_text("integration", "system", "object", "target_id"),
        sa.Column("field_values", JSON, nullable=False),
        sa.Column("stamp", TIME),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("touched_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint(
            "integration", "system", "object", "target_id", name="pk_snapshots"
        ),
    )


def _expectations() -> None:
    op.create_table(
        "expectations",
        sa.Column("id", BIG, primary_key=True, autoincrement=True),
        *_text("integration", "system", "target_id", "effect", "value", "action_id"),
        sa.Column("expected_at", TIME, nullable=False),
        *_maybe("consumed_by"),
        sqlite_autoincrement=True,
    )
    _partial(
        "ix_expectations_open",
        "expectations",
        ["integration", "system", "target_id"],
        "consumed_by IS NULL",
    )
    _partial(
        "uq_expectations_open",
        "expectations",
        ["action_id", "system", "target_id", "effect"],
        "consumed_by IS NULL",
        unique=True,
    )
    op.create_index("ix_expectations_expected", "expectations", ["expected_at"])


def _notes() -> None:
    op.create_table(
        "notes",
        *_text("integration", "system", "note_id"),
        *_maybe("record_id", "incident_id"),
        *_text("digest"),
        *_maybe("action_id"),
        sa.Column("seen_at", TIME, nullable=False),
        *_text("origin"),
        sa.PrimaryKeyConstraint("integration", "system", "note_id", name="pk_notes"),
    )
    op.create_index("ix_notes_record", "notes", ["integration", "system", "record_id"])
    op.create_index("ix_notes_incident", "notes", ["integration", "system", "incident_id"])


def _cursors() -> None:
    op.create_table(
        "cursors",
        *_text("integration", "stream"),
        sa.Column("position", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("moved_at", TIME, nullable=False),
        sa.Column("extra", JSON, nullable=False),
        sa.PrimaryKeyConstraint("integration", "stream", name="pk_cursors"),
    )


def _records_of_work() -> None:
    op.create_table(
        "ruleset_versions",
        *_text("path", "version", "name", "text"),
        sa.Column("first_seen", TIME, nullable=False),
        sa.Column("last_seen", TIME, nullable=False),
        sa.PrimaryKeyConstraint("path", "version", name="pk_ruleset_versions"),
    )
    op.create_index("ix_ruleset_versions_version", "ruleset_versions", ["version"])
    op.create_table(
        "runs",
        *_text("run_id", "integration", "direction"),
        sa.Column("window_start", TIME),
        sa.Column("window_end", TIME),
        sa.Column("lineage", JSON, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.PrimaryKeyConstraint("run_id", "integration", "direction", name="pk_runs"),
    )
    op.create_index("ix_runs_started", "runs", ["started_at"])
