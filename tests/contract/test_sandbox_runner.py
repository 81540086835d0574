"""The sandbox as a program, its control API, and what it keeps over a restart."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from sandbox.running import running_sandbox
from sandbox.world import World

ROOT = Path(__file__).parents[2]


@contextmanager
def program(state: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`python -m sandbox` until the block ends; its first line is the ready JSON."""
    command = [sys.executable, "-m", "sandbox", "--state", str(state), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def log_in(salesforce: dict[str, Any]) -> httpx.Response:
    """Log in as the demo does: a JWT signed with the connection's key."""
    extra = salesforce["extra"]
    claims = {
        "iss": extra["consumer_key"],
        "sub": salesforce["login"],
        "aud": "https://login.salesforce.com",
        "exp": int(time.time()) + 180,
    }
    assertion = jwt.encode(claims, extra["private_key"], algorithm="RS256")
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    form = {"grant_type": grant, "assertion": assertion}
    return httpx.post(f"{extra['login_url']}/services/oauth2/token", data=form)


def test_program_announces_usable_connections_and_stops_on_term(tmp_path: Path) -> None:
    """The ready file and line agree, both connections work as they stand, TERM ends it with 0."""
    ready_file = tmp_path / "ready.json"
    with program(tmp_path / "state", "--ready-file", str(ready_file)) as (process, ready):
        assert json.loads(ready_file.read_text()) == ready
        assert ready_file.stat().st_mode & 0o077 == 0
        salesforce = json.loads(ready["connections"]["AIRFLOW_CONN_SALESFORCE_DEFAULT"])
        pagerduty = json.loads(ready["connections"]["AIRFLOW_CONN_PAGERDUTY_DEFAULT"])
        assert log_in(salesforce).status_code == 200
        services = httpx.get(
            f"{pagerduty['extra']['base_url']}/services",
            headers={"Authorization": f"Token token={pagerduty['password']}"},
        )
        assert services.status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        assert not ready_file.exists()
        with pytest.raises(httpx.ConnectError):
            httpx.get(ready["control_url"])


def test_taken_port_is_one_clear_sentence(tmp_path: Path) -> None:
    """Starting twice on one port fails at once and says which."""
    with program(tmp_path) as (_, ready):
        port = ready["pagerduty_url"].rsplit(":", 1)[1]
        command = [sys.executable, "-m", "sandbox", "--pagerduty-port", port]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in second.stderr
    assert "Traceback" not in second.stderr


def test_both_systems_survive_a_kill(tmp_path: Path) -> None:
    """After SIGKILL a new start carries on with the same records, incidents and key."""
    with program(tmp_path) as (process, ready):
        control = ready["control_url"]
        body = {"service": "Support P1", "title": "Kept"}
        incident = httpx.post(f"{control}/pagerduty/incidents", json=body).json()["incident"]
        note = f"{control}/pagerduty/incidents/{incident['id']}/note"
        httpx.post(note, json={"content": "Kept too"})
        case = httpx.post(
            f"{control}/salesforce/records", json={"fields": {"Subject": "Kept"}}
        ).json()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=10)
    with running_sandbox(tmp_path) as again:
        story = httpx.get(f"{again.control_url}/pagerduty/incidents/{incident['id']}.json").json()
        assert story["incident"]["title"] == "Kept"
        assert [kept["content"] for kept in story["notes"]] == ["Kept too"]
        assert again.salesforce.record(case["id"]) is not None
        assert log_in(json.loads(again.connections["AIRFLOW_CONN_SALESFORCE_DEFAULT"])).is_success


def post(world: World, path: str, **body: Any) -> httpx.Response:
    """One control call."""
    return httpx.post(f"{world.control_url}{path}", json=body)


def test_people_act_through_the_control_api(world: World) -> None:
    """Every action is done by the person named, and leaves that person's entry."""
    created = post(world, "/pagerduty/incidents", service="Support P2", title="Slow", priority="P3")
    incident = created.json()["incident"]
    for action, body in (
        ("acknowledge", {}),
        ("note", {"content": "Looking"}),
        ("priority", {"priority": "P1"}),
        ("reassign", {"users": ["chiara@acme.example"]}),
        ("workflow", {"workflow": "Customer comms"}),
        ("resolve", {"resolution": "Done"}),
    ):
        path = f"/pagerduty/incidents/{incident['id']}/{action}"
        answer = post(world, path, **body, **{"as": "Ben Okafor"})
        assert answer.status_code == 200, answer.text
    story = httpx.get(f"{world.control_url}/pagerduty/incidents/{incident['id']}.json").json()
    assert (story["incident"]["status"], story["incident"]["priority"]["summary"]) == (
        "resolved",
        "P1",
    )
    agents = {entry["agent"]["summary"] for entry in story["log_entries"] if "agent" in entry}
    assert agents == {"Ana Lopez", "Ben Okafor"}


def test_agents_act_on_cases_through_the_control_api(world: World) -> None:
    """A Case is created, edited and commented by a person of the org."""
    fields = {"Subject": "Card failures", "Priority": "High"}
    case_id = post(world, "/salesforce/records", fields=fields).json()["id"]
    agent = {"as": "sam.agent@acme.example"}
    edit = post(world, f"/salesforce/records/{case_id}", fields={"Status": "Working"}, **agent)
    assert edit.json()["record"]["Status"] == "Working"
    post(world, f"/salesforce/cases/{case_id}/comments", body="Called them", public=True, **agent)
    case = httpx.get(f"{world.control_url}/salesforce/cases/{case_id}").json()
    (comment,) = case["comments"]
    assert (comment["CommentBody"], comment["IsPublished"]) == ("Called them", True)
    assert comment["CreatedBy"]["Name"] == "Sam Agent"


def test_wrong_control_calls_are_explained(world: World) -> None:
    """Unknown people, actions, members and faults are one sentence each."""
    incident = post(world, "/pagerduty/incidents", service="Support P1", title="t").json()[
        "incident"
    ]
    path = f"/pagerduty/incidents/{incident['id']}"
    for answer, status, words in (
        (post(world, f"{path}/dance"), 404, "no such action"),
        (post(world, f"{path}/resolve", **{"as": "Nobody"}), 404, "no user named 'Nobody'"),
        (post(world, f"{path}/note"), 400, "'content' is missing"),
        (post(world, "/pagerduty/incidents", service="Nope", title="t"), 404, "no service named"),
        (post(world, "/faults", kind="explosion"), 400, "unknown kind"),
        (post(world, "/faults", kind="slow", colour="red"), 400, "unknown members"),
        (post(world, "/salesforce/records", fields={"Nope": 1}), 400, "Nope"),
    ):
        assert answer.status_code == status, answer.text
        assert words in answer.text


def test_faults_and_traffic_through_the_control_api(world: World) -> None:
    """Plans are set, shown and taken out; requests are counted and filtered."""
    control, services = world.control_url, f"{world.pagerduty_url}/services"
    ids = post(world, "/faults", seed=5, faults=[{"kind": "html", "times": None}]).json()["ids"]
    assert httpx.get(services).status_code == 503
    assert httpx.get(f"{control}/faults").json()["faults"][0]["hits"] == 1
    assert httpx.delete(f"{control}/faults", params={"id": ids[0]}).status_code == 200
    assert httpx.get(services).status_code == 401
    last = httpx.get(f"{control}/requests").json()["last"]
    httpx.post(f"{world.pagerduty_url}/incidents", json={})
    kept = httpx.get(f"{control}/requests", params={"writes_only": "1", "after": last}).json()
    assert [(item["path"], item["status"]) for item in kept["requests"]] == [("/incidents", 401)]


def test_reset_brings_the_seed_back(world: World) -> None:
    """Nothing done before is left, and the demo key can still log in."""
    post(world, "/pagerduty/incidents", service="Support P1", title="t")
    post(world, "/salesforce/records", fields={"Subject": "s"})
    post(world, "/faults", kind="html", times=None)
    assert post(world, "/reset").status_code == 200
    assert httpx.get(f"{world.control_url}/pagerduty/incidents").json() == {"incidents": []}
    assert httpx.get(f"{world.control_url}/salesforce/cases").json() == {"cases": []}
    assert log_in(json.loads(world.connections["AIRFLOW_CONN_SALESFORCE_DEFAULT"])).is_success


def test_clocks_can_be_off(world: World) -> None:
    """Each system's own clock shows in its Date header and its stamps."""
    assert post(world, "/clock", salesforce=-300, pagerduty=600).json() == {
        "salesforce": -300.0,
        "pagerduty": 600.0,
    }
    now = time.time()
    for url, seconds in (
        (f"{world.salesforce_url}/services/data", -300),
        (f"{world.pagerduty_url}/services", 600),
    ):
        shown = parsedate_to_datetime(httpx.get(url).headers["date"]).timestamp()
        assert abs(shown - now - seconds) < 5


def test_many_incidents_at_once(world: World) -> None:
    """A storm is one call, and its incidents open in one commit."""
    storm = post(world, "/pagerduty/incidents", service="Support P1", title="Storm", count=300)
    assert len(set(storm.json()["ids"])) == 300
    found = httpx.get(f"{world.control_url}/pagerduty/incidents").json()["incidents"]
    assert (len(found), found[0]["title"]) == (300, "Storm 300")
