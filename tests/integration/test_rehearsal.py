"""What a process that forks tasks does once instead of each of them, and what it leaves alone."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from pd_sf_rules.ledger import Ledger, open_ledger
from pd_sf_rules.pipeline import rehearsal
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.sync import sync
from pd_sf_rules.settings import load_integration
from tests.integration.pipeline_world import PAGE_HIGH, PipelineWorld

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]


@pytest.fixture
def place(world: PipelineWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the environment says that the ledger is: nothing is there yet. One rule is in force."""
    path = tmp_path / "rehearsed.db"
    monkeypatch.setenv("PDSF_LEDGER_URL", f"sqlite:///{path}")
    world.rules(PAGE_HIGH)
    return path


def test_a_rehearsal_touches_nothing(world: PipelineWorld, place: Path) -> None:
    """No file is made, and neither service is asked anything."""
    before = world.sandbox.traffic.last_number()
    rehearsal.rehearse()
    assert not place.exists()
    assert world.sandbox.traffic.last_number() == before


def test_a_rehearsed_ledger_holds_nothing(world: PipelineWorld, place: Path) -> None:
    """What opens the ledger afterwards finds it as if there had been no rehearsal, and can work with it."""
    rehearsal.rehearse()
    ledger = open_ledger(f"sqlite:///{place}")
    with open_run(load_integration("default"), ledger) as run:
        first, _ = sync(run, "salesforce")
    assert first["counts"]["evaluated"] == 0
    case_id = world.case("After the rehearsal")
    with open_run(load_integration("default"), ledger) as run:
        told, _ = sync(run, "salesforce")
    ledger.close()
    assert [(one["record"], one["outcome"]) for one in told["actions"]] == [(case_id, "applied")]


def test_a_rehearsed_pass_compiles_little(world: PipelineWorld, place: Path) -> None:
    """Of the queries of a first pass at most a third are still to be made into SQL."""
    cold = _compiled(open_ledger(f"sqlite:///{place}.cold"))
    rehearsal.rehearse()
    warm = _compiled(open_ledger(f"sqlite:///{place}"))
    assert warm <= cold / 3, f"{warm} of {cold}"


def test_a_rehearsal_says_nothing(
    place: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The failures that a rehearsal plays are nobody's concern."""
    rehearsal.rehearse()
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


def _compiled(ledger: Ledger) -> int:
    """How many statements a first pass makes into SQL."""
    made = 0

    @event.listens_for(Engine, "before_cursor_execute")
    def count(
        _c: object, _cursor: object, _sql: str, _p: object, context: object, _m: bool
    ) -> None:
        nonlocal made
        hit = getattr(getattr(context, "cache_hit", None), "name", "")
        made += hit == "CACHE_MISS"

    try:
        with open_run(load_integration("default"), ledger) as run:
            sync(run, "salesforce")
    finally:
        event.remove(Engine, "before_cursor_execute", count)
        ledger.close()
    return made
