"""The simulated log, notes and everything around an incident, seen through the official client."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.pagerduty.state import LogEntryFaults
from sandbox.world import World
from tests.contract.pagerduty_client import LoopbackClient

Page = Callable[..., dict[str, Any]]


def kinds(client: LoopbackClient, incident: dict[str, Any]) -> list[str]:
    """The types of an incident's log entries as listed, without their suffix."""
    entries = client.rget(f"incidents/{incident['id']}/log_entries", params={"limit": 100})
    return [entry["type"].removesuffix("_log_entry") for entry in entries]


def test_entries_come_newest_first_in_whole_seconds(client: LoopbackClient, page: Page) -> None:
    """Within one second the later step comes first; every stamp is UTC to the second."""
    incident = page()
    for status in ("acknowledged", "triggered", "resolved"):
        body = {"type": "incident_reference", "status": status}
        client.rput(f"incidents/{incident['id']}", json=body)
    assert kinds(client, incident) == [
        "resolve", "unacknowledge", "assign", "acknowledge", "notify", "assign", "trigger",
    ]  # fmt: skip
    for entry in client.rget("log_entries"):
        datetime.strptime(entry["created_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def test_every_change_tells_agent_and_channel(
    world: World, client: LoopbackClient, page: Page
) -> None:
    """API changes name the From user and channel api; a person's come by the website."""
    incident = page()
    ben = world.person("Ben Okafor")
    ben.acknowledge(incident["id"])
    ben.add_note(incident["id"], "Looking")
    ben.set_title(incident["id"], "Card payments fail")
    ben.set_urgency(incident["id"], "low")
    ben.set_priority(incident["id"], "P2")
    ben.set_custom_fields(incident["id"], {"sf_account": "Acme"})
    ben.snooze(incident["id"], 60)
    ben.publish_status_update(incident["id"], "We are on it")
    entries = client.list_all(f"incidents/{incident['id']}/log_entries")
    by_kind = {entry["type"].removesuffix("_log_entry"): entry for entry in entries}
    assert {
        "trigger", "acknowledge", "annotate", "field_value_change", "urgency_change",
        "priority_change", "custom_field_value_change", "snooze", "status_update",
    } <= set(by_kind)  # fmt: skip
    assert by_kind["trigger"]["agent"]["summary"] == "Salesforce Sync"
    assert by_kind["acknowledge"]["agent"]["summary"] == "Ben Okafor"
    assert by_kind["acknowledge"]["channel"]["type"] == "website"
    assert "agent" not in by_kind["notify"]


def test_note_entries_carry_text_and_no_note_id(
    world: World, client: LoopbackClient, page: Page
) -> None:
    """An annotate entry can be matched to its note by text and time only."""
    incident = page()
    note = world.person("Ana Lopez").add_note(incident["id"], "Customer informed")
    entry = client.rget(f"incidents/{incident['id']}/log_entries")[0]
    assert entry["channel"] == {"type": "note", "summary": "Customer informed"}
    assert note["id"] not in str(entry)


def test_window_includes_since_and_excludes_until(
    world: World, client: LoopbackClient, page: Page
) -> None:
    """since and until cut by whole seconds, whatever the offset they are written with."""
    page("early")
    world.pagerduty.clock_offset = timedelta(seconds=10)
    late = page("late")
    stamp = datetime.fromisoformat(late["created_at"])
    elsewhere = stamp.astimezone(tz=None).isoformat()
    after = client.list_all("log_entries", params={"since": elsewhere})
    before = client.list_all("log_entries", params={"until": stamp.isoformat()})
    assert {entry["incident"]["id"] for entry in after} == {late["id"]}
    assert late["id"] not in {entry["incident"]["id"] for entry in before}
    assert len(after) + len(before) == len(client.list_all("log_entries"))


def test_paging_ends_at_ten_thousand(client: LoopbackClient, page: Page) -> None:
    """offset + limit past the cap is refused with the documented sentence; limit is clamped."""
    page()
    response = client.get("log_entries", params={"offset": 9_950, "limit": 100})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == 2002
    assert "Offset+limit exceeds maximum allowed value of 10000" in response.text
    clamped = client.get("log_entries", params={"limit": 500}).json()
    assert (clamped["limit"], clamped["more"], clamped["total"]) == (100, False, None)


def test_pages_join_without_gaps(client: LoopbackClient, page: Page) -> None:
    """Walking by offset yields every entry once, and total is told when asked for."""
    for number in range(4):
        page(f"number {number}")
    whole = [entry["id"] for entry in client.rget("log_entries", params={"limit": 100})]
    walked: list[str] = []
    for offset in range(0, len(whole), 5):
        answer = client.get(
            "log_entries", params={"limit": 5, "offset": offset, "total": True}
        ).json()
        walked += [entry["id"] for entry in answer["log_entries"]]
        assert answer["total"] == len(whole)
        assert answer["more"] is (offset + 5 < len(whole))
    assert walked == whole


def test_included_incident_is_as_it_is_now(
    world: World, client: LoopbackClient, page: Page
) -> None:
    """The trigger entry of a resolved incident shows a resolved incident."""
    incident = page()
    world.person("Ana Lopez").resolve(incident["id"])
    params = {"include": ["incidents", "services", "teams"], "limit": 100}
    entry = client.rget("log_entries", params=params)[-1]
    assert entry["type"] == "trigger_log_entry"
    assert entry["incident"]["status"] == "resolved"
    assert entry["service"]["type"] == "service"
    assert entry["teams"][0]["type"] == "team"


def test_planned_oddities_of_the_log(world: World, client: LoopbackClient, page: Page) -> None:
    """Entries can come twice, late with their true time, or in no order."""
    world.pagerduty.log_entry_faults = LogEntryFaults(duplicate=1.0)
    page("twice")
    ids = [entry["id"] for entry in client.list_all("log_entries")]
    assert len(ids) == 2 * len(set(ids))
    world.pagerduty.log_entry_faults = LogEntryFaults(late=1.0, late_seconds=30)
    late = page("late")
    assert client.list_all(f"incidents/{late['id']}/log_entries") == []
    world.pagerduty.clock_offset = timedelta(seconds=31)
    entries = client.list_all(f"incidents/{late['id']}/log_entries")
    assert [entry["created_at"] for entry in entries] == [late["created_at"]] * len(entries)
    world.pagerduty.log_entry_faults = LogEntryFaults(shuffle=1.0, seed=3)
    assert kinds(client, late) != ["notify", "assign", "trigger"]
    assert sorted(kinds(client, late)) == ["assign", "notify", "trigger"]


def test_notes_are_listed_edited_and_deleted(client: LoopbackClient, page: Page) -> None:
    """Notes live on open and resolved incidents; editing and deleting leaves no entry."""
    incident = page()
    path = f"incidents/{incident['id']}/notes"
    note = client.rpost(path, json={"content": "first"})
    client.rput(
        f"incidents/{incident['id']}", json={"type": "incident_reference", "status": "resolved"}
    )
    second = client.rpost(path, json={"content": "after the end"})
    assert [second["id"], note["id"]] == [n["id"] for n in client.rget(path)]
    logged = kinds(client, incident)
    edited = client.put(f"{path}/{note['id']}", json={"note": {"content": "changed"}})
    assert edited.json()["note"]["content"] == "changed"
    assert client.delete(f"{path}/{second['id']}").status_code == 204
    assert [n["content"] for n in client.rget(path)] == ["changed"]
    assert kinds(client, incident) == logged
    assert client.post(path, json={"note": {"content": " "}}).status_code == 400


def test_snooze_ends_by_itself(world: World, client: LoopbackClient, page: Page) -> None:
    """A snoozed incident is acknowledged until its time is over, then the service unacknowledges."""
    incident = page()
    path = f"incidents/{incident['id']}"
    snoozed = client.post(f"{path}/snooze", json={"duration": 60})
    assert snoozed.status_code == 201
    assert snoozed.json()["incident"]["pending_actions"][0]["type"] == "unacknowledge"
    world.pagerduty.clock_offset = timedelta(seconds=61)
    assert client.rget(path)["status"] == "triggered"
    entry = client.rget(f"{path}/log_entries")[0]
    assert entry["agent"]["type"] == "service_reference"
    assert entry["channel"]["type"] == "timeout"


def test_service_timeouts_act_by_themselves(
    world: World, client: LoopbackClient, page: Page
) -> None:
    """An acknowledgement times out and an incident resolves as the service is configured."""
    service = world.pagerduty.store.get("service", "PSUPP01")
    assert service is not None
    timeouts = {"acknowledgement_timeout": 60, "auto_resolve_timeout": 300}
    world.pagerduty.store.put("service", {**service, **timeouts})
    incident = page()
    path = f"incidents/{incident['id']}"
    client.rput(path, json={"type": "incident_reference", "status": "acknowledged"})
    world.pagerduty.clock_offset = timedelta(seconds=61)
    assert client.rget(path)["status"] == "triggered"
    world.pagerduty.clock_offset = timedelta(seconds=301)
    assert client.rget(path)["status"] == "resolved"


def test_merging_resolves_the_sources(client: LoopbackClient, page: Page) -> None:
    """Sources end with a merge reason, and cannot be merged twice."""
    target, source = page("target"), page("source")
    body = {"source_incidents": [{"id": source["id"], "type": "incident_reference"}]}
    assert client.put(f"incidents/{target['id']}/merge", json=body).status_code == 200
    merged = client.rget(f"incidents/{source['id']}")
    assert merged["status"] == "resolved"
    assert merged["resolve_reason"]["incident"]["id"] == target["id"]
    again = client.put(f"incidents/{target['id']}/merge", json=body)
    assert again.json()["error"]["code"] == 1019


def test_responders_are_requested_by_a_named_requester(client: LoopbackClient, page: Page) -> None:
    """The requester is in the body; the target shows up as a pending responder."""
    incident = page()
    target = {"responder_request_target": {"id": "PUCHI01", "type": "user_reference"}}
    body = {"message": "Help", "requester_id": "PUSYNC1", "responder_request_targets": [target]}
    path = f"incidents/{incident['id']}"
    assert client.post(f"{path}/responder_requests", json=body).status_code == 200
    responder = client.rget(path)["incidents_responders"][0]
    assert (responder["user"]["summary"], responder["state"]) == ("Chiara Rossi", "pending")
    body.pop("requester_id")
    assert client.post(f"{path}/responder_requests", json=body).status_code == 400


def test_custom_fields_are_checked(client: LoopbackClient, page: Page) -> None:
    """Unknown names, wrong types and over-long strings are refused."""
    incident = page()
    path = f"incidents/{incident['id']}/custom_fields/values"
    for field in (
        {"name": "nope", "value": "x"},
        {"name": "affected_seats", "value": "many"},
        {"name": "sf_account", "value": "x" * 256},
    ):
        assert client.put(path, json={"custom_fields": [field]}).status_code == 400
    assert all(field["value"] is None for field in client.rget(path))
    defined = client.get("incidents/types/incident_default/custom_fields").json()["fields"]
    assert {"sf_case_id", "sf_account", "affected_seats"} == {field["name"] for field in defined}


def test_workflows_start_on_an_incident(world: World, client: LoopbackClient, page: Page) -> None:
    """A start is remembered with its own optional id; a disabled workflow refuses."""
    incident = page()
    workflow = client.find("incident_workflows", "Major incident") or {}
    body = {"id": "run-1", "incident": {"id": incident["id"], "type": "incident_reference"}}
    path = f"incident_workflows/{workflow['id']}/instances"
    answer = client.post(path, json={"incident_workflow_instance": body})
    assert answer.status_code == 201
    assert answer.json()["incident_workflow_instance"]["id"] == "run-1"
    started = world.pagerduty.store.all("workflow_instance")
    assert [(run["workflow"], run["incident"]) for run in started] == [
        (workflow["id"], incident["id"])
    ]
    stored = world.pagerduty.store.get("incident_workflow", workflow["id"])
    world.pagerduty.store.put("incident_workflow", {**(stored or {}), "is_enabled": False})
    assert client.post(path, json={"incident_workflow_instance": body}).status_code == 400


def test_stamps_follow_the_accounts_time_zone(
    world: World, client: LoopbackClient, page: Page
) -> None:
    """Entries and notes are shown in the account's zone, incidents in UTC; asking for UTC helps."""
    world.pagerduty.time_zone = "America/Lima"
    incident = page()
    path = f"incidents/{incident['id']}"
    note = client.rpost(f"{path}/notes", json={"content": "Hello"})
    assert note["created_at"].endswith("-05:00")
    local = client.rget(f"{path}/log_entries")[-1]["created_at"]
    utc = client.rget(f"{path}/log_entries", params={"time_zone": "UTC"})[-1]["created_at"]
    assert local.endswith("-05:00")
    assert utc == incident["created_at"]
    assert datetime.fromisoformat(local) == datetime.fromisoformat(utc)
    assert client.get("log_entries", params={"time_zone": "Mars/Base"}).status_code == 400


def test_nobody_answers_so_it_escalates(world: World, client: LoopbackClient, page: Page) -> None:
    """After the policy's delay the next level is paged by the service; low urgency stays."""
    incident, low = page("high"), page("low", urgency="low")
    assert incident["pending_actions"][0]["type"] == "escalate"
    assert low["pending_actions"] == []
    world.pagerduty.clock_offset = timedelta(minutes=31)
    escalated = client.rget(f"incidents/{incident['id']}")
    assert [a["assignee"]["summary"] for a in escalated["assignments"]] == ["Ben Okafor"]
    assert kinds(client, incident)[:2] == ["escalate", "notify"]
    assert "escalate" not in kinds(client, low)
