"""`pdsf status` and `pdsf ledger`: how the sync is, told without changing anything."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.cli_world import CRITICAL, Shell

pytest_plugins = [
    "tests.integration.ledger_databases",
    "tests.integration.pipeline_fixtures",
    "tests.integration.cli_fixtures",
]


def test_status_of_a_healthy_sync(pdsf: Shell) -> None:
    """Both connections answer, streams and runs are told, the ruleset is in force, the exit code is 0."""
    pdsf.escalated()
    rows = pdsf.lines()
    with pdsf.world.silence():
        said = pdsf("status", "--json")
    assert said.code == 0, said.out
    told = said.json
    assert (told["ok"], told["problems"]) == (True, [])
    (one,) = told["integrations"]
    assert [c["ok"] for c in one["connections"]] == [True, True]
    assert one["connections"][0]["usage"]["allowed"] > 0
    streams = {s["stream"] for s in one["streams"]}
    assert {"salesforce:Case", "pagerduty:log_entries"} <= streams
    assert one["queue"]["failed"] == 0
    assert one["runs"]
    assert [(r["name"], r["state"]) for r in told["rulesets"]] == [("Critical cases", "in force")]
    assert pdsf.lines() == rows


def test_status_reads_well(pdsf: Shell) -> None:
    """People see a sentence for each connection, lag, queue and ruleset."""
    pdsf.escalated()
    out = pdsf("status").out
    assert "ok     salesforce_default" in out
    assert "writes are made as salesforce-sync@acme.example." in out
    assert "queue: empty" in out
    assert "Critical cases  in force" in out


def test_a_refused_key_is_one_sentence(pdsf: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken connection is told with what to mend and without its secret; the other is still tried."""
    pdsf.escalated()
    spec = json.loads(pdsf.world.sandbox.connections["AIRFLOW_CONN_PAGERDUTY_DEFAULT"])
    spec["password"] = "a-secret-that-is-wrong"
    monkeypatch.setenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT", json.dumps(spec))
    said = pdsf("status", "--json")
    assert said.code == 3
    connections = said.json["integrations"][0]["connections"]
    assert [c["ok"] for c in connections] == [True, False]
    assert "pagerduty_default" in connections[1]["said"]
    assert "a-secret-that-is-wrong" not in said.out + said.err


def test_a_broken_ruleset_is_told(pdsf: Shell) -> None:
    """A broken file is named with its line, and that its last good version stays in force."""
    pdsf.escalated()
    pdsf.rules(CRITICAL.replace("changed_to", "chnged_to"))
    pdsf.rules("rules: 7", "never_good.yaml")
    pdsf.rules(
        CRITICAL.replace("Critical cases", "Off").replace("enabled: true", "enabled: false"),
        "off.yaml",
    )
    said = pdsf("status", "--json")
    assert said.code == 3
    states = {Path(r["path"]).name: r["state"] for r in said.json["rulesets"]}
    assert states == {
        "critical.yaml": "last good version in force",
        "never_good.yaml": "not in force",
        "off.yaml": "off",
    }
    assert any("line 11" in problem for problem in said.json["problems"])


def test_failed_actions_are_a_problem(pdsf: Shell) -> None:
    """Something failed for good: status says how many, and where to look."""
    pdsf.rules()
    pdsf.world.sync()
    case_id = pdsf.world.case(Priority="Low")
    pdsf.world.sync()
    pdsf.world.fault("answer", "pagerduty", "POST", "^/incidents$", times=None, status=400, body={})
    pdsf.world.edit(case_id, Priority="High", Status="Escalated")
    pdsf.world.sync()
    said = pdsf("status")
    assert said.code == 3
    assert "default: 1 action(s) failed for good. `pdsf errors` tells why." in said.out


def test_doctor_looks_deeper(pdsf: Shell) -> None:
    """A rule that names a service PagerDuty does not have is found, with file and line."""
    pdsf.escalated()
    pdsf.rules(CRITICAL.replace("Support P1", "Support P9"))
    with pdsf.world.silence():
        said = pdsf("status", "--doctor", "--json")
    assert said.code == 3
    by_name = {c["name"]: c for c in said.json["checks"]}
    assert by_name["ledger"]["ok"] is True
    rules = by_name["rules against the accounts"]
    assert rules["ok"] is False
    assert "critical.yaml:14:" in rules["said"]
    assert "'Support P9'" in rules["said"]


def test_doctor_notices_silence(pdsf: Shell) -> None:
    """A stream that nobody reads, and clocks that are apart, do not hold."""
    pdsf.escalated()
    pdsf.world.clock.ahead = timedelta(hours=-2)
    said = pdsf("status", "--doctor", "--json")
    broken = {c["name"] for c in said.json["checks"] if not c["ok"]}
    assert {"default: pagerduty clock", "default: lag"} <= broken


def test_pauses_are_told(pdsf: Shell) -> None:
    """What a person paused, and why, is seen where people look first; it is no problem by itself."""
    pdsf.escalated()
    pdsf("pause", "--ruleset", "Critical cases", "--why", "data load")
    said = pdsf("status", "--json")
    assert said.code == 0
    (one,) = said.json["integrations"][0]["pauses"]
    assert (one["ruleset"], one["why"]) == ("Critical cases", "data load")
    assert "data load" in pdsf("status").out


def test_status_before_the_first_run(pdsf: Shell) -> None:
    """Without rules and runs there is nothing wrong."""
    said = pdsf("status")
    assert said.code == 0
    assert "no run yet" in said.out


def test_status_of_an_unknown_integration(pdsf: Shell) -> None:
    """A wrong name is one sentence that lists the known ones."""
    said = pdsf("status", "--integration", "elsewhere")
    assert said.code == 1
    assert said.err == "pdsf: There is no integration 'elsewhere'. Known are: default.\n"


def test_ledger_upgrade_stats_and_prune(pdsf: Shell) -> None:
    """The ledger is brought up to date, counted, and pruned without forgetting what is young."""
    pdsf.escalated()
    assert pdsf("ledger", "upgrade", "--json").json["revision"]
    stats = pdsf("ledger", "stats", "--json").json
    assert stats["rows"]["links"] == 1
    assert "links" in pdsf("ledger", "stats").out
    removed = pdsf("ledger", "prune", "--days", "30", "--json").json["removed"]
    assert set(removed.values()) == {0}
    assert "Forgotten of what is older than" in pdsf("ledger", "prune").out
    assert pdsf("ledger", "prune", "--days", "-3").code == 2
    assert pdsf("ledger").code == 2


def test_a_ledger_that_cannot_be_opened(pdsf: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong ledger URL exits 1 with one sentence, for every command that needs it."""
    monkeypatch.setenv("PDSF_LEDGER_URL", "mysql://nobody:secret@nowhere/x")
    for command in (["status"], ["errors"], ["links"], ["ledger", "stats"], ["sync"]):
        said = pdsf(*command)
        assert said.code == 1, command
        assert "secret" not in said.err
        assert len(said.err.splitlines()) == 1


def test_a_broken_integration_file_stops_no_other(pdsf: Shell) -> None:
    """The others are told as ever; the broken one is a problem, named with its file."""
    pdsf.escalated()
    pdsf.world.settings()
    (pdsf.world.home / "integrations" / "eu.yaml").write_text("name: eu\npol_seconds: 3\n")
    said = pdsf("status", "--json")
    assert said.code == 3
    assert [one["name"] for one in said.json["integrations"]] == ["default"]
    (problem,) = said.json["problems"]
    assert "eu.yaml: pol_seconds" in problem
