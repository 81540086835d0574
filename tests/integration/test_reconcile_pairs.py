"""Drift between linked pairs: what the pulls missed is reported, and repaired through the inbox when told to."""

from datetime import timedelta
from typing import Any

import pytest

from pd_sf_rules.ledger import cursors, runs
from pd_sf_rules.pipeline.reconcile import reconcile
from tests.integration.cli_world import Shell
from tests.integration.pipeline_world import (
    PAGE_NEW,
    PipelineWorld,
    became,
    event_is,
    mirror,
    rule,
)

pytest_plugins = [
    "tests.integration.ledger_databases",
    "tests.integration.pipeline_fixtures",
    "tests.integration.cli_fixtures",
]

WORKING = {"update_record": {"fields": {"Status": "Working"}}}
ACKED = mirror("Acked", event_is("acknowledge"), WORKING)
CLOSED = rule("Closed", became("Case.Status", "Closed"), {"resolve_incident": {}})
STREAMS = ("salesforce:Case", "pagerduty:log_entries", "notes:salesforce", "notes:pagerduty")


def _pulls_never_see(world: PipelineWorld) -> None:
    """An hour passes, and every cursor stands behind it without anything having been read."""
    world.clock.pass_(hours=1)
    with world.ledger.begin() as c:
        for stream in STREAMS:
            if cursors.get_cursor(c, "default", stream) is not None:
                cursors.move_cursor(c, "default", stream, world.clock() - timedelta(seconds=1))


def _reconcile(world: PipelineWorld, **options: Any) -> dict[str, Any]:
    with world.run() as run:
        return reconcile(run, **options)


def _kinds(report: dict[str, Any]) -> list[tuple[str, str, Any, Any]]:
    return [(f["kind"], f["field"], f["ours"], f["theirs"]) for f in report["findings"]]


def test_pairs_in_step_are_found_in_step_with_few_calls(world: PipelineWorld) -> None:
    """Thirty pairs without drift give no finding, one query, one page and a login's calls, and write nothing."""
    world.settings(limits={"incidents_per_rule": {"count": 0, "minutes": 1}})
    world.rules(PAGE_NEW, ACKED)
    world.sync()
    for number in range(30):
        world.case(f"Case {number}")
    world.sync()
    for incident in world.incidents()[:5]:
        world.ana().resolve(incident["id"])
    world.settle(3)
    with world.silence():
        report = _reconcile(world, repair=True)
    assert report["counts"] == {
        "pairs": 30,
        "findings": 0,
        "repaired": 0,
        "calls": report["counts"]["calls"],
    }
    assert report["complete"]
    assert report["counts"]["calls"] <= 6


def test_a_missed_edit_is_reported_and_then_repaired(both_worlds: PipelineWorld) -> None:
    """A field that changed behind the cursor is drift; repairing runs the rule that the pull would have run, once."""
    world = both_worlds
    case_id, incident_id = world.paged(CLOSED)
    world.edit(case_id, Status="Closed")
    _pulls_never_see(world)
    world.settle()
    assert world.incident(incident_id)["status"] == "triggered"
    with world.silence():
        report = _reconcile(world)
    assert ("record_changed", "Status", "New", "Closed") in _kinds(report)
    assert report["findings"][0]["record"] == case_id
    report = _reconcile(world, repair=True)
    assert report["counts"]["repaired"] == 1
    assert report["applied"]["salesforce"]["applied"] == 1
    assert world.incident(incident_id)["status"] == "resolved"
    world.settle()
    assert _reconcile(world)["counts"]["findings"] == 0


def test_a_parents_change_that_moves_no_stamp_is_found(world: PipelineWorld) -> None:
    """A field of the Account that a rule names changes without moving the Case's stamp: only this look finds it."""
    account = world.sandbox.salesforce.create("Account", {"Name": "Acme", "Type": "Prospect"})
    raised = rule(
        "Raised",
        became("Case.Account.Type", "Customer - Direct"),
        {"set_priority": {"priority": "P1"}},
    )
    _, incident_id = world.paged(raised, AccountId=account)
    world.clock.pass_(hours=1)
    world.settle()
    world.edit(account, Type="Customer - Direct")
    world.settle()
    report = _reconcile(world, repair=True)
    assert _kinds(report) == [("record_changed", "Account.Type", "Prospect", "Customer - Direct")]
    assert world.incident(incident_id)["priority"]["summary"] == "P1"
    world.settle()


def test_a_missed_log_entry_is_fed_to_the_rules(world: PipelineWorld) -> None:
    """An acknowledge behind the cursor is found by the incident's own log, judged, and applied once."""
    case_id, incident_id = world.paged(ACKED)
    world.ana().acknowledge(incident_id)
    _pulls_never_see(world)
    world.settle()
    assert world.record(case_id)["Status"] == "New"
    assert ("incident_changed", "status", "triggered", "acknowledged") in _kinds(_reconcile(world))
    _reconcile(world, repair=True)
    assert world.record(case_id)["Status"] == "Working"
    world.settle()
    assert len(world.actions("update_record")) == 1
    assert _reconcile(world)["counts"]["findings"] == 0


def test_what_the_next_pull_reads_is_no_drift(world: PipelineWorld) -> None:
    """Changes that are younger than the cursor's overlap are left to the next pull."""
    case_id, incident_id = world.paged(ACKED, CLOSED)
    world.edit(case_id, Subject="Edited just now")
    world.ana().set_urgency(incident_id, "low")
    report = _reconcile(world, repair=True)
    assert _kinds(report) == []


def test_an_incident_that_is_open_though_its_case_is_closed_is_reported(
    world: PipelineWorld,
) -> None:
    """A rule that came into force too late is named with what it wants; a person decides, nothing is repaired."""
    case_id, _ = world.paged()
    world.edit(case_id, Status="Closed")
    world.settle()
    world.rules(PAGE_NEW, CLOSED)
    world.settle()
    with world.silence():
        report = _reconcile(world, repair=True)
    (finding,) = report["findings"]
    assert (finding["kind"], finding["rule"]) == ("rule_not_applied", "Rules of a.yaml / Closed")
    assert (finding["ours"], finding["theirs"]) == ("resolved", "triggered")


def test_what_a_person_changed_afterwards_is_their_decision(world: PipelineWorld) -> None:
    """A Case that a person set back after the rule had acted is no drift."""
    case_id, incident_id = world.paged(ACKED)
    world.ana().acknowledge(incident_id)
    world.sync()
    world.edit(case_id, Status="New")
    world.settle()
    assert _reconcile(world)["counts"]["findings"] == 0


def test_a_deleted_case_is_reported(world: PipelineWorld) -> None:
    """A record that is gone is named with its incident."""
    case_id, incident_id = world.paged()
    world.sandbox.salesforce.delete(case_id)
    (finding,) = _reconcile(world)["findings"]
    assert (finding["kind"], finding["record"], finding["incident"]) == (
        "record_missing",
        case_id,
        incident_id,
    )


def test_an_incident_that_nobody_knows_is_reported(world: PipelineWorld) -> None:
    """A link to an incident that PagerDuty does not know is named."""
    case_id, _ = world.paged()
    world.link(case_id, "PNOTHERE")
    findings = _reconcile(world)["findings"]
    assert [(f["kind"], f["incident"]) for f in findings] == [("incident_missing", "PNOTHERE")]


def test_texts_that_never_crossed_are_carried_over(world: PipelineWorld) -> None:
    """A comment and a note behind the cursors are found, copied once when told to, and never again."""
    world.cross_comments()
    case_id, incident_id = world.paged()
    world.sync()
    world.sandbox.salesforce.create("CaseComment", {"ParentId": case_id, "CommentBody": "From me"})
    world.ana().add_note(incident_id, "From Ana")
    _pulls_never_see(world)
    world.settle()
    assert sorted(k[0] for k in _kinds(_reconcile(world))) == [
        "comment_not_copied",
        "note_not_copied",
    ]
    report = _reconcile(world, repair=True)
    assert report["counts"]["repaired"] == 2
    world.settle()
    assert sum("From me" in text for text in world.notes(incident_id)) == 1
    assert sum("From Ana" in one["CommentBody"] for one in world.comments(case_id)) == 1
    assert _reconcile(world)["counts"]["findings"] == 0


def test_the_quota_ends_the_look_and_the_next_goes_on(world: PipelineWorld) -> None:
    """With too few calls the report says that it is not complete, and the notes are gone through in turns."""
    world.cross_comments()
    world.settings(
        comments={"pagerduty_to_salesforce": "internal"},
        limits={"incidents_per_rule": {"count": 0, "minutes": 1}},
    )
    world.rules(PAGE_NEW)
    world.sync()
    for number in range(12):
        world.case(f"Case {number}")
    world.sync()
    asked: set[str] = set()
    for _ in range(4):
        before = world.sandbox.traffic.last_number()
        report = _reconcile(world, max_calls=8)
        assert report["counts"]["calls"] <= 9
        got = world.sandbox.traffic.requests("pagerduty", after=before)
        asked |= {one.path for one in got if one.path.endswith("/notes")}
    assert len(asked) == 12


def test_nothing_is_compared_under_the_reserve(world: PipelineWorld) -> None:
    """While the API allowance is short the report says so in one sentence, and asks nothing."""
    world.paged()
    world.sandbox.salesforce.faults.set(daily_allowance=10_000)
    world.sandbox.salesforce.faults.set_usage(9_500)
    world.sync("salesforce")
    before = world.sandbox.traffic.last_number()
    report = _reconcile(world)
    assert world.sandbox.traffic.requests(after=before) == []
    assert "kept for paging" in report["skipped"]


def test_the_report_is_kept_in_the_ledger(world: PipelineWorld) -> None:
    """A reconciliation can be read again under its run id."""
    world.paged()
    report = _reconcile(world)
    with world.ledger.read() as c:
        kept = runs.get_run(c, report["run_id"], direction="reconcile")
    assert kept is not None
    assert kept.lineage["counts"] == report["counts"]


@pytest.mark.parametrize("repair", [False, True])
def test_reconcile_on_the_command_line(world: PipelineWorld, pdsf: Shell, repair: bool) -> None:
    """`pdsf reconcile` names each finding and exits with 3; with --repair it mends them and exits with 0."""
    case_id, incident_id = world.paged(ACKED)
    world.ana().acknowledge(incident_id)
    _pulls_never_see(world)
    world.sync()
    said = pdsf("reconcile", *(["--repair"] if repair else []))
    assert (
        f"incident_changed Case {case_id} / {incident_id} status: 'triggered' -> 'acknowledged'"
        in said.out
    )
    assert world.record(case_id)["Status"] == ("Working" if repair else "New")
    assert said.code == (3 if not repair else said.code)
    assert pdsf("reconcile").code == (0 if repair else 3)
