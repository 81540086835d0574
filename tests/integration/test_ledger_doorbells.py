"""Doorbells: webhooks that arrived are known again, heard once, and forgotten in time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pd_sf_rules.ledger import Ledger, doorbells, maintenance
from pd_sf_rules.ledger.doorbells import PING, Doorbell, Rung

pytest_plugins = ["tests.integration.ledger_databases"]

NOW = datetime.now(UTC).replace(microsecond=0)
BELL = Doorbell("default", "E1", "incident.acknowledged", "Q1", NOW, NOW)


def ring(ledger: Ledger, *bells: Doorbell) -> list[bool]:
    """Ring each in a transaction of its own, and say which were new."""
    told = []
    for bell in bells:
        with ledger.begin() as c:
            told.append(doorbells.ring(c, bell))
    return told


def test_an_event_rings_once_for_each_integration(ledger: Ledger) -> None:
    """The same id again is known; another integration has it for itself."""
    assert ring(ledger, BELL, replace(BELL, event_type="x"), replace(BELL, integration="eu")) == [
        True,
        False,
        True,
    ]
    with ledger.read() as c:
        assert doorbells.newest_doorbell(c, "default") == BELL


def test_a_listener_hears_what_came_since(ledger: Ledger) -> None:
    """The newest place, and how many are about incidents; of its own integration alone."""
    with ledger.read() as c:
        assert doorbells.last_seq(c, "default") == 0
    ring(ledger, BELL)
    with ledger.read() as c:
        heard = doorbells.last_seq(c, "default")
        assert doorbells.rung_after(c, "default", 0) == Rung(heard, 1)
        assert doorbells.rung_after(c, "default", heard) == Rung(heard, 0)
    ring(
        ledger,
        replace(BELL, event_id="E2", event_type=PING),
        replace(BELL, event_id="E3"),
        replace(BELL, event_id="E4", integration="eu"),
        replace(BELL, event_id="E5"),
    )
    with ledger.read() as c:
        last = doorbells.last_seq(c, "default")
        assert doorbells.rung_after(c, "default", heard) == Rung(last, 2)
        newest = doorbells.newest_doorbell(c, "default", event_type=PING)
        assert newest is not None
        assert newest.event_id == "E2"


def test_old_ones_are_forgotten(ledger: Ledger) -> None:
    """Never those of the last three days, by which a repeated one is known, nor the newest of an integration."""
    ages = {"E1": 90, "E2": 40, "E3": 2, "E4": 0}
    bells = [
        replace(BELL, event_id=name, received_at=NOW - timedelta(days=days))
        for name, days in ages.items()
    ]
    lonely = replace(BELL, integration="eu", received_at=NOW - timedelta(days=400))
    ring(ledger, *bells, lonely)
    gone = maintenance.prune(ledger, before=NOW - timedelta(days=60), integration="default")
    assert gone["doorbells"] == 1
    assert maintenance.prune(ledger, before=NOW + timedelta(days=9))["doorbells"] == 1
    assert ring(ledger, *bells) == [True, True, False, False]
    with ledger.read() as c:
        assert doorbells.newest_doorbell(c, "eu") == lonely


def test_listening_is_cheap_however_many_there_are(ledger: Ledger) -> None:
    """The question that is asked four times a second goes through an index on both databases."""
    with ledger.begin() as c:
        for number in range(3000):
            doorbells.ring(c, replace(BELL, event_id=f"E{number}"))
    with ledger.begin() as c:
        if c.dialect.name == "postgresql":
            c.exec_driver_sql("ANALYZE doorbells")
        explain = "EXPLAIN QUERY PLAN" if c.dialect.name == "sqlite" else "EXPLAIN"
        question = "SELECT max(seq) FROM doorbells WHERE integration = 'default' AND seq > 2990"
        plan = "\n".join(str(row[-1]) for row in c.exec_driver_sql(f"{explain} {question}"))
    assert "Seq Scan" not in plan
    assert "ix_doorbells_integration_seq" in plan or "pk_doorbells" in plan
