"""`pdsf simulate`: a draft and shadow rulesets beside what really happened, and nothing written anywhere."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pd_sf_rules.ledger import maintenance
from tests.integration.cli_world import CRITICAL, Shell

pytest_plugins = [
    "tests.integration.ledger_databases",
    "tests.integration.pipeline_fixtures",
    "tests.integration.cli_fixtures",
]


def _draft(pdsf: Shell, text: str) -> str:
    path: Path = pdsf.world.home / "draft.yaml"
    path.write_text(text)
    return str(path)


def test_an_unchanged_ruleset_does_the_same(pdsf: Shell) -> None:
    """The rules that were in force give what they gave then."""
    pdsf.escalated()
    told = pdsf("simulate", "--ruleset", _draft(pdsf, CRITICAL), "--since", "1d", "--json").json
    assert told["events"] > 0
    assert told["counts"] == {"same": 1, "new": 0, "gone": 0, "changed": 0, "undecided": 0}


def test_what_a_draft_would_have_done_more(pdsf: Shell) -> None:
    """A wider condition fires at an event where the rule in force did not, with its texts rendered."""
    case_id, _ = pdsf.escalated()
    text = CRITICAL.replace("operation: equals, value: High", "operation: in, value: [High, Low]")
    text = text.replace("operation: changed_to, value: Escalated", "operation: is_not_blank")
    told = pdsf("simulate", "--ruleset", _draft(pdsf, text), "--since", "1d", "--json").json
    assert told["counts"] == {"same": 1, "new": 1, "gone": 0, "changed": 0, "undecided": 0}
    (new,) = [one for one in told["differences"] if one["outcome"] == "new"]
    assert new["record"] == case_id
    number = pdsf.world.record(case_id)["CaseNumber"]
    assert new["planned"][0]["params"]["title"] == f"Case {number}: Database is down"
    assert new["done"] == []


def test_what_a_draft_would_not_have_done(pdsf: Shell) -> None:
    """A narrower condition is told with its reason, beside the incident that was really created."""
    _, incident_id = pdsf.escalated()
    text = CRITICAL.replace("changed_to, value: Escalated", "changed_to, value: Working")
    told = pdsf("simulate", "--ruleset", _draft(pdsf, text), "--since", "1d", "--json").json
    (gone,) = [one for one in told["differences"] if one["outcome"] == "gone"]
    assert gone["reason"].startswith("Case.Status changed_to 'Working' does not hold")
    assert gone["done"][0]["target"] == incident_id


def test_a_changed_action_and_a_missing_rule(pdsf: Shell) -> None:
    """Another parameter is `changed`; a rule that the draft lacks is `gone`."""
    pdsf.escalated()
    changed = _draft(pdsf, CRITICAL.replace("priority: P1", "priority: P2"))
    told = pdsf("simulate", "--ruleset", changed, "--since", "1d", "--json").json
    assert [one["outcome"] for one in told["differences"]] == ["changed"]
    renamed = _draft(pdsf, CRITICAL.replace("Page support", "Page others"))
    told = pdsf("simulate", "--ruleset", renamed, "--since", "1d", "--json").json
    outcomes = {(one["rule"], one["outcome"]) for one in told["differences"]}
    assert outcomes == {("Page others", "new"), ("Page support", "gone")}


def test_a_field_that_was_not_recorded_is_undecided(pdsf: Shell) -> None:
    """A rule on a field that no rule named then is not guessed at, unless the rest decides."""
    pdsf.escalated()
    extra = "        - { field: Case.Origin, operation: equals, value: Web }\n    actions:"
    text = CRITICAL.replace("    actions:", extra, 1)
    told = pdsf("simulate", "--ruleset", _draft(pdsf, text), "--since", "1d", "--json").json
    (one,) = told["differences"]
    assert (one["outcome"], one["missing"]) == ("undecided", ["Case.Origin"])


def test_a_draft_of_another_name_is_compared_with_the_one_named(pdsf: Shell) -> None:
    """`--against` names the ruleset whose doings count."""
    pdsf.escalated()
    draft = _draft(pdsf, CRITICAL.replace("name: Critical cases", "name: Critical cases 2"))
    alone = pdsf("simulate", "--ruleset", draft, "--since", "1d", "--json").json
    assert alone["counts"]["new"] == 1
    beside = pdsf(
        "simulate", "--ruleset", draft, "--since", "1d", "--against", "Critical cases", "--json"
    ).json
    assert beside["counts"]["same"] == 1


def test_the_linked_record_of_an_incident_is_known(pdsf: Shell) -> None:
    """A PagerDuty rule of a draft sees the record that the recorded rules saw."""
    acknowledged = "{ field: event.type, operation: equals, value: acknowledge }"
    high = "{ field: Case.Priority, operation: equals, value: High }"
    text = CRITICAL.replace(f"when: {acknowledged}", f"when: {{ all: [{acknowledged}, {high}] }}")
    pdsf.rules(text)
    pdsf.world.sync()
    case_id = pdsf.world.case(Priority="Low")
    pdsf.world.sync()
    pdsf.world.edit(case_id, Priority="High", Status="Escalated")
    pdsf.world.sync()
    pdsf.world.ana().acknowledge(pdsf.world.links_of(case_id)[0].incident_id)
    pdsf.world.sync()
    assert pdsf.world.record(case_id)["Status"] == "Working"
    told = pdsf("simulate", "--ruleset", _draft(pdsf, text), "--since", "1d", "--json").json
    assert told["counts"]["same"] == 2
    assert told["counts"]["undecided"] == 0


def test_the_window_bounds_what_is_judged(pdsf: Shell) -> None:
    """Events outside of --since and --until are left alone; the wrong order is wrong usage."""
    pdsf.escalated()
    draft = _draft(pdsf, CRITICAL)
    window = ("--since", "2026-01-01", "--until", "2026-01-02")
    assert pdsf("simulate", "--ruleset", draft, *window, "--json").json["events"] == 0
    said = pdsf("simulate", "--ruleset", draft, "--since", "1d", "--until", "2d")
    assert said.code == 2
    assert pdsf("simulate", "--ruleset", draft, "--since", "yesterdayish").code == 2


def test_simulating_writes_nothing_anywhere(pdsf: Shell) -> None:
    """No request reaches either service, and every row of the ledger stays as it is."""
    pdsf.escalated()
    text = CRITICAL.replace("value: High", "value: Low").replace("changed_to", "not_equals")
    draft = _draft(pdsf, text)
    rows, requests = pdsf.lines(), pdsf.world.sandbox.traffic.last_number()
    assert pdsf("simulate", "--ruleset", draft, "--since", "1d").code == 0
    assert pdsf("simulate", "--shadow", "--since", "1d").code == 0
    assert pdsf.lines() == rows
    assert pdsf.world.sandbox.traffic.last_number() == requests


def test_a_broken_draft_is_told_like_lint_does(pdsf: Shell) -> None:
    """A draft that cannot be used exits 1 with the place of the mistake."""
    pdsf.escalated()
    said = pdsf(
        "simulate", "--ruleset", _draft(pdsf, CRITICAL.replace("High", "[]")), "--since", "1d"
    )
    assert said.code == 1
    assert "draft.yaml:10:" in said.err


SHADOW = CRITICAL.replace("Critical cases", "Shadow of critical").replace(
    "enabled: true", "enabled: true\nmode: shadow"
)


def test_shadow_report_compares_with_the_live_rules(pdsf: Shell) -> None:
    """Shadow actions stand beside live ones: agreeing, differing, or alone; shadow writes to neither side."""
    pdsf.rules(SHADOW.replace("priority: P1", "priority: P2"), "shadow.yaml")
    pdsf.escalated()
    assert len(pdsf.world.incidents()) == 1
    told = pdsf("simulate", "--shadow", "--since", "1d", "--json").json["shadow"]
    (report,) = told
    assert report["ruleset"] == "Shadow of critical"
    assert report["counts"] == {"agree": 0, "differ": 1, "only_shadow": 0, "only_live": 0}
    (one,) = report["actions"]
    assert (one["shadow"]["state"], one["live"]["state"]) == ("shadow", "applied")
    said = pdsf("simulate", "--shadow", "--since", "1d")
    assert "shadow: Page support: create_incident (service 'Support P1'" in said.out


def test_shadow_alone_writes_to_neither_side(pdsf: Shell) -> None:
    """A ruleset in shadow mode is evaluated and recorded, and no write reaches a service."""
    pdsf.rules(SHADOW, "shadow.yaml")
    pdsf.world.sync()
    case_id = pdsf.world.case(Priority="Low")
    pdsf.world.sync()
    pdsf.world.edit(case_id, Priority="High", Status="Escalated")
    with pdsf.world.silence():
        pdsf.world.sync()
    (report,) = pdsf("simulate", "--shadow", "--since", "1d", "--json").json["shadow"]
    assert report["counts"]["only_shadow"] == 1


def test_a_time_of_which_events_were_pruned_is_said(pdsf: Shell) -> None:
    """A window that begins before what the ledger still knows says so, for drafts and shadows; a later one does not."""
    pdsf.escalated()
    forgotten = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    with pdsf.world.ledger.begin() as c:
        maintenance.raise_horizon(c, "default", "salesforce", "Case", forgotten)
    for what in (("--ruleset", _draft(pdsf, CRITICAL)), ("--shadow",)):
        told = pdsf("simulate", *what, "--since", "2026-01-01", "--json").json
        assert told["forgotten_until"] == forgotten.isoformat()
        said = pdsf("simulate", *what, "--since", "2026-01-01").out
        assert "up to 2026-01-02 03:04:05Z was pruned" in said
        assert "pruned" not in pdsf("simulate", *what, "--since", "2026-01-03").out
        later = pdsf("simulate", *what, "--since", "2026-01-03", "--json").json
        assert later["forgotten_until"] is None


@pytest.mark.parametrize("options", [(), ("--ruleset", "x.yaml"), ("--since", "1d")])
def test_simulate_wants_a_draft_and_a_time(pdsf: Shell, options: tuple[str, ...]) -> None:
    """Without either it is wrong usage."""
    assert pdsf("simulate", *options).code == 2
