"""The questions a sync asks all the time are answered through an index, however much the ledger holds."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from benchmarks.ledger_past import Past, fill
from benchmarks.ledger_questions import HOT
from pd_sf_rules.ledger import Ledger, open_ledger
from sandbox.postgres import PostgresServer

pytest_plugins = ["tests.integration.ledger_databases"]

ROWS = 20_000


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def grown(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ledger]:
    """A ledger with 20,000 rows in each table that grows."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('grown')}/ledger.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.url(server.new_database())
    ledger = open_ledger(url)
    with ledger.begin() as c:
        fill(c, Past(ROWS))
    yield ledger
    ledger.close()


SMALL = {"cursors", "horizons", "ruleset_versions"}  # a few rows: reading them whole is quicker
SMALL |= {"CONSTANT"}  # SQLite's "SCAN CONSTANT ROW": no table at all


def _plans(c: Connection, question: Callable[[Connection], object]) -> list[str]:
    """How the database goes about each statement that the question runs; what it wrote is undone."""
    asked: list[tuple[str, Any]] = []

    def remember(*call: Any) -> None:
        asked.append((call[2], call[3]))

    event.listen(c, "before_cursor_execute", remember)
    savepoint = c.begin_nested()
    question(c)
    savepoint.rollback()
    event.remove(c, "before_cursor_execute", remember)
    explain = "EXPLAIN QUERY PLAN " if c.dialect.name == "sqlite" else "EXPLAIN "
    return [
        "\n".join(str(row[-1]) for row in c.exec_driver_sql(explain + statement, parameters))
        for statement, parameters in asked
        if statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT"))
    ]


def _is_small(name: str) -> bool:
    """What is read whole without harm: a few rows, or what another step of the plan found through its index."""
    return name in SMALL or name.startswith(("anon_", "(subquery"))


def _reads_a_whole_table(plan: str) -> bool:
    for line in plan.splitlines():
        words = line.replace("->", " ").split()
        if words[:1] == ["SCAN"] and "INDEX" not in words and not _is_small(words[1]):
            return True
        if words[:2] == ["Seq", "Scan"] and not _is_small(words[3]):
            return True
    return False


@pytest.mark.parametrize("name", HOT)
def test_hot_question_uses_an_index(grown: Ledger, name: str) -> None:
    """No statement behind the question reads a whole table of 20,000 rows."""
    with grown.begin() as c:
        plans = _plans(c, HOT[name])
    assert plans
    for plan in plans:
        assert not _reads_a_whole_table(plan), plan


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("pending_events", "ix_events_pending"),
        ("open_actions", "ix_actions_open"),
        ("failed for their ruleset's sake", "ix_actions_failed"),
        ("claimants", "ix_actions_claimed or ix_actions_planned"),
        ("next_try", "ix_actions_waiting or ix_actions_planned"),
        ("due_tries", "ix_actions_waiting or ix_actions_planned"),
        ("count_waiting", "ix_actions_waiting or ix_actions_planned"),
        ("due behind a place", "ix_actions_waiting"),
        ("held_ids", "ix_actions_failed"),
        ("held_counts", "ix_actions_failed"),
        ("counts_of_run", "ix_actions_run"),
        ("actions_of_run", "ix_actions_run"),
        ("failed_for_good", "ix_actions_run"),
        ("latest actions", "ix_actions_updated"),
        ("hits", "ix_actions_first"),
        ("page_of_links", "ix_links_created"),
        ("last run of a direction", "ix_runs_direction"),
        ("recent_runs", "ix_runs_started"),
        ("links_of_records", "ix_links_record"),
        ("links_of_incidents", "ix_links_incident"),
        ("open_expectations", "ix_expectations_open"),
        ("forget", "uq_expectations_open"),
        ("events of a record", "ix_events_record"),
        ("events of a record in an integration", "ix_events_record"),
        ("events of an incident in an integration", "ix_events_incident"),
        ("actions of a record", "ix_actions_record"),
        ("failed actions", "ix_actions_state"),
    ],
)
def test_question_uses_the_index_made_for_it(grown: Ledger, name: str, index: str) -> None:
    """Open work comes from partial indexes, which hold nothing settled: finding it costs the same for ever."""
    with grown.begin() as c:
        (plan,) = _plans(c, HOT[name])
    assert any(name in plan for name in index.split(" or ")), plan


def test_a_queue_is_counted_from_what_is_open(grown: Ledger) -> None:
    """Counting what waits reads the index of pending events, not those of the whole integration."""
    with grown.begin() as c:
        events_plan = _plans(c, HOT["queue_of"])[0]
    assert "ix_events_pending" in events_plan, events_plan


@pytest.mark.parametrize(
    ("name", "indexes"),
    [
        ("log of a record's gist", ("ix_events_record", "ix_actions_record")),
        ("log of a pair in an integration", ("_record", "_incident")),
        ("log of a rule", ("ix_actions_rule", "ix_actions_first", "ix_attempts_rule")),
        ("log of errors", ("ix_actions_planned", "ix_attempts_ended", "ix_actions_failed")),
        ("log of waiting", ("ix_events_pending", "ix_actions_planned", "ix_actions_active")),
        ("log of echo", ("ix_events_quiet",)),
        ("log of matched", ("ix_events_matched",)),
        ("log of unmatched", ("ix_events_unmatched",)),
    ],
)
def test_each_part_of_the_log_is_read_by_what_is_asked(
    grown: Ledger, name: str, indexes: tuple[str, ...]
) -> None:
    """Every statement goes by the narrowest index, not by time through everything of the integration."""
    with grown.begin() as c:
        plans = _plans(c, HOT[name])
    assert plans
    for plan in plans:
        assert any(index in plan for index in indexes), plan


def test_a_scan_would_be_noticed(grown: Ledger) -> None:
    """The check itself: a question that no index answers is seen as one that reads the whole table."""
    query = text("SELECT * FROM events WHERE agent = 'nobody'")
    with grown.begin() as c:
        (plan,) = _plans(c, lambda c: c.execute(query).all())
    assert _reads_a_whole_table(plan), plan
