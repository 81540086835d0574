"""The log as one stream: nothing missing, nothing twice, newest first, whatever is asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import Connection, update

from pd_sf_rules.ledger import Ledger, actions, events, open_ledger, tables
from pd_sf_rules.ledger.activity import Entry, Place, Wanted, page, stream
from pd_sf_rules.ledger.activity_branches import OUTCOMES, branches, integrations_in, rules_in
from pd_sf_rules.ledger.storms import HELD
from sandbox.postgres import PostgresServer
from tests.integration.activity_seed import BUSY, RARE, RULES, record_of, seed
from tests.integration.ledger_rows import NOW, an_event, later, plan

pytest_plugins = ["tests.integration.ledger_databases"]

EVENTS = 700
EVERYTHING = Wanted(level="debug")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def past(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ledger]:
    """A ledger in which much has happened, and a second integration with a little."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('past')}/ledger.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.url(server.new_database())
    ledger = open_ledger(url)
    seed(ledger, EVENTS)
    seed(ledger, 60, integration="second", start=NOW + timedelta(seconds=300, microseconds=7))
    yield ledger
    ledger.close()


def _all(ledger: Ledger, wanted: Wanted = EVERYTHING) -> list[Entry]:
    with ledger.read() as c:
        asked = branches(wanted, integrations_in(c))
    return list(stream(ledger.read, asked, chunk=37))


def _paged(ledger: Ledger, wanted: Wanted, limit: int) -> list[Entry]:
    found: list[Entry] = []
    place: Place | None = None
    while True:
        with ledger.read() as c:
            one = page(c, branches(wanted, integrations_in(c)), before=place, limit=limit)
        found += one.entries
        place = one.older
        if place is None:
            return found


def test_everything_is_told_once_newest_first(past: Ledger) -> None:
    """Each event, decision, action and answer is one entry; times never rise."""
    told = _all(past)
    kinds = {
        kind: sum(one.kind == kind for one in told)
        for kind in ("event", "decision", "action", "answer")
    }
    hits = EVENTS // 10 + 6
    assert (kinds["event"], kinds["action"], kinds["answer"]) == (EVENTS + 60, hits, hits)
    assert len({(one.kind, one.id) for one in told}) == len(told)
    assert all(new.at >= old.at for new, old in pairwise(told))


@pytest.mark.parametrize("limit", [1, 50, 10_000])
def test_pages_are_the_stream(past: Ledger, limit: int) -> None:
    """Page by page, of any size, gives what the whole stream gives."""
    wanted = Wanted(integration="second", level="debug")
    assert _paged(past, wanted, limit) == _all(past, wanted)


def test_a_file_of_everything_is_read_as_it_leaves(past: Ledger) -> None:
    """The whole stream holds one chunk of each part, and keeps no transaction open between them."""
    with past.read() as c:
        asked = branches(EVERYTHING, integrations_in(c))
    under_way: list[int] = []
    reads = 0

    @contextmanager
    def reading() -> Iterator[Connection]:
        nonlocal reads
        reads += 1
        under_way.append(reads)
        with past.read() as c:
            yield c
        under_way.pop()

    told = stream(reading, asked, chunk=20)
    for _ in range(10):
        next(told)
        assert under_way == []
    assert reads == len(asked)
    assert sum(1 for _ in told) > 20 * len(asked)
    assert reads > 2 * len(asked)


QUESTIONS: dict[str, tuple[Wanted, Callable[[Entry], bool]]] = {
    "integration": (Wanted(integration="second", level="debug"), lambda e: e.integration == "second"),
    "record": (Wanted(records=frozenset({record_of(3)}), level="debug"), lambda e: e.record_id == record_of(3)),
    "either side of a pair": (
        Wanted(records=frozenset({record_of(3)}), incidents=frozenset({"P4"}), level="debug"),
        lambda e: e.record_id == record_of(3) or e.incident_id == "P4",
    ),
    "record in an integration": (
        Wanted(records=frozenset({record_of(3)}), integration="second", level="debug"),
        lambda e: e.record_id == record_of(3) and e.integration == "second",
    ),
    "source": (Wanted(source="pagerduty", level="debug"), lambda e: e.source == "pagerduty"),
    "kind": (Wanted(kind="answer", level="debug"), lambda e: e.kind == "answer"),
    "time": (
        Wanted(since=later(100), until=later(200), level="debug"),
        lambda e: later(100) <= e.at <= later(200),
    ),
    "info": (Wanted(), lambda e: e.level != "debug"),
    "errors": (Wanted(level="error"), lambda e: e.level == "error"),
    "actions of a rule": (
        Wanted(rules=frozenset({BUSY}), kind="action"),
        lambda e: e.kind == "action" and (e.ruleset, e.rule) == BUSY,
    ),
    "answers of rules about a record": (
        Wanted(rules=frozenset({BUSY, RARE}), records=frozenset({record_of(3)}), kind="answer"),
        lambda e: e.kind == "answer" and (e.ruleset, e.rule) in {BUSY, RARE} and e.record_id == record_of(3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_filter_leaves_exactly_what_fits(past: Ledger, name: str) -> None:
    """The indexes give what looking at every entry gives."""
    wanted, fits = QUESTIONS[name]
    expected = [one for one in _all(past) if fits(one)]
    assert expected
    assert _all(past, wanted) == expected


@pytest.mark.parametrize("outcome", ["applied", "failed", "matched", "unmatched", "echo"])
def test_outcomes(past: Ledger, outcome: str) -> None:
    """An outcome leaves the entries of all kinds that ended so."""
    expected = [one for one in _all(past) if one.outcome == outcome]
    assert expected
    assert _all(past, Wanted(outcome=outcome, level="debug")) == expected


def test_a_rule_is_followed_from_its_match_to_the_answer(past: Ledger) -> None:
    """Of one rule: the decisions in which it matched, its actions, and their answers."""
    told = _all(past, Wanted(rules=frozenset({BUSY})))
    decisions = [one for one in told if one.kind == "decision"]
    assert all(" / ".join(BUSY) in one.facts["matched"] for one in decisions)
    assert len(decisions) == sum(one.kind == "action" for one in told) == len(told) // 3


def test_what_can_be_chosen(past: Ledger) -> None:
    """Integrations and rules come from the ledger itself."""
    with past.read() as c:
        assert integrations_in(c) == ["default", "second"]
        found = rules_in(c)
    assert set(found) <= set(RULES)
    assert found == sorted(found)
    assert BUSY in found


def test_waiting_and_held(ledger: Ledger) -> None:
    """What waits for its verdict or its turn, and what a breaker holds, are outcomes of their own."""
    with ledger.begin() as c:
        plan(c, "a", "b", "c")
        events.add_event(c, an_event("first", occurred_at=later(1)), state="baseline")
        held = update(tables.actions).where(tables.actions.c.id == "b")
        c.execute(held.values(state="failed", error_kind=HELD))
        actions.claim(c, ["c"], owner="me", now=NOW, lease_seconds=60)
        actions.record_outcome(c, "c", state="pending", now=NOW, error_kind="transient")

    def told(outcome: str) -> list[tuple[str, str]]:
        entries = _all(ledger, Wanted(outcome=outcome, level="debug"))
        return sorted((one.kind, str(one.facts["id"] if one.kind != "answer" else one.facts["action_id"]))
                      for one in entries)  # fmt: skip

    assert told("waiting") == [("action", "a"), ("action", "c"), ("event", "event-1")]
    assert told("held") == [("action", "b")]
    assert told("failed") == []
    assert told("retry") == [("answer", "c")]
    assert told("baseline") == [("event", "first")]
    (error,) = _all(ledger, Wanted(level="error"))
    assert (error.outcome, error.level) == ("held", "error")


def test_no_outcome_is_forgotten(ledger: Ledger) -> None:
    """Every outcome offered can be asked for, together with everything else."""
    for outcome in OUTCOMES:
        asked = Wanted(
            outcome=outcome,
            integration="default",
            records=frozenset({"r"}),
            rules=frozenset({BUSY}),
            source="salesforce",
            since=NOW,
            until=NOW,
            level="debug",
        )
        assert _all(ledger, asked) == []
