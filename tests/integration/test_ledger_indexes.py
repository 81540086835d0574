"""The questions a sync asks all the time are answered through an index, however much the ledger holds."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from pd_sf_rules.ledger import (
    Ledger,
    actions,
    activity,
    attempts,
    cursors,
    events,
    expectations,
    links,
    notes,
    open_ledger,
    rulesets,
    runs,
    snapshots,
    storms,
    waiting,
)
from pd_sf_rules.ledger.activity import Wanted
from pd_sf_rules.ledger.activity_branches import OUTCOMES, branches, integrations_in, rules_in
from pd_sf_rules.ledger.backlog import queue_of
from pd_sf_rules.ledger.hits import hits
from pd_sf_rules.ledger.tallies import tally
from pd_sf_rules.model import Link
from tests.integration.ledger_rows import NOW, later
from tests.integration.postgres import PostgresServer

pytest_plugins = ["tests.integration.ledger_databases"]

ROWS = 20_000
OPEN_EVERY = 500  # one event in so many is pending, one action in so many is open


SERIES = """
WITH RECURSIVE series(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM series WHERE n < {last})
SELECT {values} FROM series
"""
TIME = {
    "sqlite": "datetime('2026-03-01 12:00:00', n || ' seconds') || '.000000'",
    "postgresql": "timestamptz '2026-03-01 12:00:00+00' + n * interval '1 second'",
}
JSON = {"sqlite": "'{}'", "postgresql": "json '{}'"}
NO_PAYLOAD = {
    "sqlite": """'{"linked_by": []}'""",
    "postgresql": """json '{"linked_by": []}'""",
}
PAIR = {"record_id": "'500' || (n % 4000)", "incident_id": "'P' || (n % 4000)"}
OURS = {"integration": "'default'", "system": "'salesforce'"}


def _tables(dialect: str) -> dict[str, dict[str, str]]:
    """For each table that grows, its columns as SQL of `n`."""
    at, json = TIME[dialect], JSON[dialect]
    event = PAIR | {
        "id": "'event-' || n",
        "integration": "'default'",
        "source": "CASE n % 2 WHEN 1 THEN 'salesforce' ELSE 'pagerduty' END",
        "type": "'updated'",
        "object": "'Case'",
        "occurred_at": at,
        "agent": "'Ada'",
        "payload": NO_PAYLOAD[dialect],
        "state": f"CASE WHEN n % {OPEN_EVERY} < 2 THEN 'pending' ELSE 'evaluated' END",
        "received_at": at,
        "evaluated_at": at,
        "matched": "CASE n % 10 WHEN 1 THEN 'x / x' ELSE '' END",
        "run_id": "'run-' || (n / 50)",
    }
    action = PAIR | {
        "id": "'action-' || n",
        "event_id": "'event-' || n",
        "event_occurred_at": at,
        "event_seq": "n",
        "mode": "CASE n % 10 WHEN 0 THEN 'shadow' ELSE 'live' END",
        "state": f"CASE WHEN n % 10 = 0 THEN 'shadow' WHEN n % {OPEN_EVERY} = 1 THEN 'failed'"
        " ELSE 'applied' END",
        "params": json,
        "kind": "'create_incident'",
        "integration": "'default'",
        "run_id": "'run-' || (n / 50)",
        "created_at": at,
        "updated_at": at,
        **dict.fromkeys(("ordinal", "position", "attempt"), "0"),
        **dict.fromkeys(("ruleset", "ruleset_version", "rule", "scope", "message"), "'x'"),
        "error_kind": "''",
    }
    link = {"integration": "'default'", "object": "'Case'", "ruleset": "''", "created_at": at}
    snapshot = OURS | {
        "object": "'Case'",
        "target_id": "'500' || n",
        "field_values": json,
        "version": "1",
        "touched_at": at,
    }
    expectation = OURS | {
        "target_id": "'500' || n",
        "effect": "'resolve'",
        "value": "''",
        "action_id": "'action-' || n",
        "expected_at": at,
        "consumed_by": f"CASE n % {OPEN_EVERY} WHEN 0 THEN NULL ELSE 'event-' || n END",
    }
    note = (
        OURS
        | PAIR
        | {
            "note_id": "'note-' || n",
            "digest": "'d'",
            "seen_at": at,
            "origin": "'ours'",
        }
    )
    attempt = {
        "action_id": "'action-' || (n % 4000)",
        "attempt": "1",
        "ended_at": at,
        "integration": "'default'",
        "state": "'applied'",
        **dict.fromkeys(("ruleset", "rule", "message", "error_kind"), "'x'"),
    }
    run = {
        "run_id": "'run-' || n",
        "integration": "'default'",
        "direction": "'salesforce'",
        "lineage": json,
        "started_at": at,
    }
    return {
        "events": event,
        "actions": action,
        "links": link | {"record_id": "'500' || n", "incident_id": "'P' || n"},
        "snapshots": snapshot,
        "expectations": expectation,
        "notes": note,
        "attempts": attempt,
        "runs": run,
    }


def _fill(c: Connection) -> None:
    for table, columns in _tables(c.dialect.name).items():
        rows = SERIES.format(last=ROWS - 1, values=", ".join(columns.values()))
        c.execute(text(f"INSERT INTO {table} ({', '.join(columns)}) {rows}"))
    cursors.start_cursor(c, "default", "salesforce:Case", NOW)


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
        _fill(c)
    if request.param == "postgresql":
        with ledger.begin() as c:
            c.execute(text("ANALYZE"))  # autovacuum does it, where it runs
    yield ledger
    ledger.close()


LINK = Link("default", "Case", "5007", "P7", "", NOW)
IDS = [f"event-{n}" for n in range(40)]


def _due(c: Connection, after: waiting.Place | None = None) -> object:
    return waiting.due_actions(
        c, "default", "salesforce", now=NOW, eager=True, released=False, after=after, limit=100
    )


HOT: dict[str, Callable[[Connection], object]] = {
    "pending_events": lambda c: events.pending_events(c, "default", "salesforce", limit=100),
    "known_ids": lambda c: events.known_ids(c, IDS),
    "get_event": lambda c: events.get_event(c, "event-7"),
    "events of a record": lambda c: events.find_events(c, record_id="5007", limit=5),
    "events of an incident": lambda c: events.find_events(c, incident_id="P7", limit=5),
    "events of a record in an integration": lambda c: events.find_events(
        c, integration="default", record_id="5007", since=later(5), limit=5
    ),
    "events of an incident in an integration": lambda c: events.find_events(
        c, integration="default", incident_id="P7", limit=5
    ),
    "latest events": lambda c: events.find_events(c, limit=5),
    "latest events of an integration": lambda c: events.find_events(
        c, integration="default", limit=5
    ),
    "events of a window": lambda c: events.find_events(
        c,
        integration="default",
        since=later(100),
        until=later(100) + timedelta(minutes=1),
        limit=100,
        oldest_first=True,
    ),
    "open_actions": lambda c: actions.open_actions(c, "default"),
    "in_flight": lambda c: actions.in_flight(c, "default", kind="create_record", object="Case"),
    "get_actions": lambda c: actions.get_actions(c, [f"action-{n}" for n in range(40)]),
    "claim": lambda c: actions.claim(
        c, ["action-1", "action-501"], owner="me", now=NOW, lease_seconds=60
    ),
    "mark_sent": lambda c: actions.mark_sent(c, "action-1", request={}, now=NOW),
    "record_outcome": lambda c: actions.record_outcome(c, "action-1", state="failed", now=NOW),
    "actions of an event": lambda c: actions.find_actions(c, event_id="event-7"),
    "failed actions": lambda c: actions.find_actions(c, state="failed", limit=5),
    "actions of a record": lambda c: actions.find_actions(c, record_id="5007", limit=5),
    "actions of an incident": lambda c: actions.find_actions(c, incident_id="P7", limit=5),
    "actions of a run": lambda c: actions.find_actions(c, run_id="run-7"),
    "latest actions": lambda c: actions.find_actions(c, integration="default", limit=5),
    "failed for their ruleset's sake": lambda c: actions.open_actions(
        c, "default", state="failed", error_kind="config"
    ),
    "due_actions": _due,
    "due behind a place": lambda c: _due(c, after=(later(5), 5, 0, "x")),
    "open_actions_of": lambda c: waiting.open_actions_of(
        c, "default", records=["5007", "5008"], incidents=["P7", "P8"]
    ),
    "claimants": lambda c: waiting.claimants(c, "default"),
    "next_try": lambda c: waiting.next_try(
        c, "default", "salesforce", now=NOW, but={"unlinked"}, paused={"x"}
    ),
    "due_tries": lambda c: waiting.due_tries(c, "default", now=NOW),
    "count_waiting": lambda c: waiting.count_waiting(c, "default", "salesforce"),
    "counts_of_run": lambda c: waiting.counts_of_run(c, "default", "run-7", "salesforce"),
    "actions_of_run": lambda c: actions.actions_of_run(c, "default", "run-7", limit=201),
    "failed_for_good": lambda c: waiting.failed_for_good(c, "default", "run-7", held="held"),
    "doubtful_actions": lambda c: actions.doubtful_actions(c, "default", kind="create_incident"),
    "went_out_lately": lambda c: storms.went_out_lately(
        c, "default", since=later(15_000), records=["5007"], incidents=["P7"]
    ),
    "held_ids": lambda c: storms.held_ids(c, "default", "x / y", limit=5),
    "held_counts": lambda c: storms.held_counts(c, "default"),
    "links_of_records": lambda c: links.links_of_records(c, "default", ["5007", "5008"]),
    "links_of_incidents": lambda c: links.links_of_incidents(c, "default", ["P7", "P8"]),
    "links of all time": lambda c: links.find_links(c, record_ids=["5007"], incident_ids=["P7"]),
    "seen_as": lambda c: snapshots.seen_as(c, "salesforce", "5007"),
    "actions_of_events": lambda c: actions.actions_of_events(c, IDS),
    "attempts_of": lambda c: attempts.attempts_of(c, ["action-7", "action-8"]),
    "add_link": lambda c: links.add_link(c, LINK),
    "remove_link": lambda c: links.remove_link(c, "default", "Case", "5007", "P7"),
    "get_snapshots": lambda c: snapshots.get_snapshots(
        c, "default", "salesforce", "Case", [f"500{n}" for n in range(40)]
    ),
    "merge_snapshot": lambda c: snapshots.merge_snapshot(
        c, "default", "salesforce", "Case", "5007", {"Status": "Closed"}, now=NOW
    ),
    "open_expectations": lambda c: expectations.open_expectations(
        c, "default", "salesforce", ["500500", "500501"]
    ),
    "consume": lambda c: expectations.consume(c, 1, "event-1"),
    "forget": lambda c: expectations.forget(c, "action-500"),
    "known_notes": lambda c: notes.known_notes(c, "default", "salesforce", ["note-1", "note-2"]),
    "note_digests": lambda c: notes.note_digests(c, "default", "salesforce", "5007"),
    "last_good": lambda c: rulesets.last_good(c, "a.yaml"),
    "text_of": lambda c: rulesets.text_of(c, "0123456789ab"),
    "recent_runs": lambda c: runs.recent_runs(c, integration="default", limit=5),
    "get_run": lambda c: runs.get_run(c, "run-7"),
}
LOG: dict[str, Wanted] = {
    "everything": Wanted(level="debug"),
    "what led to something": Wanted(),
    "errors": Wanted(level="error"),
    "a record": Wanted(records=frozenset({"5007"}), level="debug"),
    "a record's gist": Wanted(records=frozenset({"5007"})),
    "a pair in an integration": Wanted(
        integration="default", records=frozenset({"5007"}), incidents=frozenset({"P7"})
    ),
    "a rule": Wanted(rules=frozenset({("x", "x")})),
    "a window": Wanted(since=later(100), until=later(200)),
    "a source": Wanted(source="pagerduty"),
    **{outcome: Wanted(outcome=outcome, level="debug") for outcome in OUTCOMES},
}


def _log(wanted: Wanted) -> Callable[[Connection], object]:
    place = activity.Place(later(15_000), 2, "action-1")
    return lambda c: activity.page(c, branches(wanted, ["default"]), before=place, limit=5)


HOT |= {f"log of {name}": _log(wanted) for name, wanted in LOG.items()}
HOT |= {"integrations_in": integrations_in, "rules_in": rules_in}
HOT |= {"events of a run": lambda c: events.events_of_run(c, "run-7", limit=100)}
HOT |= {
    "hits": lambda c: hits(c, [("x", "x"), ("y", "y")], [later(19_900)]),
    "tally": lambda c: tally(c, "default", [later(0), later(100), later(200)]),
    "queue_of": lambda c: queue_of(c, "default"),
    "page_of_links": lambda c: links.page_of_links(
        c, "default", before=(later(15_000), "5007", "P7"), limit=5
    ),
    "last run of a direction": lambda c: runs.recent_runs(
        c, integration="default", direction="reconcile", limit=5
    ),
}
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


def _reads_a_whole_table(plan: str) -> bool:
    for line in plan.splitlines():
        words = line.replace("->", " ").split()
        if words[:1] == ["SCAN"] and "INDEX" not in words and words[1] not in SMALL:
            return True
        if words[:2] == ["Seq", "Scan"] and words[3] not in SMALL:
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
