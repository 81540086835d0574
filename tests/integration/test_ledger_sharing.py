"""Several processes and threads on one ledger: nothing is claimed, lost or overwritten twice."""

import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from multiprocessing.connection import Connection
from random import Random

import pytest
from sqlalchemy import text

from pd_sf_rules.errors import ConfigError, RetryableError, SyncError
from pd_sf_rules.ledger import Ledger, actions, events, links, maintenance, open_ledger, snapshots
from pd_sf_rules.ledger.snapshots import Snapshot
from pd_sf_rules.model import Link
from sandbox.postgres import PostgresServer
from tests.integration.ledger_rows import NOW, an_action, an_event, later, plan
from tests.integration.processes import Streaming, in_child, in_children, killed_child

pytest_plugins = ["tests.integration.ledger_databases"]

LINK = Link("default", "Case", "500A", "P1", "", NOW)


def _work_through(ledger: Ledger, owner: str, ids: list[str]) -> list[str]:
    """Claim random handfuls until nothing is left; what was claimed, in order."""
    random = Random(owner)
    taken: list[str] = []
    left = set(ids)
    while left:
        handful = random.sample(sorted(left), min(12, len(left)))
        with ledger.begin() as c:
            mine = actions.claim(c, handful, owner=owner, now=NOW, lease_seconds=60)
        with ledger.begin() as c:
            for action_id in sorted(mine):
                actions.record_outcome(c, action_id, state="applied", now=NOW, owner=owner)
        taken.extend(mine)
        left.difference_update(handful)
    return taken


def _in_two_threads(ledger: Ledger, owner: str, ids: list[str]) -> list[str]:
    with ThreadPoolExecutor(2) as threads:
        parts = threads.map(lambda n: _work_through(ledger, f"{owner}-{n}", ids), range(2))
        return [action_id for part in parts for action_id in part]


def test_no_action_is_claimed_twice(ledger: Ledger) -> None:
    """Four forked processes of two threads each fight over 200 actions: each is taken exactly once."""
    ids = [f"a{number:03}" for number in range(200)]
    with ledger.begin() as c:
        plan(c, *ids)
    taken = in_children(_in_two_threads, *((ledger, f"worker-{n}", ids) for n in range(4)))
    assert Counter(action_id for part in taken for action_id in part) == Counter(ids)
    with ledger.read() as c:
        stored = actions.get_actions(c, ids).values()
    assert {(a.state, a.attempt) for a in stored} == {("applied", 1)}


def _claim_send_and_die(ledger: Ledger) -> None:
    with ledger.begin() as c:
        actions.claim(c, ["a", "b"], owner="dead", now=NOW, lease_seconds=30)
    with ledger.begin() as c:
        actions.mark_sent(c, "a", request={"n": 1}, now=NOW)
    with ledger.begin() as c:
        actions.record_outcome(c, "b", state="applied", now=NOW)
        os.kill(os.getpid(), signal.SIGKILL)


def test_killed_worker_is_taken_over(ledger: Ledger) -> None:
    """What a killed process committed stands, what it had not is undone, and its lease runs out."""
    with ledger.begin() as c:
        plan(c, "a", "b")
    assert killed_child(_claim_send_and_die, ledger) == -signal.SIGKILL
    with ledger.begin() as c:
        assert actions.claim(c, ["a", "b"], owner="me", now=later(29), lease_seconds=9) == set()
        assert actions.claim(c, ["a", "b"], owner="me", now=later(30), lease_seconds=9) == {
            "a",
            "b",
        }
        stored = actions.get_actions(c, ["a", "b"])
    assert {i: a.in_doubt for i, a in stored.items()} == {"a": True, "b": False}


def _write_for_ever(ledger: Ledger, name: str, told: Connection) -> None:
    for number in count():
        event_id = f"{name}-{number}"
        with ledger.begin() as c:
            events.add_event(c, an_event(event_id))
            actions.add_actions(c, [an_action(event_id, event_id=event_id)])
        told.send(event_id)


def test_what_was_committed_survives_a_kill(ledger: Ledger) -> None:
    """Three writers are killed in full flight: each event they reported is there, each with its action."""
    children = [Streaming(_write_for_ever, ledger, f"writer-{n}") for n in range(3)]
    reported: set[str] = set()
    for kills, child in enumerate(children):
        reported.update(child.receive(20 + 15 * kills))
        reported.update(child.kill())
    assert len(reported) > 100
    with ledger.read() as c:
        written = {event.id for event in events.find_events(c, limit=100_000)}
        planned = {action.id for action in actions.find_actions(c, limit=100_000)}
    assert reported <= written == planned
    assert len(written - reported) <= 3
    assert maintenance.damage(ledger) == []


def test_one_transaction_holds_several_repositories(ledger: Ledger) -> None:
    """An error anywhere in the block undoes the event, its plan and the link together."""

    def write_and_fail() -> None:
        with ledger.begin() as c:
            plan(c, "a")
            links.add_link(c, LINK)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    with ledger.read() as c:
        assert events.find_events(c) == []
        assert actions.find_actions(c) == []
        assert links.all_links(c, "default") == []


def test_reader_sees_one_moment(ledger: Ledger) -> None:
    """What is committed while a reading transaction runs is not seen by it, and it blocks no writer."""
    with ledger.read() as reader:
        assert events.known_ids(reader, ["event-1"]) == set()
        with ledger.begin() as c:
            events.add_event(c, an_event())
        assert events.known_ids(reader, ["event-1"]) == set()
    with ledger.read() as reader:
        assert events.known_ids(reader, ["event-1"]) == {"event-1"}


def test_reading_transaction_cannot_write(ledger: Ledger) -> None:
    """Writing inside `read()` is an error and changes nothing."""
    with pytest.raises(SyncError, match=r"read-?only"), ledger.read() as c:
        links.add_link(c, LINK)
    with ledger.begin() as c:
        assert links.add_link(c, LINK)


def test_merges_from_many_threads_all_count(ledger: Ledger) -> None:
    """Eight threads lay values over one snapshot at once: every value is there, every version counted."""

    def merge(number: int) -> None:
        with ledger.begin() as c:
            snapshots.merge_snapshot(
                c, "default", "salesforce", "Case", "500A", {f"F{number}": number}, now=NOW
            )

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(merge, range(40)))
    with ledger.read() as c:
        found = snapshots.get_snapshots(c, "default", "salesforce", "Case", ["500A"])["500A"]
    assert found.values == {f"F{number}": number for number in range(40)}
    assert found.version == 40


def test_lost_update_is_noticed(ledger: Ledger) -> None:
    """Four threads add up in one snapshot, saving only over the version they read: no addition is lost."""

    def add_one(_: int) -> int:
        for attempt in range(1000):
            with ledger.read() as c:
                seen = snapshots.get_snapshots(c, "default", "salesforce", "Case", ["500A"])
            before = seen.get("500A")
            count = before.values["count"] if before else 0
            moved = Snapshot("500A", {"count": count + 1}, NOW, 0, NOW)
            with ledger.begin() as c:
                if snapshots.save_snapshot(
                    c,
                    "default",
                    "salesforce",
                    "Case",
                    moved,
                    expected_version=before.version if before else None,
                    now=NOW,
                ):
                    return attempt
        raise AssertionError("a save never came through")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add_one, range(20)))
    with ledger.read() as c:
        found = snapshots.get_snapshots(c, "default", "salesforce", "Case", ["500A"])["500A"]
    assert (found.values, found.version) == ({"count": 20}, 20)


def _open_and_add(url: str, number: int) -> str:
    opened = open_ledger(url)
    with opened.begin() as c:
        events.add_event(c, an_event(f"e{number}"))
    revision = opened.revision()
    opened.close()
    return str(revision)


def test_processes_that_open_a_new_ledger_at_once_all_get_it(empty_url: str) -> None:
    """Six processes migrate an empty database at the same moment: all go on, and nothing is lost."""
    answers = in_children(_open_and_add, *((empty_url, number) for number in range(6)))
    assert len(set(answers)) == 1, answers
    assert answers[0].isdigit(), answers
    opened = open_ledger(empty_url)
    with opened.read() as c:
        assert len(events.find_events(c)) == 6
    opened.close()


def _add_in_child(ledger: Ledger, event_id: str) -> bool:
    with ledger.begin() as c:
        return events.add_event(c, an_event(event_id))


def test_forked_child_has_connections_of_its_own(ledger: Ledger) -> None:
    """A child writes through its parent's ledger, ends, and the parent's goes on working, and so on."""
    for number in range(3):
        with ledger.begin() as c:
            events.add_event(c, an_event(f"parent-{number}"))
        assert in_child(_add_in_child, ledger, f"child-{number}") is True
    with ledger.read() as c:
        assert len(events.find_events(c)) == 6


def test_child_of_a_transaction_gets_an_error_not_a_damaged_file(ledger: Ledger) -> None:
    """Forked inside a transaction, a child on SQLite refuses to work; on PostgreSQL it may. The parent goes on."""
    with ledger.begin() as c:
        events.add_event(c, an_event("parent"))
        answer = in_child(_add_in_child, ledger, "child")
    if ledger.name.startswith("sqlite"):
        assert answer.startswith("SyncError")
        assert "forked" in answer
    else:
        assert answer is True
    assert in_child(_add_in_child, ledger, "later") is True
    with ledger.read() as c:
        assert events.known_ids(c, ["parent", "later"]) == {"parent", "later"}


def test_busy_ledger_is_worth_another_try(tmp_path: "os.PathLike[str]") -> None:
    """A writer that waits too long for another one on SQLite gets RetryableError naming the file."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    holder, waiter = open_ledger(url), open_ledger(f"{url}?timeout=0.05")
    with holder.begin() as c:
        events.add_event(c, an_event())
        with pytest.raises(RetryableError, match=r"ledger\.db.*locked"), waiter.begin():
            pass
    with waiter.begin() as c:
        assert not events.add_event(c, an_event())
    holder.close()
    waiter.close()


def test_replaced_file_is_noticed(tmp_path: "os.PathLike[str]") -> None:
    """A ledger deleted under a running process is an error, not a file that nobody will ever read."""
    opened = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    for suffix in ("", "-wal", "-shm"):
        os.unlink(f"{tmp_path}/ledger.db{suffix}")  # noqa: PTH108
    with pytest.raises(ConfigError, match="no such table"), opened.begin() as c:
        events.add_event(c, an_event())
    opened.close()


def test_lost_server_connection_is_worth_another_try(postgres_server: PostgresServer) -> None:
    """A connection that PostgreSQL ends inside a transaction gives RetryableError; the next one works."""
    opened = open_ledger(postgres_server.url(postgres_server.new_database()))
    end_me = text("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(RetryableError, match="connection"), opened.begin() as c:
        c.execute(end_me)
    with opened.begin() as c:
        assert events.add_event(c, an_event())
        pid = c.execute(text("SELECT pg_backend_pid()")).scalar_one()
    postgres_server.execute(f"SELECT pg_terminate_backend({pid})")
    with opened.read() as c:
        assert events.known_ids(c, ["event-1"]) == {"event-1"}
    opened.close()
