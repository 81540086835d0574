"""Processes that are killed, that run at the same time, and connections that are wrong."""

import json
import logging
import random
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from pd_sf_rules.cli import main
from sandbox.pagerduty.seed import ACCOUNT_KEY
from tests.integration.pipeline_world import (
    CREATED,
    PAGE,
    PipelineWorld,
    became,
    event_is,
    mirror,
    rule,
)

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

STORY = (
    rule("Page", CREATED, PAGE, {"update_record": {"fields": {"Reason": "paged"}}},
         {"add_note": {"content": "for {{ record.Subject }}"}}),
    mirror("Born", {"all": [event_is("trigger"), {"field": "incident.service.name", "operation": "equals",
                                                  "value": "Renewals"}]},
           {"create_record": {"fields": {"Subject": "{{ incident.title }}", "Status": "New"}}},
           {"post_comment": {"body": "born of {{ incident.title }}"}}),
    rule("Echo", became("Case.Reason", "paged"), {"add_note": {"content": "echo"}}),
)  # fmt: skip


def begin(world: PipelineWorld, cases: int = 2) -> None:
    """Put the story's rules in force and let its people act, unsynced."""
    world.cross_comments()
    world.rules(*STORY)
    world.sync()
    for number in range(cases):
        case_id = world.case(f"Case {number}")
        world.sandbox.salesforce.comment(case_id, f"said on {number}")
    incident = world.ana().create_incident("Renewals", "Outage")
    world.ana().add_note(incident["id"], "looking into it")


def told(world: PipelineWorld) -> dict[str, Any]:
    """Everything the story leaves behind on both sides, in a form to compare."""
    subject = {one["Id"]: one["Subject"] for one in world.cases()}
    title = {one["id"]: one["title"] for one in world.incidents()}
    return {
        "cases": sorted((one["Subject"], one["Reason"]) for one in world.cases()),
        "incidents": sorted(title.values()),
        "links": sorted((subject[one.record_id], title[one.incident_id]) for one in world.links()),
        "comments": sorted((subject[one["ParentId"]], one["CommentBody"]) for one in world.comments()),
        "notes": sorted((title[i], note) for i in title for note in world.notes(i)),
    }  # fmt: skip


def expected(cases: int = 2) -> dict[str, Any]:
    """What the story leaves behind when everything happens exactly once."""
    names = [f"Case {number}" for number in range(cases)]
    note = "Pat Admin (Salesforce): said on"
    return {
        "cases": sorted([*((name, "paged") for name in names), ("Outage", None)], key=str),
        "incidents": sorted([*names, "Outage"]),
        "links": sorted([*zip(names, names, strict=True), ("Outage", "Outage")]),
        "comments": sorted(
            [
                *((name, f"said on {number}") for number, name in enumerate(names)),
                ("Outage", "born of Outage"),
                ("Outage", "Ana Lopez (PagerDuty): looking into it"),
            ]
        ),
        "notes": sorted(
            [
                *((name, f"for {name}") for name in names),
                *((name, f"{note} {number}") for number, name in enumerate(names)),
                ("Outage", "looking into it"),
            ]
        ),
    }


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        ("slow", ("pagerduty", "POST", "^/incidents$")),
        ("slow", ("salesforce", "POST", "/sobjects/Case/?$")),
        ("slow", ("salesforce", "POST", "/sobjects/CaseComment")),
        ("slow", ("pagerduty", "POST", "/notes$")),
        ("timeout_before", ("pagerduty", "POST", "^/incidents$")),
    ],
)
def test_a_process_killed_while_it_waits_for_an_answer(
    world: PipelineWorld, kind: str, call: tuple[str, str, str]
) -> None:
    """Killed with a request out, done or not: the next pass ends the story with every effect once."""
    begin(world)
    fault = world.fault(kind, *call, seconds=20)
    with world.start_process() as process:
        world.wait_for_hit(fault)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    world.sandbox.faults.clear()
    world.sync()
    world.settle()
    assert told(world) == expected()


def test_a_process_killed_at_any_moment(both_worlds: PipelineWorld) -> None:
    """Killed somewhere, twice over: what is left behind is every effect once."""
    world = both_worlds
    dice = random.Random(7)
    begin(world)
    world.sandbox.faults.plan("slow", seconds=0.05, times=None)
    for _ in range(2):
        before = world.sandbox.traffic.last_number()
        with world.start_process() as process:
            while world.sandbox.traffic.last_number() == before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(dice.uniform(0.0, 1.2))
            process.send_signal(signal.SIGKILL)
            process.communicate()
    world.sandbox.faults.clear()
    world.sync()
    world.settle()
    assert told(world) == expected()


def test_two_passes_at_once(both_worlds: PipelineWorld) -> None:
    """Passes of several runs at the same time divide the work: every effect is there once."""
    world = both_worlds
    begin(world, cases=6)
    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(world.sync) for _ in range(4)]:
            one.result()
    world.sync()
    world.settle()
    assert told(world) == expected(cases=6)


def test_two_processes_at_once(world: PipelineWorld) -> None:
    """The same with processes, each of which waits for answers in the middle of the other's work."""
    begin(world, cases=4)
    world.sandbox.faults.plan("slow", seconds=0.1, probability=0.3, times=None)
    processes = [world.start_process() for _ in range(2)]
    for process in processes:
        _, complaints = process.communicate(timeout=120)
        assert process.returncode == 0, complaints
    world.sandbox.faults.clear()
    world.sync()
    world.settle()
    assert told(world) == expected(cases=4)


@pytest.mark.parametrize(
    "call",
    [
        ("salesforce", "POST", "/sobjects/Case/?$"),
        ("pagerduty", "POST", "/notes$"),
    ],
    ids=lambda call: call[2],
)
def test_a_ledger_that_is_locked_when_the_answer_comes(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch, call: tuple[str, str, str]
) -> None:
    """An effect that could not be recorded is found by the next pass, not repeated."""
    begin(world)
    monkeypatch.setenv("PDSF_LEDGER_URL", f"{world.ledger_url}?timeout=0.5")
    fault = world.fault("slow", *call, seconds=1.0)
    with world.start_process() as process:
        world.wait_for_hit(fault)
        with closing(sqlite3.connect(world.home / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            _, complaints = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "lock" in complaints
    world.sync()
    world.settle()
    assert told(world) == expected()


def test_a_wrong_connection_is_one_sentence(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`pdsf sync` with a refused key says which connection and field, once, and no traceback."""
    world.rules(*STORY)
    world.sync()
    wrong = world.sandbox.pagerduty_connection() | {"password": "not-the-key"}
    monkeypatch.setenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT", json.dumps(wrong))
    assert main(["sync", "--direction", "pagerduty"]) == 1
    complaint = capsys.readouterr().err
    assert "pagerduty_default" in complaint
    assert "password" in complaint
    assert "Traceback" not in complaint
    assert complaint.count("pdsf:") == 1
    assert "not-the-key" not in complaint


def test_a_missing_connection_is_one_sentence(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where both directions miss the same connection, it is said once."""
    world.rules(*STORY)
    wrong = world.sandbox.salesforce_connection()
    wrong["extra"] = {
        "consumer_key": "x",
        "private_key": "none",
        "login_url": world.sandbox.salesforce_url,
    }
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_DEFAULT", json.dumps(wrong))
    assert main(["sync"]) == 1
    complaint = capsys.readouterr().err
    assert complaint.count("salesforce_default") == 1, complaint
    assert "Traceback" not in complaint


def test_a_connection_that_is_mended_loses_nothing(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Actions that met a wrong key wait for a right one, and are then done."""
    world.rules(*STORY)
    world.sync()
    world.hurry()
    wrong = world.sandbox.pagerduty_connection() | {"password": "not-the-key"}
    with monkeypatch.context() as wrongly:
        wrongly.setenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT", json.dumps(wrong))
        world.case()
        world.sync()
    assert world.action("create_incident").state == "pending"
    assert world.action("create_incident").error_kind == "connection"
    world.sync()
    assert len(world.incidents()) == 1


def test_no_secret_is_ever_kept_or_logged(
    world: PipelineWorld, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the ledger nor any log line holds a key, a token or a private key, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    begin(world)
    for kind in ("server_error", "rate_limited", "unauthorized", "malformed_json", "html"):
        world.sandbox.faults.plan(kind, probability=0.4, times=2)
    world.sync()
    world.sandbox.faults.clear()
    wrong = world.sandbox.pagerduty_connection() | {"password": "canary-key-canary"}
    with monkeypatch.context() as wrongly:
        wrongly.setenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT", json.dumps(wrong))
        world.case("Another")
        world.hurry()
        told_then = world.sync()
    world.close()
    kept = b"".join(path.read_bytes() for path in world.home.glob("ledger.db*"))
    said = caplog.text + repr(told_then) + "".join(str(one) for one in told_then.errors)
    private = str(world.sandbox.key.private_key)
    sessions = [line for line in private.splitlines() if len(line) > 40]
    for secret in (ACCOUNT_KEY, "canary-key-canary", sessions[0], sessions[5]):
        assert secret.encode() not in kept
        assert secret not in said
