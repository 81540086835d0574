"""What failed is grouped by its cause in the database: counted whatever its number, read only as far as it is shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, event, update

from pd_sf_rules.ledger import Ledger, actions, events, tables
from pd_sf_rules.ledger.storms import HELD
from pd_sf_rules.pipeline.troubles import discard, ids_of, troubles
from tests.integration.ledger_rows import NOW, an_action, an_event, later

pytest_plugins = ["tests.integration.ledger_databases"]

MANY = 300


def _fail(ledger: Ledger, numbers: range, words: str, **changes: Any) -> list[str]:
    """An event and an action for each number; the action failed with these words (`{n}`, `{id}` filled in)."""
    values = {"state": "failed", "error_kind": "refused"} | changes
    planned = []
    with ledger.begin() as c:
        for n in numbers:
            record = f"500{n:012}AAA"
            events.add_event(c, an_event(f"e{n}", occurred_at=later(n), record_id=record))
            planned.append(an_action(f"a{n}", event_id=f"e{n}", record_id=record))
            planned.append(replace(planned[-1], id=f"b{n}", kind="update_record"))
        actions.add_actions(c, planned, now=NOW)
        told = [
            {"key": f"a{n}", "message": words.format(n=n, id=f"500{n:012}AAA")} for n in numbers
        ]
        mine = update(tables.actions).where(tables.actions.c.id == bindparam("key"))
        c.execute(mine.values(message=bindparam("message"), **values), told)
    return [f"a{n}" for n in numbers]


@contextmanager
def _counting(ledger: Ledger) -> Iterator[list[int]]:
    """How many rows each SELECT in the block gave back, known when it ends."""
    asked: list[tuple[str, Any]] = []
    counts: list[int] = []
    with ledger.read() as c:
        engine = c.engine

    def remember(*call: Any) -> None:
        asked.append((call[2], call[3]))

    event.listen(engine, "before_cursor_execute", remember)
    yield counts
    event.remove(engine, "before_cursor_execute", remember)
    with ledger.read() as c:
        for statement, parameters in asked:
            if statement.startswith("SELECT"):
                counting = f"SELECT count(*) FROM ({statement}) AS told"
                counts.append(c.exec_driver_sql(counting, parameters).scalar_one())


def test_alike_but_for_ids_and_numbers_is_one_cause(ledger: Ledger) -> None:
    """Words that differ by the record or by a number are one cause; other words, rules or kinds are others."""
    alike = _fail(ledger, range(5), "Record {id} refused, error {n}")
    _fail(ledger, range(10, 12), "Not allowed on record {id}")
    _fail(
        ledger,
        range(20, 21),
        "Try later",
        state="pending",
        error_kind="transient",
        retry_at=later(60),
    )
    first, second, waiting = troubles(ledger, ["default"], each=3)
    assert [one.id for one in first.actions] == alike[:3]
    assert (first.count, first.failed, first.behind, first.oldest) == (5, 5, 5, later(0))
    assert first.words == "Record 500000000000000AAA refused, error 0"
    assert (second.failed, second.behind) == (2, 2)
    assert (waiting.count, waiting.failed, waiting.next_try) == (1, 0, later(60))
    assert len({one.key for one in (first, second, waiting)}) == 3
    assert troubles(ledger, ["other"]) == []


def test_what_is_looked_for_is_found_in_every_action(ledger: Ledger) -> None:
    """A word in one action's words, record or id, or in the name of the rule, leaves its whole cause."""
    _fail(ledger, range(5), "Record {id} refused")
    _fail(ledger, range(10, 12), "Not 100% allowed")

    def left(text: str) -> list[int]:
        return [one.count for one in troubles(ledger, ["default"], each=1, looked_for=text)]

    assert left("500000000000004aaa") == [5]
    assert left(" NOT 100% ") == [2]
    assert left("page SUPPORT") == [5, 2]
    assert left("100_") == []


def test_what_a_breaker_holds_is_a_cause_of_its_own(ledger: Ledger) -> None:
    """It is counted as held, names its storm, and is left out where the storms are told apart from it."""
    held = _fail(ledger, range(4), "25 incidents in 10 minutes", error_kind=HELD, storm="S / R")
    (one,) = troubles(ledger, ["default"])
    assert (one.held, one.failed, one.count, one.storm) == (4, 0, 4, "S / R")
    assert [action.id for action in one.actions] == held
    assert troubles(ledger, ["default"], with_held=False) == []
    assert ids_of(ledger, "default", {one.key}) == []


def test_all_of_a_cause_is_retried_or_discarded(ledger: Ledger) -> None:
    """Every action of the cause is named, but the one under way; discarded in batches, each is skipped once."""
    ids = _fail(ledger, range(MANY), "Refused number {n}")
    with ledger.begin() as c:
        c.execute(update(tables.actions).where(tables.actions.c.id == "a7").values(state="claimed"))
    (one,) = troubles(ledger, ["default"], each=1)
    left = [action_id for action_id in ids if action_id != "a7"]
    assert ids_of(ledger, "default", {one.key}) == left
    assert discard(ledger, left, reason="why") == set(left)
    (one,) = troubles(ledger, ["default"])
    assert (one.count, one.failed) == (1, 0)


def test_however_many_failed_only_what_is_shown_is_read(ledger: Ledger) -> None:
    """Of 300 failed in the same words a few rows are read; of 300 causes only those that fit on a page in full."""
    _fail(ledger, range(MANY), "Record {id} refused")
    with _counting(ledger) as rows:
        (one,) = troubles(ledger, ["default"], each=20, most=50)
    assert (one.count, len(one.actions)) == (MANY, 20)
    assert 40 <= sum(rows) < 60
    with ledger.begin() as c:
        numbered = tables.actions.c.rule.concat(tables.actions.c.id)
        c.execute(update(tables.actions).values(rule=numbered))
    found = troubles(ledger, ["default"], each=20, most=50)
    assert len(found) == MANY
    assert [len(one.actions) for one in found] == [1] * 50 + [0] * (MANY - 50)
    assert found[0].oldest + timedelta(seconds=MANY - 1) == found[-1].oldest
