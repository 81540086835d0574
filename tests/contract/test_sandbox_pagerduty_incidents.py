"""The simulated incidents behave as PagerDuty's, seen through the official client."""

from collections.abc import Callable
from typing import Any

import pytest
from pagerduty import HttpError

from sandbox.pagerduty.seed import READ_ONLY_KEY, USER_KEY
from sandbox.world import World
from tests.contract.pagerduty_client import LoopbackClient

Page = Callable[..., dict[str, Any]]


def refusal(client: LoopbackClient, method: str, path: str, **options: Any) -> tuple[int, Any, str]:
    """Status, error code and whole text of a refused call."""
    response = client.request(method, path, **options)
    error = response.json()["error"]
    return response.status_code, error.get("code"), response.text


def put(client: LoopbackClient, incident: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Change one incident."""
    body = {"type": "incident_reference", **members}
    changed: dict[str, Any] = client.rput(f"incidents/{incident['id']}", json=body)
    return changed


def test_created_incident_has_the_documented_shape_with_nulls(page: Page) -> None:
    """A new incident is triggered, numbered, assigned by its policy, and null where nothing is."""
    incident = page(incident_key="sf-1", body={"type": "incident_body", "details": "why"})
    assert (incident["status"], incident["urgency"]) == ("triggered", "high")
    assert incident["summary"] == f"[#{incident['incident_number']}] Card failures"
    assert incident["priority"] is None
    assert incident["resolved_at"] is None
    assert incident["assignments"][0]["assignee"]["summary"] == "Ana Lopez"
    assert incident["assigned_via"] == "escalation_policy"
    assert incident["first_trigger_log_entry"]["type"] == "trigger_log_entry_reference"
    assert not any(name.startswith("_") for name in incident)


def test_writing_without_from_is_refused(world: World) -> None:
    """An account key must name the acting user in From; a user's key need not."""
    body = {"incident": {"type": "incident", "title": "t", "service": {"id": "PSUPP01"}}}
    with LoopbackClient(world) as nameless:
        status, code, text = refusal(nameless, "POST", "incidents", json=body)
    assert (status, code) == (400, 2016)
    assert "email address in the" in text
    with LoopbackClient(world, USER_KEY) as ana:
        created = ana.post("incidents", json=body)
    assert created.status_code == 201
    assert created.json()["incident"]["last_status_change_by"]["summary"] == "Ana Lopez"


def test_unknown_from_is_refused(world: World) -> None:
    """From must be the address of a user."""
    with LoopbackClient(world, default_from="nobody@acme.example") as stranger:
        answer = refusal(stranger, "POST", "incidents", json={"incident": {}})
    assert answer[:2] == (400, 1008)


def test_credentials_are_checked(world: World) -> None:
    """A wrong key is 401, and a read-only key cannot write."""
    with LoopbackClient(world, "wrong") as stranger, pytest.raises(HttpError) as refused:
        stranger.get("services")
    assert "401 Unauthorized" in str(refused.value)
    with LoopbackClient(world, READ_ONLY_KEY) as reader:
        assert reader.get("services").status_code == 200
        assert refusal(reader, "POST", "incidents", json={})[:2] == (403, 2010)


def test_open_incident_with_same_key_is_refused(client: LoopbackClient, page: Page) -> None:
    """A key is free again only on another service or once its incident is resolved."""
    first = page(incident_key="sf-1")
    body = {
        "type": "incident",
        "title": "again",
        "service": {"id": "PSUPP01"},
        "incident_key": "sf-1",
    }
    status, code, text = refusal(client, "POST", "incidents", json={"incident": body})
    assert (status, code) == (400, 2002)
    assert "Open incident with matching dedup key already exists on this service" in text
    assert page(incident_key="sf-1", service={"id": "PSUPP02"})["id"] != first["id"]
    put(client, first, status="resolved")
    second = page(incident_key="sf-1")
    found = client.list_all(
        "incidents",
        params={"incident_key": "sf-1", "service_ids": ["PSUPP01"], "statuses": ["triggered"]},
    )
    assert [second["id"]] == [incident["id"] for incident in found]


@pytest.mark.parametrize(
    ("members", "status", "code"),
    [
        ({"title": " "}, 400, 2001),
        ({"type": "thing"}, 400, 2001),
        ({"urgency": "medium"}, 400, 2001),
        ({"service": {"id": "PNOPE"}}, 404, 5002),
        ({"priority": {"id": "PNOPE"}}, 400, 1020),
        ({"assignments": [{"assignee": {"id": "PNOPE"}}]}, 400, 1007),
        ({"escalation_policy": {"id": "PNOPE"}}, 400, 1014),
    ],
)
def test_bad_incident_is_refused(
    client: LoopbackClient, members: dict[str, Any], status: int, code: int
) -> None:
    """Each kind of bad member has its own code, and nothing is created."""
    body = {"type": "incident", "title": "t", "service": {"id": "PSUPP01"}, **members}
    assert refusal(client, "POST", "incidents", json={"incident": body})[:2] == (status, code)
    assert client.list_all("incidents") == []


def test_acknowledging_takes_the_incident_over(client: LoopbackClient, page: Page) -> None:
    """The acting user becomes the only assignee."""
    changed = put(client, page(), status="acknowledged")
    assert changed["status"] == "acknowledged"
    assert [a["assignee"]["summary"] for a in changed["assignments"]] == ["Salesforce Sync"]
    assert changed["acknowledgements"][0]["acknowledger"]["summary"] == "Salesforce Sync"


def test_resolving_with_a_resolution_leaves_a_note(client: LoopbackClient, page: Page) -> None:
    """The text is in the resolve entry and comes back as a note of ours."""
    incident = page()
    resolved = put(client, incident, status="resolved", resolution="Provider is back")
    assert resolved["resolved_at"] is not None
    entry = client.rget(f"incidents/{incident['id']}/log_entries")[0]
    assert (entry["type"], entry["note"]) == ("resolve_log_entry", "Provider is back")
    notes = client.rget(f"incidents/{incident['id']}/notes")
    assert [note["content"] for note in notes] == ["Resolution Note: Provider is back"]


def test_resolved_incident_refuses_changes_but_reopens(client: LoopbackClient, page: Page) -> None:
    """Resolving twice is 1001; acknowledging a resolved incident reopens it."""
    incident = put(client, page(), status="resolved")
    for members in ({"status": "resolved"}, {"priority": "P1"}, {"urgency": "low"}):
        body = {"incident": {"type": "incident_reference", **members}}
        status, code, text = refusal(client, "PUT", f"incidents/{incident['id']}", json=body)
        assert (status, code) == (400, 1001)
        assert "Incident Already Resolved" in text
    reopened = put(client, incident, status="acknowledged")
    assert (reopened["status"], reopened["resolved_at"]) == ("acknowledged", None)
    kinds = [e["type"] for e in client.rget(f"incidents/{incident['id']}/log_entries")]
    assert kinds.index("acknowledge_log_entry") < kinds.index("reopen_log_entry")


def test_bulk_change_is_all_or_nothing(client: LoopbackClient, page: Page) -> None:
    """One incident that refuses leaves every other untouched, its log included."""
    first, second = page("one"), put(client, page("two"), status="resolved")
    before = client.list_all("log_entries")
    bodies = [
        {"id": incident["id"], "type": "incident_reference", "status": "resolved"}
        for incident in (first, second)
    ]
    assert refusal(client, "PUT", "incidents", json={"incidents": bodies})[0] == 400
    assert client.rget(f"incidents/{first['id']}")["status"] == "triggered"
    assert client.list_all("log_entries") == before
    changed = client.rput("incidents", json=bodies[:1])
    assert [incident["status"] for incident in changed] == ["resolved"]


def test_bulk_change_takes_at_most_250(client: LoopbackClient, page: Page) -> None:
    """One more is 413."""
    incident = page()
    body = {"id": incident["id"], "type": "incident_reference", "title": "renamed"}
    assert client.put("incidents", json={"incidents": [body] * 250}).status_code == 200
    assert client.put("incidents", json={"incidents": [body] * 251}).status_code == 413


def test_priority_by_reference_and_by_name(client: LoopbackClient, page: Page) -> None:
    """A bare name picks the highest of that name; the entry's channel tells old and new."""
    incident = put(client, page(priority={"id": "PPRIO02"}), priority="P1")
    assert incident["priority"]["summary"] == "P1"
    entries = client.rget(
        f"incidents/{incident['id']}/log_entries", params={"include": ["channels"]}
    )
    channel = entries[0]["channel"]
    assert entries[0]["type"] == "priority_change_log_entry"
    assert (channel["old_priority"]["name"], channel["new_priority"]["name"]) == ("P2", "P1")
    put(client, incident, priority="P1")
    assert len(client.rget(f"incidents/{incident['id']}/log_entries")) == len(entries)


def test_reassigning_delegating_escalating(client: LoopbackClient, page: Page) -> None:
    """Each way to move an incident has its own entry, and low urgency cannot escalate."""
    incident = page()
    ben = [{"assignee": {"id": "PUBEN01", "type": "user_reference"}}]
    assert put(client, incident, assignments=ben)["assigned_via"] == "direct_assignment"
    assert put(client, incident, escalation_level=2)["assigned_via"] == "escalation_policy"
    put(
        client, incident, escalation_policy={"id": "PERENEW", "type": "escalation_policy_reference"}
    )
    kinds = [e["type"] for e in client.rget(f"incidents/{incident['id']}/log_entries")]
    moves = [k for k in kinds if k.split("_")[0] in ("assign", "escalate", "delegate")]
    assert moves[:3] == ["delegate_log_entry", "escalate_log_entry", "assign_log_entry"]
    low = put(client, incident, urgency="low")
    body = {"incident": {"type": "incident_reference", "escalation_level": 1}}
    assert refusal(client, "PUT", f"incidents/{low['id']}", json=body)[:2] == (400, 1006)


def test_incidents_are_filtered_by_creation_and_state(client: LoopbackClient, page: Page) -> None:
    """Set filters are OR inside and AND across; unknown filters are ignored; ranges are checked."""
    first = page("one", urgency="low")
    second = put(client, page("two", service={"id": "PRENEW1"}), status="resolved")

    def ids(**params: Any) -> list[str]:
        return [i["id"] for i in client.list_all("incidents", params=params)]

    assert ids(statuses=["triggered", "acknowledged"]) == [first["id"]]
    assert ids(service_ids=["PRENEW1"], statuses=["resolved"]) == [second["id"]]
    assert ids(urgencies=["low"]) == [first["id"]]
    assert ids(priorities=["P1"]) == [first["id"], second["id"]]
    assert ids(sort_by="incident_number:desc") == [second["id"], first["id"]]
    assert ids(since="2020-01-01T00:00:00Z", until="2020-01-02T00:00:00Z") == []
    too_long = {"since": "2020-01-01T00:00:00Z", "until": "2021-01-01T00:00:00Z"}
    assert refusal(client, "GET", "incidents", params=too_long)[:2] == (400, 2001)


def test_included_objects_are_whole(client: LoopbackClient, page: Page) -> None:
    """References become objects with `include[]`, custom fields only on the single incident."""
    incident = page(priority={"id": "PPRIO01"})
    values = [{"name": "sf_case_id", "value": "5003X00001"}]
    client.rput(f"incidents/{incident['id']}/custom_fields/values", json=values)
    include = {"include": ["services", "priorities", "custom_fields"]}
    listed = client.rget("incidents", params=include)[0]
    assert (listed["service"]["type"], listed["service"]["status"]) == ("service", "active")
    assert listed["priority"]["name"] == "P1"
    assert "custom_fields" not in listed
    single = client.rget(f"incidents/{incident['id']}", params=include)
    by_name = {f["name"]: f["value"] for f in single["custom_fields"]}
    assert by_name == {"sf_case_id": "5003X00001", "sf_account": None, "affected_seats": None}


def test_unknown_things_are_404(client: LoopbackClient) -> None:
    """Unknown ids and the removed response plays answer 404."""
    assert refusal(client, "GET", "incidents/QNOPE")[0] == 404
    assert refusal(client, "POST", "response_plays/P1/run", json={})[:2] == (404, 2100)
