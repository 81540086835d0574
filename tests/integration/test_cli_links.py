"""`pdsf links`: shown, made by hand, and found again after the ledger was lost."""

from pathlib import Path

import pytest

from tests.integration.cli_world import CRITICAL, Shell

pytest_plugins = [
    "tests.integration.ledger_databases",
    "tests.integration.pipeline_fixtures",
    "tests.integration.cli_fixtures",
]


def test_links_are_listed(pdsf: Shell) -> None:
    """Every link in force, with what made it."""
    assert pdsf("links").out == "No links.\n"
    case_id, incident_id = pdsf.escalated()
    (link,) = pdsf("links", "--json").json["links"]
    assert (link["object"], link["record"], link["incident"]) == ("Case", case_id, incident_id)
    assert link["ruleset"] == "Critical cases"
    assert case_id in pdsf("links").out


def test_a_link_by_hand_works_like_any_other(pdsf: Shell) -> None:
    """A person links a Case and an incident of theirs; the mirror rule then writes to the Case."""
    pdsf.rules()
    pdsf.world.sync()
    case_id = pdsf.world.case(Priority="Low")
    incident_id = pdsf.world.ana().create_incident("Support P1", "Seen by phone")["id"]
    pdsf.world.sync()
    said = pdsf("links", "add", case_id[:15], incident_id)
    assert (said.code, said.out) == (0, f"Case {case_id} and incident {incident_id}: linked.\n")
    assert "linked already" in pdsf("links", "add", case_id, incident_id).out
    pdsf.world.ana().acknowledge(incident_id)
    pdsf.world.sync()
    assert pdsf.world.record(case_id)["Status"] == "Working"


def test_a_removed_link_is_gone_but_remembered(pdsf: Shell) -> None:
    """After `remove` the pair is not listed any more, except in the record's own history."""
    case_id, incident_id = pdsf.escalated()
    assert pdsf("links", "remove", case_id, incident_id).code == 0
    assert pdsf("links", "--json").json["links"] == []
    (link,) = pdsf("links", "--record", case_id, "--json").json["links"]
    assert link["removed_at"] is not None
    said = pdsf("links", "remove", case_id, incident_id)
    assert said.code == 1
    assert "are not linked" in said.err


def test_what_does_not_exist_is_not_linked(pdsf: Shell) -> None:
    """A record or incident that nobody has is refused by name, and nothing is written."""
    case_id, incident_id = pdsf.escalated()
    nobody = pdsf("links", "add", "--record", case_id, "--incident", "QNOBODY")
    assert (nobody.code, "PagerDuty has no incident QNOBODY" in nobody.err) == (1, True)
    missing = pdsf("links", "add", "500SB9999999999", incident_id)
    assert (missing.code, "Salesforce shows no Case" in missing.err) == (1, True)
    strange = pdsf("links", "add", "zzz000000000001", incident_id)
    assert (strange.code, "--object" in strange.err) == (1, True)
    assert pdsf("links", "add", "short", incident_id).code == 1
    assert len(pdsf("links", "--json").json["links"]) == 1


@pytest.mark.parametrize("words", [("add",), ("add", "only-one"), ("rebuild", "x"), ("explode",)])
def test_wrong_words_are_wrong_usage(pdsf: Shell, words: tuple[str, ...]) -> None:
    """Too few or too many ids, or an unknown verb, exit 2."""
    assert pdsf("links", *words).code == 2


def _lose_the_ledger(pdsf: Shell) -> None:
    pdsf.world.close()
    path = Path(pdsf.world.ledger_url.removeprefix("sqlite:///"))
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        name.unlink(missing_ok=True)
    pdsf.world.forget_ledger()


def test_links_are_found_again_by_incident_keys(pdsf: Shell) -> None:
    """After the ledger was lost, open incidents of ours tell their records; dry run first, then once."""
    case_id, incident_id = pdsf.escalated()
    pdsf.world.ana().create_incident("Support P1", "Nobody's record")
    _lose_the_ledger(pdsf)
    with pdsf.world.silence():
        dry = pdsf("links", "rebuild", "--dry-run", "--json").json
        assert [(f["record"], f["incident"], f["found_by"]) for f in dry["found"]] == [
            (case_id, incident_id, "incident key")
        ]
        assert (dry["added"], pdsf("links", "--json").json["links"]) == (0, [])
        assert pdsf("links", "rebuild").out.endswith("1 added.\n")
        assert pdsf("links", "rebuild", "--json").json["added"] == 0
    assert pdsf.world.links_of(case_id)[0].incident_id == incident_id


def test_a_rebuilt_ledger_pages_nobody_twice(pdsf: Shell) -> None:
    """With its links found again, a sync over the same changes creates no second incident."""
    case_id, _ = pdsf.escalated()
    _lose_the_ledger(pdsf)
    pdsf("links", "rebuild")
    pdsf.world.sync()
    pdsf.world.edit(case_id, Status="New")
    pdsf.world.sync()
    pdsf.world.edit(case_id, Status="Escalated")
    pdsf.world.sync()
    assert len(pdsf.world.incidents()) == 1


FROM_INCIDENT = """\
version: 1
name: Cases for incidents
enabled: true
rules:
  - name: Open a case
    object: Case
    run_on: pagerduty
    when: { field: event.type, operation: equals, value: trigger }
    actions:
      - create_record:
          fields:
            Subject: "{{ incident.title }}"
            PagerDuty_Incident_URL__c: "{{ incident.html_url }}"
"""


def test_links_are_found_again_by_record_fields(pdsf: Shell) -> None:
    """A record that a rule wrote the incident's address into tells its pair."""
    pdsf.rules(FROM_INCIDENT)
    pdsf.world.sync()
    incident_id = pdsf.world.ana().create_incident("Support P1", "Mail is down")["id"]
    pdsf.world.sync()
    (case,) = pdsf.world.cases()
    _lose_the_ledger(pdsf)
    (found,) = pdsf("links", "rebuild", "--json").json["found"]
    assert (found["record"], found["incident"]) == (case["Id"], incident_id)
    assert found["found_by"] == "Case.PagerDuty_Incident_URL__c"


def test_resolved_incidents_are_left_out(pdsf: Shell) -> None:
    """Nothing happens to a resolved pair any more: rebuilding does not bring it back."""
    _, incident_id = pdsf.escalated()
    pdsf.world.ana().resolve(incident_id)
    _lose_the_ledger(pdsf)
    assert pdsf("links", "rebuild", "--json").json["found"] == []


def test_rebuild_keeps_what_is_known(pdsf: Shell) -> None:
    """A ledger that has the links already is left as it is."""
    pdsf.escalated()
    rows = pdsf.lines()
    assert pdsf("links", "rebuild", "--json").json["found"][0]["known"] is True
    assert pdsf.lines() == rows
    assert CRITICAL in pdsf.world.home.joinpath("rulesets", "critical.yaml").read_text()
