"""The commands that read the ledger tell the same from SQLite and from PostgreSQL."""

import pytest

from tests.integration.cli_world import CRITICAL, Shell
from tests.integration.pipeline_world import PipelineWorld

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]


def test_the_same_from_either_database(
    both_worlds: PipelineWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """Explain, simulate, links, errors, status, replay and ledger work on the database that is configured."""
    pdsf = Shell(both_worlds, capsys)
    case_id, incident_id = pdsf.escalated()
    number = pdsf.world.record(case_id)["CaseNumber"]
    story = pdsf("explain", "--record", number, "--json").json
    assert [a["target"] for e in story["events"] for a in e["actions"]] == [incident_id]
    draft = pdsf.world.home / "draft.yaml"
    draft.write_text(CRITICAL.replace("priority: P1", "priority: P2"))
    told = pdsf("simulate", "--ruleset", str(draft), "--since", "1d", "--json").json
    assert (told["counts"]["changed"], told["counts"]["same"]) == (1, 0)
    assert pdsf("links", "rebuild", "--json").json["found"][0]["known"] is True
    assert pdsf("errors", "--json").json["failed"] == 0
    assert (
        pdsf("replay", "--since", "1d", "--reevaluate", "--dry-run", "--json").json["actions"] == []
    )
    assert pdsf("status", "--json").json["ok"] is True
    assert pdsf("ledger", "stats", "--json").json["rows"]["attempts"] == 1
    assert pdsf("ledger", "prune", "--json").code == 0
