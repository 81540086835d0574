"""Tables of any earlier revision come to the newest one with their data; those of a later one are refused."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import Ledger, actions, activity, events, links, migrating, open_ledger
from pd_sf_rules.ledger.activity import Wanted
from pd_sf_rules.ledger.activity_branches import branches
from pd_sf_rules.ledger.address import parse_url
from pd_sf_rules.ledger.tables import metadata
from pd_sf_rules.model import Link
from tests.integration.ledger_rows import NOW

pytest_plugins = ["tests.integration.ledger_databases"]

# Rows as revision 0001 knew them. Never to be changed: ledgers of that time hold such rows.
ROWS_OF_0001 = """
INSERT INTO events (id, integration, source, type, object, record_id, occurred_at, agent, payload,
    state, received_at)
VALUES ('event-1', 'default', 'salesforce', 'created', 'Case', '500A', '2026-03-01 12:00:00.123456',
    'Ada', '{"record": {"Priority": "High"}, "old": {}, "incident": {}, "old_incident": {},
    "detail": {}, "linked_by": []}', 'pending', '2026-03-01 12:00:01.000000');

INSERT INTO actions (id, event_id, event_occurred_at, event_seq, ordinal, integration, ruleset,
    ruleset_version, rule, position, kind, params, mode, object, record_id, scope, state, attempt,
    sent_at, message, error_kind, created_at, updated_at)
VALUES ('action-1', 'event-1', '2026-03-01 12:00:00.123456', 1, 0, 'default', 'Critical cases',
    '0123456789ab', 'Page', 0, 'create_incident', '{"service": "Support"}', 'live', 'Case', '500A',
    'all', 'claimed', 1, '2026-03-01 12:00:02.000000', '', '', '2026-03-01 12:00:01.000000',
    '2026-03-01 12:00:02.000000');

INSERT INTO links (integration, object, record_id, incident_id, ruleset, created_at)
VALUES ('default', 'Case', '500A', 'P1', 'Critical cases', '2026-03-01 12:00:00.123456');
"""


def _at_revision(url: str, revision: str) -> Ledger:
    ledger = Ledger(parse_url(url))
    ledger.upgrade(revision)
    return ledger


def test_ledger_of_the_first_revision_keeps_its_data(empty_url: str) -> None:
    """What revision 0001 stored is there, and works on, after the upgrade to the newest."""
    old = _at_revision(empty_url, "0001")
    with old.begin() as c:
        if c.dialect.name == "postgresql":
            c.execute(text("SET LOCAL timezone TO 'UTC'"))
        for statement in ROWS_OF_0001.split(";\n")[:-1]:
            c.exec_driver_sql(statement)
    old.close()
    ledger = open_ledger(empty_url)
    assert ledger.revision() == migrating.HEAD
    with ledger.begin() as c:
        (event,) = events.pending_events(c, "default", "salesforce", limit=9)
        (action,) = actions.open_actions(c, "default")
        assert (event.occurred_at, event.record) == (NOW, {"Priority": "High"})
        assert (action.state, action.in_doubt, action.params) == (
            "claimed",
            True,
            {"service": "Support"},
        )
        assert links.all_links(c, "default") == [
            Link("default", "Case", "500A", "P1", "Critical cases", NOW)
        ]
        assert events.mark_evaluated(c, event, [])
        assert actions.record_outcome(c, action.id, state="applied", now=NOW)
    ledger.close()


def test_what_was_recorded_before_the_log_is_in_it(empty_url: str) -> None:
    """Verdicts and attempts of revision 0005 tell in the log which rules matched, and whose the attempts were."""
    old = _at_revision(empty_url, "0005")
    verdict = '{"ruleset": "A", "rule": "B", "matched": %s}'
    said = f"[{verdict % 'true'}, {verdict % 'false'}, {verdict % 'true'}]"
    with old.begin() as c:
        if c.dialect.name == "postgresql":
            c.execute(text("SET LOCAL timezone TO 'UTC'"))
        for statement in ROWS_OF_0001.split(";\n")[:-1]:
            c.exec_driver_sql(statement)
        c.execute(
            text("UPDATE events SET state = 'evaluated', verdicts = :said, evaluated_at = received_at"),
            {"said": said},
        )  # fmt: skip
        c.exec_driver_sql(
            "INSERT INTO attempts (action_id, attempt, state, message, error_kind, ended_at)"
            " VALUES ('action-1', 1, 'applied', '', '', '2026-03-01 12:00:09.000000')"
        )
    old.close()
    ledger = open_ledger(empty_url)
    with ledger.read() as c:
        told = activity.page(c, branches(Wanted(), ["default"]), before=None, limit=9).entries
    ledger.close()
    assert [one.kind for one in told] == ["answer", "action", "decision", "event"]
    assert told[2].facts["matched"] == "A / B"
    assert (told[0].ruleset, told[0].rule) == ("Critical cases", "Page")


def test_migrations_lead_to_the_tables_of_the_code(empty_url: str) -> None:
    """Tables, columns, nullability and indexes after all migrations are those that the code declares."""
    ledger = open_ledger(empty_url)
    with ledger.begin() as c:
        context = MigrationContext.configure(c, opts={"version_table": migrating.VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
        made = inspect(c)
        for table in metadata.sorted_tables:
            key = made.get_pk_constraint(table.name)["constrained_columns"]
            assert key == [column.name for column in table.primary_key]
    ledger.close()


def test_code_knows_its_newest_revision() -> None:
    """The constant that lets a current ledger open without Alembic names the newest migration file."""
    assert max(migrating.known_revisions()) == migrating.HEAD


def test_opening_twice_changes_nothing(empty_url: str) -> None:
    """A ledger at the newest revision is opened as it is, and `upgrade` has nothing to do."""
    first = open_ledger(empty_url)
    assert first.revision() == migrating.HEAD
    assert first.upgrade() == migrating.HEAD
    first.close()
    second = open_ledger(empty_url)
    assert second.revision() == migrating.HEAD
    second.close()


def test_newer_ledger_is_refused(empty_url: str) -> None:
    """A ledger written by a later version is named and not touched."""
    ledger = open_ledger(empty_url)
    with ledger.begin() as c:
        c.execute(text("UPDATE ledger_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match=r"revision 9999, this version knows up to \d{4}"):
        open_ledger(empty_url)
    with pytest.raises(ConfigError, match="9999"):
        ledger.upgrade()
    assert ledger.revision() == "9999"
    ledger.close()


def test_failed_migration_leaves_nothing_behind(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that breaks half way is undone whole, and the ledger opens once it is mended."""
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    for path in (
        migrating.MIGRATIONS / "env.py",
        *(migrating.MIGRATIONS / "versions").glob("*.py"),
    ):
        (tmp_path / "migrations" / path.relative_to(migrating.MIGRATIONS)).write_text(
            path.read_text()
        )
    (versions / "revision_9000_broken.py").write_text(
        f"from alembic import op\nrevision, down_revision = '9000', '{migrating.HEAD}'\n"
        "def upgrade():\n    op.execute('CREATE TABLE half (x INTEGER)')\n    op.execute('no sql')\n"
    )
    with monkeypatch.context() as broken:
        broken.setattr(migrating, "MIGRATIONS", tmp_path / "migrations")
        ledger = Ledger(parse_url(empty_url))
        with pytest.raises(Exception, match="syntax error"):
            ledger.upgrade()
        assert ledger.revision() is None
        with ledger.read() as c:
            assert inspect(c).get_table_names() == []
        ledger.close()
    ledger = open_ledger(empty_url)
    assert ledger.revision() == migrating.HEAD
    ledger.close()
