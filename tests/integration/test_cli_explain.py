"""`pdsf explain`: the whole story from the ledger, for people and for scripts."""

import pytest

from tests.integration.cli_world import CRITICAL, Shell

pytest_plugins = [
    "tests.integration.ledger_databases",
    "tests.integration.pipeline_fixtures",
    "tests.integration.cli_fixtures",
]


def test_explain_tells_why_a_rule_fired_and_what_was_done(pdsf: Shell) -> None:
    """Each condition with old and new value, the action with its target, attempt and times."""
    case_id, incident_id = pdsf.escalated()
    told = pdsf("explain", "--record", case_id, "--json").json
    last = [one for one in told["events"] if one["source"] == "salesforce"][-1]
    (verdict,) = last["verdicts"]
    assert verdict["matched"] is True
    status = verdict["conditions"][1]
    assert (status["old"], status["value"], status["held"]) == ("New", "Escalated", True)
    (action,) = last["actions"]
    assert (action["kind"], action["state"], action["target"]) == (
        "create_incident",
        "applied",
        incident_id,
    )
    (attempt,) = action["attempts"]
    assert (attempt["attempt"], attempt["state"]) == (1, "applied")
    assert attempt["request"]["title"].endswith("Database is down")
    assert attempt["sent_at"] <= attempt["ended_at"]
    assert {"field": "Status", "old": "New", "new": "Escalated", "known": True} in last["changes"]


def test_explain_tells_the_first_reason_a_rule_did_not_fire(pdsf: Shell) -> None:
    """The creation with a low priority is told with its verdict and no action."""
    case_id, _ = pdsf.escalated()
    told = pdsf("explain", "--record", case_id, "--json").json
    first = told["events"][0]
    assert (first["type"], first["actions"]) == ("created", [])
    (verdict,) = first["verdicts"]
    assert verdict["matched"] is False
    assert verdict["reason"].startswith("Case.Priority equals 'High' does not hold: it is 'Low'")


def test_log_level_error_keeps_little_of_what_went_well(pdsf: Shell) -> None:
    """Only rules that matched and that it was done are kept; a refused action keeps what was sent."""
    pdsf.world.settings(log={"level": "error"})
    case_id, incident_id = pdsf.escalated()
    told = pdsf("explain", "--record", case_id, "--json").json
    first, last = (one for one in told["events"] if one["source"] == "salesforce")
    assert (first["verdicts"], [one["matched"] for one in last["verdicts"]]) == ([], [True])
    (action,) = last["actions"]
    assert (action["target"], action["request"], action["attempts"][0]["request"]) == (
        incident_id,
        None,
        None,
    )
    body = {"error": {"message": "Arguments Caused Error", "errors": ["Title is cursed"]}}
    pdsf.world.fault(
        "answer", "pagerduty", "POST", "^/incidents$", times=None, status=400, body=body
    )
    other = pdsf.world.case(Priority="Low")
    pdsf.world.sync()
    pdsf.world.edit(other, Priority="High", Status="Escalated")
    pdsf.world.sync()
    told = pdsf("explain", "--record", other, "--json").json
    (failed,) = [one for event in told["events"] for one in event["actions"]]
    assert (failed["state"], failed["attempts"][0]["state"]) == ("failed", "failed")
    assert failed["attempts"][0]["request"]["title"].startswith("Case ")


def test_explain_reads_as_a_story(pdsf: Shell) -> None:
    """People read the pair, the changes, the verdicts, what was sent, and the rule as it read then."""
    case_id, incident_id = pdsf.escalated()
    said = pdsf("explain", "--record", case_id)
    assert (said.code, said.err) == (0, "")
    assert f"linked: Case {case_id} and incident {incident_id}" in said.out
    assert "  Status: 'New' -> 'Escalated'" in said.out
    assert "[x] Case.Status changed_to 'Escalated': is 'Escalated', was 'New'" in said.out
    assert "[ ] Case.Priority equals 'High': is 'Low'" in said.out
    assert f"create_incident: applied -> {incident_id}" in said.out
    assert "    - name: Page support\n      object: Case" in said.out
    assert "Mirror acknowledgement\n" not in said.out.partition("as they read then")[2]


def test_explain_finds_by_short_id_address_number_and_incident(pdsf: Shell) -> None:
    """A 15-character id, an address, a Case number and the incident's names lead to the same story."""
    case_id, incident_id = pdsf.escalated()
    number = pdsf.world.record(case_id)["CaseNumber"]
    address = f"https://acme.lightning.force.com/lightning/r/Case/{case_id}/view"
    for name in (case_id[:15], address, number):
        assert pdsf("explain", "--record", name, "--json").json["id"] == case_id
    incident = pdsf.world.incident(incident_id)
    for name in (incident_id, incident["html_url"], str(incident["incident_number"])):
        told = pdsf("explain", "--incident", name, "--json").json
        assert told["id"] == incident_id
        assert case_id in {one["record"] for one in told["events"]}


def test_explain_shows_the_rule_as_it_read_then(pdsf: Shell) -> None:
    """After the file changed, the story still shows the version that decided."""
    case_id, _ = pdsf.escalated()
    pdsf.rules(CRITICAL.replace("Escalated", "Working").replace("Page support", "Page nobody"))
    pdsf.world.sync()
    said = pdsf("explain", "--record", case_id, "--rules")
    assert "value: Escalated }" in said.out
    assert "Page nobody" not in said.out


def test_explain_tells_our_own_writes_apart(pdsf: Shell) -> None:
    """The trigger entry of our own incident is told as our write coming back, judged by no rule."""
    case_id, _ = pdsf.escalated()
    pdsf.world.sync()
    events = pdsf("explain", "--record", case_id, "--json").json["events"]
    echoes = [one for one in events if one["state"] == "echo"]
    assert echoes
    assert all(one["verdicts"] == [] for one in echoes)
    assert "our own write coming back" in pdsf("explain", "--record", case_id).out


def test_explain_tells_each_answer_of_a_failing_action(pdsf: Shell) -> None:
    """A retried action shows every attempt with the server's words."""
    pdsf.rules()
    pdsf.world.sync()
    case_id = pdsf.world.case(Priority="Low")
    pdsf.world.sync()
    pdsf.world.fault("server_error", "pagerduty", "POST", "^/incidents$", times=2, status=500)
    pdsf.world.edit(case_id, Priority="High", Status="Escalated")
    for _ in range(3):
        pdsf.world.sync()
    events = pdsf("explain", "--record", case_id, "--json").json["events"]
    (action,) = [a for one in events for a in one["actions"]]
    assert [one["state"] for one in action["attempts"]] == ["pending", "pending", "applied"]
    assert all(one["message"] for one in action["attempts"][:2])


def test_explain_one_event(pdsf: Shell) -> None:
    """An event is explained by its own id alone."""
    case_id, _ = pdsf.escalated()
    event_id = pdsf("explain", "--record", case_id, "--json").json["events"][0]["id"]
    told = pdsf("explain", "--event", event_id, "--json").json
    assert [one["id"] for one in told["events"]] == [event_id]


def test_explain_works_when_both_services_are_down(
    pdsf: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the ledger is asked: no connection is needed and no request is made."""
    case_id, _ = pdsf.escalated()
    for name in ("SALESFORCE", "PAGERDUTY"):
        monkeypatch.delenv(f"AIRFLOW_CONN_{name}_DEFAULT")
    before = pdsf.world.sandbox.traffic.last_number()
    assert pdsf("explain", "--record", case_id).code == 0
    assert pdsf.world.sandbox.traffic.last_number() == before


@pytest.mark.parametrize(
    "option",
    [("--record", "500000000000001AAA"), ("--incident", "QNOBODY"), ("--event", "x"),
     ("--record", "99999999")],
)  # fmt: skip
def test_explain_of_what_nobody_knows(pdsf: Shell, option: tuple[str, str]) -> None:
    """What the ledger never saw is one sentence on stderr and exit code 1."""
    pdsf.rules()
    pdsf.world.sync()
    said = pdsf("explain", *option)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("pdsf: The ledger ")
    assert len(said.err.splitlines()) == 1


def test_explain_of_a_quiet_record(pdsf: Shell) -> None:
    """A record of the baseline is known, and the story says that nothing happened to it."""
    pdsf.rules()
    case_id = pdsf.world.case()
    pdsf.world.sync()
    said = pdsf("explain", "--record", case_id)
    assert said.code == 0
    assert "nothing happened since that rules judge" in said.out


def test_text_of_strangers_cannot_steer_the_terminal(pdsf: Shell) -> None:
    """Control characters of a subject are shown as replacement characters."""
    case_id, _ = pdsf.escalated(Subject="\x1b[31mred\x07")
    said = pdsf("explain", "--record", case_id)
    assert "\x1b" not in said.out
    assert "\x07" not in said.out


def test_explain_wants_exactly_one_name(pdsf: Shell) -> None:
    """No name, or two, is wrong usage."""
    assert pdsf("explain").code == 2
    assert pdsf("explain", "--record", "a", "--event", "b").code == 2
