"""The lineage object of a run."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pd_sf_rules.lineage import CAP, HELD, lineage

AT = datetime(2026, 11, 23, 8, tzinfo=UTC)


@dataclass(frozen=True)
class Done:
    """An action that was carried out, and more than lineage may tell of it."""

    event_id: str
    record_id: str | None = "500000000000001AAA"
    incident_id: str | None = None
    ruleset: str = "Critical cases"
    ruleset_version: str = "0123456789ab"
    rule: str = "Page"
    kind: str = "create_incident"
    state: str = "applied"
    target: str | None = "Q1"
    attempt: int = 1
    error_kind: str = ""
    params: str = "a text that a rule renders"


def told(*actions: Done) -> dict[str, Any]:
    """The lineage of a run that carried out these actions."""
    return lineage(
        run_id="dag/run", integration="default", direction="salesforce", window=(AT, AT),
        counts={"applied": len(actions)}, actions=actions,
    )  # fmt: skip


def test_an_action_is_told_by_ids_and_names() -> None:
    """It has the agreed keys, and nothing that a template rendered."""
    (one,) = told(Done("e1"))["actions"]
    assert one == {
        "event": "e1", "record": "500000000000001AAA", "incident": None, "ruleset": "Critical cases",
        "ruleset_version": "0123456789ab", "rule": "Page", "action": "create_incident", "outcome": "applied",
        "target": "Q1", "attempt": 1,
    }  # fmt: skip


def test_more_than_a_person_reads_is_cut() -> None:
    """Up to 200 actions are listed; past that it says so, and the counts still tell all."""
    many = [Done(f"e{n}") for n in range(CAP + 1)]
    assert (len(told(*many[:CAP])["actions"]), told(*many[:CAP])["truncated"]) == (200, False)
    assert (len(told(*many)["actions"]), told(*many)["truncated"]) == (200, True)
    assert told(*many)["counts"]["applied"] == CAP + 1


def test_what_a_breaker_holds_is_not_pending() -> None:
    """A held action waits for a person, which is another thing than waiting for its next try."""
    (one,) = told(Done("e1", state="pending", error_kind=HELD))["actions"]
    assert one["outcome"] == "held"


def test_no_run_makes_a_large_lineage() -> None:
    """XCom holds it: 5,000 actions of rules with the longest names stay below a quarter of a megabyte."""
    name = "A rule whose name is a story. " * 1_000
    many = [
        Done(f"salesforce:default:500{n}", rule=name, ruleset=name, target=name)
        for n in range(5_000)
    ]
    assert len(json.dumps(told(*many))) < 250_000
    usual = [Done(f"salesforce:default:500{n:015}:{n}") for n in range(5_000)]
    assert len(json.dumps(told(*usual))) < 100_000
    assert len(json.dumps(told(*usual[: CAP + 1]))) == len(json.dumps(told(*usual))) - len(
        "5000"
    ) + len("201")
