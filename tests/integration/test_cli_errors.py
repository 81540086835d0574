"""`pdsf errors` and `pdsf replay`: what failed is seen, mended and done once more."""

import io
import sys
from datetime import UTC, datetime

import pytest

from pd_sf_rules.ledger import maintenance
from tests.integration.cli_world import CRITICAL, Shell

pytest_plugins = [
    "tests.integration.ledger_databases",
    "tests.integration.pipeline_fixtures",
    "tests.integration.cli_fixtures",
]

LINKED_LOW = """\
name: Linked
enabled: true
rules:
  - name: Note
    object: Case
    run_on: salesforce
    when: { field: incident.status, operation: is_not_blank }
    actions: [{ add_note: { content: Seen } }]
  - name: Never
    object: Case
    run_on: salesforce
    when: { field: Case.Priority, operation: equals, value: Nobody }
    actions: [{ add_note: { content: Never } }]
"""

REFUSED = {"error": {"message": "Arguments Caused Error", "errors": ["Title is cursed"]}}


def _refused(pdsf: Shell, cases: int = 1) -> list[str]:
    """Cases whose incidents PagerDuty refuses for good; their ids."""
    pdsf.rules()
    pdsf.world.sync()
    ids = [pdsf.world.case(Priority="Low") for _ in range(cases)]
    pdsf.world.sync()
    fault = pdsf.world.fault(
        "answer", "pagerduty", "POST", "^/incidents$", times=None, status=400, body=REFUSED
    )
    for case_id in ids:
        pdsf.world.edit(case_id, Priority="High", Status="Escalated")
    pdsf.world.sync()
    pdsf.world.sandbox.faults.remove(fault)
    return ids


def test_nothing_wrong_is_said(pdsf: Shell) -> None:
    """Without errors the exit code is 0."""
    pdsf.escalated()
    said = pdsf("errors")
    assert (said.code, said.out) == (0, "Nothing failed, and nothing waits for another try.\n")


def test_failed_actions_are_grouped_by_cause(pdsf: Shell) -> None:
    """Three Cases refused in the same words are one cause with the server's words and a fix; the exit code is 3."""
    ids = _refused(pdsf, 3)
    said = pdsf("errors", "--json")
    assert said.code == 3
    assert (said.json["failed"], said.json["waiting"]) == (3, 0)
    (cause,) = said.json["errors"]
    assert "Title is cursed" in cause["message"]
    assert (cause["action"], cause["rule"], cause["count"]) == (
        "create_incident",
        "Page support",
        3,
    )
    assert {one["record"] for one in cause["actions"]} == set(ids)
    human = pdsf("errors").out
    assert "3 failed, 0 waiting" in human
    assert "fix: Mend the rule or the record" in human


def test_waiting_actions_tell_their_next_try(pdsf: Shell) -> None:
    """A transient error is no failure: it is listed with the time of its next try, and the exit code is 0."""
    pdsf.rules()
    pdsf.world.sync()
    case_id = pdsf.world.case(Priority="Low")
    pdsf.world.sync()
    limited = {"times": None, "reset_seconds": 300}
    pdsf.world.fault("rate_limited", "pagerduty", "POST", "^/incidents$", **limited)
    pdsf.world.edit(case_id, Priority="High", Status="Escalated")
    pdsf.world.sync("salesforce")
    said = pdsf("errors", "--json")
    assert said.code == 0
    (cause,) = said.json["errors"]
    assert (cause["error_kind"], cause["failed"]) == ("rate_limited", 0)
    assert datetime.fromisoformat(cause["next_try"]) > datetime.now(UTC)


def test_replay_of_everything_failed(pdsf: Shell) -> None:
    """`--failed` in a script does it at once: an incident for each Case, once, and no error left."""
    ids = _refused(pdsf, 2)
    said = pdsf("replay", "--failed", "--json")
    assert said.code == 0
    assert sum(run["counts"]["applied"] for run in said.json["runs"]) == 2
    assert all(len(pdsf.world.links_of(case_id)) == 1 for case_id in ids)
    assert pdsf("errors").code == 0
    with pdsf.world.silence():
        assert pdsf("replay", "--failed").out == "Nothing to do.\n"


def test_a_dry_run_changes_nothing(pdsf: Shell) -> None:
    """`--dry-run` lists the actions; no write leaves and no row changes."""
    _refused(pdsf)
    rows = pdsf.lines()
    with pdsf.world.silence():
        said = pdsf("replay", "--failed", "--dry-run", "--json")
    assert said.code == 0
    assert said.json["dry_run"] is True
    assert [one["kind"] for one in said.json["actions"]] == ["create_incident"]
    assert pdsf.lines() == rows


@pytest.mark.parametrize(("answer", "incidents"), [("n\n", 0), ("y\n", 1)])
def test_a_person_is_asked(
    pdsf: Shell, monkeypatch: pytest.MonkeyPatch, answer: str, incidents: int
) -> None:
    """At a terminal the plan is shown first, and only a yes does it."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    _refused(pdsf)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    said = pdsf("replay", "--failed")
    assert "create_incident" in said.out
    assert "Replay 1 action(s)? [y/N]" in said.err
    assert len(pdsf.world.incidents()) == incidents


def test_replay_of_one_action_and_of_one_record(pdsf: Shell) -> None:
    """Only the action or record named is tried again."""
    first, second = _refused(pdsf, 2)
    by_record = {
        one["record"]: one["id"] for one in pdsf("errors", "--json").json["errors"][0]["actions"]
    }
    assert pdsf("replay", "--action", by_record[first]).code == 0
    assert len(pdsf.world.links_of(first)) == 1
    assert pdsf.world.links_of(second) == []
    assert pdsf("replay", "--record", second[:15]).code == 0
    assert len(pdsf.world.links_of(second)) == 1


def test_what_is_done_is_not_replayed(pdsf: Shell) -> None:
    """An applied or unknown action is refused with one sentence and exit code 1."""
    pdsf.escalated()
    done = pdsf.world.action("create_incident")
    with pdsf.world.silence():
        said = pdsf("replay", "--action", done.id)
        assert (said.code, said.out) == (1, "")
        assert f"Action {done.id} is applied." in said.err
        assert pdsf("replay", "--action", "nothing").code == 1


def test_replay_that_fails_again_exits_3(pdsf: Shell) -> None:
    """When the server still refuses, the exit code says so."""
    _refused(pdsf)
    pdsf.world.fault(
        "answer", "pagerduty", "POST", "^/incidents$", times=None, status=400, body=REFUSED
    )
    assert pdsf("replay", "--failed").code == 3


def test_discarding_lets_the_rest_go_on(pdsf: Shell) -> None:
    """A discarded action is skipped for good, and what waited behind it in its rule is done."""
    text = CRITICAL.replace(
        "          priority: P1\n",
        "          priority: P1\n      - update_record: { fields: { Description: paged } }\n",
        1,
    )
    pdsf.rules(text)
    pdsf.world.sync()
    case_id = pdsf.world.case(Priority="Low")
    pdsf.world.sync()
    pdsf.world.fault(
        "answer", "pagerduty", "POST", "^/incidents$", times=None, status=400, body=REFUSED
    )
    pdsf.world.edit(case_id, Priority="High", Status="Escalated")
    pdsf.world.sync()
    (cause,) = pdsf("errors", "--json").json["errors"]
    assert cause["waiting_behind"] == 1
    said = pdsf("errors", "--discard", cause["actions"][0]["id"])
    assert (said.code, said.out) == (0, "1 discarded.\n")
    pdsf.world.sync()
    assert pdsf.world.record(case_id)["Description"] == "paged"
    assert pdsf("errors", "--discard", "nothing").code == 1


def test_replay_of_a_window_reads_what_was_missed(pdsf: Shell) -> None:
    """A change that the cursor passed by is found by its window, dry run first, and done once."""
    pdsf.rules()
    pdsf.world.settings(start_from="now")
    pdsf.world.sync()
    before = pdsf.world.clock()
    case_id = pdsf.world.case(Priority="High", Status="New")
    missed = CRITICAL.replace("operation: changed_to, value: Escalated", "operation: is_not_blank")
    pdsf.rules(missed)
    window = ("--since", before.replace(microsecond=0).isoformat())
    with pdsf.world.silence():
        dry = pdsf("replay", *window, "--dry-run", "--json").json
    assert [run["counts"]["matched"] for run in dry["runs"]] == [1, 0]
    assert dry["runs"][0]["actions"][0]["outcome"] == "planned"
    assert pdsf.world.links_of(case_id) == []
    said = pdsf("replay", *window, "--json")
    assert said.code == 0
    assert said.json["runs"][0]["counts"]["applied"] == 1
    assert len(pdsf.world.links_of(case_id)) == 1
    with pdsf.world.silence():
        assert pdsf("replay", *window).code == 0
        pdsf.world.sync()


def test_recorded_events_under_changed_rules(pdsf: Shell) -> None:
    """`--reevaluate` does only what was never planned, keeps the old verdicts, and does it once."""
    pdsf.rules()
    pdsf.world.sync()
    case_id = pdsf.world.case(Priority="Low")
    pdsf.world.sync()
    pdsf.rules(
        CRITICAL.replace("High", "Low").replace("changed_to, value: Escalated", "is_not_blank")
    )
    with pdsf.world.silence():
        pdsf.world.sync()
        dry = pdsf("replay", "--since", "1d", "--reevaluate", "--dry-run", "--json").json
    assert [one["kind"] for one in dry["actions"]] == ["create_incident"]
    assert pdsf("replay", "--record", case_id, "--reevaluate").code == 0
    assert len(pdsf.world.links_of(case_id)) == 1
    (event,) = [
        e
        for e in pdsf("explain", "--record", case_id, "--json").json["events"]
        if e["verdicts"] and e["source"] == "salesforce"
    ]
    assert [one["matched"] for one in event["verdicts"]] == [False, True]
    told = pdsf("explain", "--event", event["id"]).out
    assert (
        told.index(") did not match:")
        < told.index(") matched:")
        < told.index("create_incident: applied")
    )
    with pdsf.world.silence():
        assert pdsf("replay", "--since", "1d", "--reevaluate").code == 0


@pytest.mark.parametrize(("level", "kept"), [("info", [False, True]), ("error", [True])])
def test_the_same_rule_once_more_says_that_it_matched_now(
    pdsf: Shell, level: str, kept: list[bool]
) -> None:
    """A pair made since lets a rule match that did not: the new verdict stands beside the old one."""
    pdsf.world.settings(log={"level": level})
    pdsf.rules(LINKED_LOW)
    pdsf.world.sync()
    case_id = pdsf.world.case(Priority="Low")
    incident_id = pdsf.world.ana().create_incident("Support P1", "Seen by phone")["id"]
    pdsf.world.sync()
    assert pdsf("links", "add", case_id, incident_id).code == 0
    assert pdsf("replay", "--record", case_id, "--reevaluate").code == 0
    (event,) = [
        e
        for e in pdsf("explain", "--record", case_id, "--json").json["events"]
        if e["source"] == "salesforce" and e["actions"]
    ]
    assert [one["matched"] for one in event["verdicts"] if one["rule"] == "Note"] == kept
    assert {one["rule"] for one in event["verdicts"]} == (
        {"Note"} if level == "error" else {"Note", "Never"}
    )


@pytest.mark.parametrize(
    "options",
    [(), ("--failed", "--action", "x"), ("--failed", "--until", "1h"), ("--failed", "--reevaluate"),
     ("--since", "1h", "--until", "2h")],
)  # fmt: skip
def test_contradicting_options_are_wrong_usage(pdsf: Shell, options: tuple[str, ...]) -> None:
    """What makes no sense together exits 2."""
    assert pdsf("replay", *options).code == 2


def _storm(pdsf: Shell) -> None:
    """Three escalated Cases where the breaker lets one incident out."""
    pdsf.world.settings(limits={"incidents_per_rule": {"count": 1, "minutes": 10}})
    pdsf.rules()
    pdsf.world.sync()
    ids = [pdsf.world.case(Priority="Low") for _ in range(3)]
    pdsf.world.sync()
    for case_id in ids:
        pdsf.world.edit(case_id, Priority="High", Status="Escalated")
    pdsf.world.sync()
    assert _pages(pdsf) == 1


def _pages(pdsf: Shell) -> int:
    """How many incidents people were paged with, without the one about the sync itself."""
    return sum(one["service"]["summary"] == "Support P1" for one in pdsf.world.incidents())


def test_a_storm_is_listed_and_not_replayed(pdsf: Shell) -> None:
    """What a breaker holds is one cause with its storm's name, and `replay --failed` leaves it alone."""
    _storm(pdsf)
    said = pdsf("errors", "--json")
    assert (said.code, said.json["held"], said.json["failed"]) == (3, 2, 0)
    assert said.json["errors"][0]["storm"] == "Critical cases / Page support"
    assert "2 held by a breaker" in pdsf("errors").out
    with pdsf.world.silence():
        assert pdsf("replay", "--failed").out == "Nothing to do.\n"
        one = said.json["errors"][0]["actions"][0]["id"]
        assert pdsf("replay", "--action", one).code == 1


@pytest.mark.parametrize(
    ("decision", "incidents"), [("--release", 3), ("--summary", 2), ("--drop", 1)]
)
def test_a_person_decides_about_a_storm(pdsf: Shell, decision: str, incidents: int) -> None:
    """Released, summarised or dropped: afterwards nothing is held, and a second decision finds nothing."""
    _storm(pdsf)
    said = pdsf("errors", decision, "Critical cases / Page support")
    assert said.code == 0, said.err
    pdsf.world.sync()
    assert _pages(pdsf) == incidents
    assert pdsf("errors").code == 0
    assert pdsf("errors", decision, "Critical cases / Page support").code == 1


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--reevaluate",)])
def test_a_replay_of_what_was_pruned_says_so(pdsf: Shell, more: tuple[str, ...]) -> None:
    """A window that begins before what the ledger still knows is refused in one sentence; a later one is replayed."""
    pdsf.escalated()
    forgotten = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    with pdsf.world.ledger.begin() as c:
        maintenance.raise_horizon(c, "default", "salesforce", "Case", forgotten)
    said = pdsf("replay", "--since", "2026-01-01", *more)
    assert said.code == 1
    assert said.err.startswith(
        "pdsf: Integration 'default': what happened up to 2026-01-02T03:04:05Z was pruned"
    )
    assert said.err.count("\n") == 1
    assert pdsf("replay", "--since", "2026-01-03", *more).code == 0
