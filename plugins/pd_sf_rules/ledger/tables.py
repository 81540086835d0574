"""The tables of the ledger as the newest migration leaves them. A test compares the two."""

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    literal_column,
    text,
)

from pd_sf_rules.ledger.columns import BigInt, FreeText, UtcDateTime, json_column_type

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

PENDING_EVENTS = text("state = 'pending'")
OPEN_ACTIONS = text("mode = 'live' AND state IN ('pending', 'claimed', 'failed')")
# The same for queries, literals and all: SQLite takes a partial index only for the index's own words.
IS_PENDING: ColumnElement[bool] = literal_column("events.state = 'pending'")
IS_OPEN: ColumnElement[bool] = literal_column(
    "(actions.mode = 'live' AND actions.state IN ('pending', 'claimed', 'failed'))"
)
IS_HEARD: ColumnElement[bool] = literal_column("events.state IN ('pending', 'evaluated')")
IS_QUIET: ColumnElement[bool] = literal_column("events.state NOT IN ('pending', 'evaluated')")
IS_MATCHED: ColumnElement[bool] = literal_column("events.matched <> ''")
IS_UNMATCHED: ColumnElement[bool] = literal_column("events.matched = ''")
IS_WAITING: ColumnElement[bool] = literal_column(
    "(actions.mode = 'live' AND actions.state = 'pending')"
)
IS_CLAIMED: ColumnElement[bool] = literal_column(
    "(actions.mode = 'live' AND actions.state = 'claimed')"
)
HAS_FAILED: ColumnElement[bool] = literal_column(
    "(actions.mode = 'live' AND actions.state = 'failed')"
)
HAS_CREATED: ColumnElement[bool] = literal_column(
    "(actions.kind = 'create_incident' AND actions.state = 'applied')"
)
OPEN_EXPECTATIONS = text("consumed_by IS NULL")
IS_FIRST: ColumnElement[bool] = literal_column("actions.position = 0")


def _partial(name: str, *columns: str, where: object, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _of_events(name: str, at: str, where: str) -> Index:
    return _partial(f"ix_events_{name}", "integration", at, "seq", where=text(where))


def _of_actions(name: str, *columns: str, where: str) -> Index:
    return _partial(f"ix_actions_{name}", "integration", *columns, where=text(where))


PLACE = ("event_occurred_at", "event_seq", "ordinal")

events = Table(
    "events",
    metadata,
    Column("seq", BigInt, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("integration", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("object", Text),
    Column("record_id", Text),
    Column("incident_id", Text),
    Column("occurred_at", UtcDateTime, nullable=False),
    Column("agent", FreeText, nullable=False),
    Column("payload", json_column_type(), nullable=False),
    Column("state", Text, nullable=False),
    Column("echo_of", Text),
    Column("verdicts", json_column_type()),
    Column("run_id", Text),
    Column("received_at", UtcDateTime, nullable=False),
    Column("evaluated_at", UtcDateTime),
    Column("matched", FreeText),
    UniqueConstraint("id"),
    _partial(
        "ix_events_pending", "integration", "source", "occurred_at", "seq", where=PENDING_EVENTS
    ),
    Index("ix_events_occurred", "occurred_at", "seq"),
    Index("ix_events_integration", "integration", "occurred_at", "seq"),
    Index("ix_events_record", "record_id", "integration", "occurred_at", "seq"),
    Index("ix_events_incident", "incident_id", "integration", "occurred_at", "seq"),
    Index("ix_events_run", "run_id", "seq"),
    _of_events("heard", "received_at", "state IN ('pending', 'evaluated')"),
    _of_events("quiet", "received_at", "state NOT IN ('pending', 'evaluated')"),
    _of_events("matched", "evaluated_at", "matched <> ''"),
    _of_events("unmatched", "evaluated_at", "matched = ''"),
    sqlite_autoincrement=True,
)

horizons = Table(
    "horizons",
    metadata,
    Column("integration", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("forgotten_until", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("integration", "source", "object"),
)

actions = Table(
    "actions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("event_id", Text, ForeignKey("events.id"), nullable=False),
    Column("event_occurred_at", UtcDateTime, nullable=False),
    Column("event_seq", BigInt, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("integration", Text, nullable=False),
    Column("ruleset", FreeText, nullable=False),
    Column("ruleset_version", Text, nullable=False),
    Column("rule", FreeText, nullable=False),
    Column("position", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("params", json_column_type(), nullable=False),
    Column("mode", Text, nullable=False),
    Column("object", Text),
    Column("record_id", Text),
    Column("incident_id", Text),
    Column("scope", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("retry_at", UtcDateTime),
    Column("claimed_by", Text),
    Column("lease_until", UtcDateTime),
    Column("sent_at", UtcDateTime),
    Column("request", json_column_type()),
    Column("target", FreeText),
    Column("answer", json_column_type()),
    Column("message", FreeText, nullable=False),
    Column("error_kind", Text, nullable=False),
    Column("run_id", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("sent_in_claim", Boolean, nullable=False, server_default=false()),
    Column("storm", FreeText),
    _partial(
        "ix_actions_open",
        "integration",
        "event_occurred_at",
        "event_seq",
        "ordinal",
        where=OPEN_ACTIONS,
    ),
    _of_actions("waiting", *PLACE, "id", where="mode = 'live' AND state = 'pending'"),
    _of_actions("claimed", "id", where="mode = 'live' AND state = 'claimed'"),
    _of_actions(
        "failed", "error_kind", "storm", *PLACE, "id", where="mode = 'live' AND state = 'failed'"
    ),
    _of_actions("created", "updated_at", where="kind = 'create_incident' AND state = 'applied'"),
    Index("ix_actions_event", "event_id", "ordinal"),
    Index("ix_actions_state", "state", "updated_at"),
    Index("ix_actions_updated", "updated_at"),
    Index("ix_actions_record", "record_id", "updated_at"),
    Index("ix_actions_incident", "incident_id", "updated_at"),
    Index("ix_actions_run", "run_id"),
    Index("ix_actions_planned", "integration", "state", "created_at", "id"),
    Index("ix_actions_rule", "ruleset", "rule", "created_at", "id"),
    _partial("ix_actions_first", "ruleset", "rule", "created_at", where=text("position = 0")),
)

attempts = Table(
    "attempts",
    metadata,
    Column("seq", BigInt, primary_key=True, autoincrement=True),
    Column("action_id", Text, ForeignKey("actions.id", ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("message", FreeText, nullable=False),
    Column("error_kind", Text, nullable=False),
    Column("target", FreeText),
    Column("request", json_column_type()),
    Column("answer", json_column_type()),
    Column("run_id", Text),
    Column("sent_at", UtcDateTime),
    Column("ended_at", UtcDateTime, nullable=False),
    Column("integration", Text, nullable=False, server_default=""),
    Column("ruleset", FreeText, nullable=False, server_default=""),
    Column("rule", FreeText, nullable=False, server_default=""),
    Index("ix_attempts_action_id", "action_id", "seq"),
    Index("ix_attempts_ended", "integration", "state", "ended_at", "seq"),
    Index("ix_attempts_rule", "ruleset", "rule", "ended_at", "seq"),
    sqlite_autoincrement=True,
)

links = Table(
    "links",
    metadata,
    Column("integration", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("record_id", Text, nullable=False),
    Column("incident_id", Text, nullable=False),
    Column("ruleset", FreeText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("removed_at", UtcDateTime),
    PrimaryKeyConstraint("integration", "object", "record_id", "incident_id"),
    Index("ix_links_created", "integration", "created_at", "record_id", "incident_id"),
    Index("ix_links_record", "record_id", "integration"),
    Index("ix_links_incident", "incident_id", "integration"),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("integration", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("target_id", Text, nullable=False),
    Column("field_values", json_column_type(), nullable=False),
    Column("stamp", UtcDateTime),
    Column("version", Integer, nullable=False),
    Column("touched_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("integration", "system", "object", "target_id"),
    Index("ix_snapshots_target", "target_id", "system"),
)

expectations = Table(
    "expectations",
    metadata,
    Column("id", BigInt, primary_key=True, autoincrement=True),
    Column("integration", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("target_id", Text, nullable=False),
    Column("effect", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("action_id", Text, nullable=False),
    Column("expected_at", UtcDateTime, nullable=False),
    Column("consumed_by", Text),
    _partial("ix_expectations_open", "integration", "system", "target_id", where=OPEN_EXPECTATIONS),
    _partial(
        "uq_expectations_open",
        "action_id",
        "system",
        "target_id",
        "effect",
        where=OPEN_EXPECTATIONS,
        unique=True,
    ),
    Index("ix_expectations_expected", "expected_at"),
    sqlite_autoincrement=True,
)

notes = Table(
    "notes",
    metadata,
    Column("integration", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("note_id", Text, nullable=False),
    Column("record_id", Text),
    Column("incident_id", Text),
    Column("digest", Text, nullable=False),
    Column("action_id", Text),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("origin", Text, nullable=False),
    PrimaryKeyConstraint("integration", "system", "note_id"),
    Index("ix_notes_record", "integration", "system", "record_id"),
    Index("ix_notes_incident", "integration", "system", "incident_id"),
)

cursors = Table(
    "cursors",
    metadata,
    Column("integration", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("position", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("moved_at", UtcDateTime, nullable=False),
    Column("extra", json_column_type(), nullable=False),
    PrimaryKeyConstraint("integration", "stream"),
)

ruleset_versions = Table(
    "ruleset_versions",
    metadata,
    Column("path", FreeText, nullable=False),
    Column("version", Text, nullable=False),
    Column("name", FreeText, nullable=False),
    Column("text", FreeText, nullable=False),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("path", "version"),
    Index("ix_ruleset_versions_version", "version"),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("integration", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("window_start", UtcDateTime),
    Column("window_end", UtcDateTime),
    Column("lineage", json_column_type(), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    PrimaryKeyConstraint("run_id", "integration", "direction"),
    Index("ix_runs_started", "started_at"),
    Index("ix_runs_direction", "integration", "direction", "started_at"),
)

pauses = Table(
    "pauses",
    metadata,
    Column("integration", Text, nullable=False),
    Column("ruleset", FreeText, nullable=False),
    Column("paused_at", UtcDateTime, nullable=False),
    Column("paused_by", FreeText, nullable=False),
    Column("why", FreeText, nullable=False),
    PrimaryKeyConstraint("integration", "ruleset"),
)

doorbells = Table(
    "doorbells",
    metadata,
    Column("seq", BigInt, primary_key=True, autoincrement=True),
    Column("integration", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("incident_id", Text),
    Column("occurred_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    UniqueConstraint("integration", "event_id"),
    Index("ix_doorbells_integration_seq", "integration", "seq"),
    sqlite_autoincrement=True,
)

storms = Table(
    "storms",
    metadata,
    Column("integration", Text, nullable=False),
    Column("storm", FreeText, nullable=False),
    Column("occurrence", Text, nullable=False),
    Column("why", FreeText, nullable=False),
    Column("held_at", UtcDateTime, nullable=False),
    Column("told_at", UtcDateTime),
    Column("decided_at", UtcDateTime),
    Column("summary", Text),
    PrimaryKeyConstraint("integration", "storm"),
)

ruleset_switches = Table(
    "ruleset_switches",
    metadata,
    Column("seq", BigInt, primary_key=True, autoincrement=True),
    Column("path", FreeText, nullable=False),
    Column("enabled", Boolean),
    Column("turned_at", UtcDateTime, nullable=False),
    Column("turned_by", FreeText, nullable=False),
    Column("why", FreeText, nullable=False),
    Index("ix_ruleset_switches_path_seq", "path", "seq"),
    sqlite_autoincrement=True,
)
