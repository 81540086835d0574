"""What we do to incidents."""

from collections.abc import Iterator
from typing import Any

import pytest

from pd_sf_rules.errors import (
    ConnectionConfigError,
    RefusedError,
    RetryableError,
    SkippableError,
    SyncError,
    UncertainError,
)
from pd_sf_rules.systems.pagerduty.actions import (
    IncidentUpdate,
    NewIncident,
    add_note,
    add_responders,
    create_incident,
    publish_status_update,
    run_workflow,
    set_custom_fields,
    update_incidents,
)
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.pagerduty.incidents import (
    fetch_incidents,
    incident_values,
    incidents_by_key,
)
from pd_sf_rules.systems.pagerduty.notes import notes_of
from pd_sf_rules.systems.results import WriteResult
from sandbox.world import World
from tests.contract.scripted import Reply, Scripted, scripted_server
from tests.contract.systems_clients import sandbox_pagerduty, scripted_pagerduty

SERVICE = "PSUPP01"


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that answers what the test says."""
    with scripted_server() as script:
        yield script


@pytest.fixture
def client(world: World) -> Iterator[PagerDutyClient]:
    """Our client for the sandbox."""
    made = sandbox_pagerduty(world)
    yield made
    made.close()


def _page(client: PagerDutyClient, key: str) -> str:
    result = create_incident(client, NewIncident("Down", SERVICE, key))
    assert result.id is not None
    return result.id


def _errors(results: list[WriteResult]) -> list[type[SyncError] | None]:
    return [type(one.error) if one.error else None for one in results]


def _writes(world: World) -> list[str]:
    exchanges = world.traffic.requests("pagerduty", writes_only=True)
    return [f"{one.method} {one.path}" for one in exchanges]


def test_an_incident_has_everything_it_was_given(client: PagerDutyClient) -> None:
    """Service, urgency, priority, details, policy and key arrive, and the answer shows them."""
    new = NewIncident(
        "Card failures",
        SERVICE,
        "sf-1",
        urgency="low",
        priority_id="PPRIO02",
        details="Customers cannot pay",
        escalation_policy_id="PESUPP1",
    )
    result = create_incident(client, new)
    assert result.error is None
    assert result.created
    assert not result.adopted
    wanted = {
        "title": "Card failures",
        "urgency": "low",
        "priority": "P2",
        "priority.id": "PPRIO02",
        "service.id": SERVICE,
        "escalation_policy.id": "PESUPP1",
        "incident_key": "sf-1",
        "status": "triggered",
    }
    assert {name: result.values[name] for name in wanted} == wanted
    assert result.id is not None
    assert fetch_incidents(client, [result.id])[result.id] == result.values
    raw = client.get(f"incidents/{result.id}", {"include": ["body"]})["incident"]
    assert raw.get("body", {}).get("details", "Customers cannot pay") == "Customers cannot pay"


def test_an_incident_may_be_assigned_to_a_person(client: PagerDutyClient) -> None:
    """`assignee_ids` instead of a policy; both together are refused before anything is sent."""
    result = create_incident(client, NewIncident("Down", SERVICE, "k", assignee_ids=["PUANA01"]))
    assert result.values["assignees"] == "Ana Lopez"
    assert result.values["assignee_ids"] == ["PUANA01"]
    calls = client.usage().calls
    both = NewIncident("Down", SERVICE, "k2", assignee_ids=["P"], escalation_policy_id="P")
    assert isinstance(create_incident(client, both).error, RefusedError)
    assert client.usage().calls == calls


def test_a_second_incident_with_an_open_key_adopts_the_first(
    world: World, client: PagerDutyClient
) -> None:
    """The duplicate sentence leads to the open incident; after a resolve a new one is made."""
    first = create_incident(client, NewIncident("Down", SERVICE, "sf-1"))
    again = create_incident(client, NewIncident("Down again", SERVICE, "sf-1"))
    assert again.adopted
    assert not again.created
    assert again.id == first.id
    assert again.values["title"] == "Down"
    assert first.id is not None
    world.person("Ana Lopez").resolve(first.id)
    third = create_incident(client, NewIncident("Down", SERVICE, "sf-1"))
    assert third.created
    assert third.id != first.id
    by_key = incidents_by_key(client, "sf-1", open_only=False)
    assert [one["id"] for one in by_key] == [third.id, first.id]
    assert [one["id"] for one in incidents_by_key(client, "sf-1", service_id=SERVICE)] == [third.id]


def test_a_duplicate_that_cannot_be_found_is_retryable(server: Scripted) -> None:
    """Refused as a duplicate, but gone when looked for: nothing was made, try again."""
    words = "Open incident with matching dedup key already exists on this service"
    refusal = {"error": {"code": 2002, "message": "Arguments Caused Error", "errors": [words]}}
    server.on("POST", "/incidents", Reply(400, refusal))
    server.on("GET", "/incidents", Reply(200, {"incidents": []}))
    client = scripted_pagerduty(server)
    assert type(create_incident(client, NewIncident("D", "P1", "k")).error) is RetryableError
    server.on("GET", "/incidents", Reply(503, None))
    assert type(create_incident(client, NewIncident("D", "P1", "k")).error) is RetryableError


def test_a_title_that_quotes_the_sentence_is_no_duplicate(server: Scripted) -> None:
    """Only the server's words count, not what a person wrote into a Case."""
    title = "Open incident with matching dedup key already exists on this service"
    refusal = {"error": {"code": 2001, "message": "Invalid Input Provided", "errors": ["no"]}}
    server.on("POST", "/incidents", Reply(400, refusal))
    server.on("GET", "/incidents", Reply(200, {"incidents": [], "more": False}))
    client = scripted_pagerduty(server)
    assert isinstance(create_incident(client, NewIncident(title, "P1", "k")).error, RefusedError)
    assert [one.method for one in server.requests] == ["POST", "GET"]


@pytest.mark.parametrize(
    "reply",
    [
        (400, [{"code": 2002, "message": "Open incident with matching dedup key already exists"}]),
        (400, {"message": "there is one already"}),
        (409, {"error": {"code": 2002, "message": "Conflict"}}),
        (422, {"errors": ["Duplicate incident_key"]}),
    ],
)
def test_an_open_incident_with_our_key_is_adopted_whatever_the_words(
    server: Scripted, reply: tuple[int, Any]
) -> None:
    """A refusal in any status and shape is no failure while an open incident has the key."""
    there = {"id": "Q1", "incident_key": "k", "status": "triggered", "service": {"id": "P1"}}
    server.on("POST", "/incidents", Reply(*reply))
    server.on("GET", "/incidents", Reply(200, {"incidents": [there], "more": False}))
    result = create_incident(scripted_pagerduty(server), NewIncident("Down", "P1", "k"))
    assert (result.id, result.adopted, result.error) == ("Q1", True, None)


def test_a_server_that_ignores_the_key_filter_does_not_mislead_us(server: Scripted) -> None:
    """An unknown filter is ignored silently; keys, status and service are compared here."""
    service = {"id": "P1", "type": "service_reference"}
    rows = [
        {"id": "Q1", "incident_key": "other", "status": "triggered", "service": service},
        {"id": "Q2", "incident_key": "k", "status": "resolved", "service": service},
        {"id": "Q3", "incident_key": "k", "status": "triggered", "service": {"id": "P2"}},
        {"id": "Q4", "incident_key": None, "status": "triggered", "service": service},
        {"id": "Q5", "incident_key": "k", "status": "acknowledged", "service": service},
    ]
    server.on("GET", "/incidents", Reply(200, {"incidents": rows}))
    client = scripted_pagerduty(server)
    found = incidents_by_key(client, "k", service_id="P1")
    assert [one["id"] for one in found] == ["Q5"]


def test_one_update_is_a_single_put(world: World, client: PagerDutyClient) -> None:
    """Resolved with a resolution text; the answer's values come back."""
    incident = _page(client, "sf-1")
    changes = {"status": "resolved", "resolution": "Fixed"}
    (result,) = update_incidents(client, [IncidentUpdate(incident, changes)])
    assert result.error is None
    assert result.values["status"] == "resolved"
    assert _writes(world)[-1] == f"PUT /incidents/{incident}"


def test_many_updates_are_one_bulk_put(world: World, client: PagerDutyClient) -> None:
    """Several incidents change in one call, each result with its own values, in order."""
    one, two, three = (_page(client, f"sf-{n}") for n in range(3))
    world.traffic.clear()
    results = update_incidents(
        client,
        [
            IncidentUpdate(one, {"status": "acknowledged"}),
            IncidentUpdate(two, {"priority_id": "PPRIO01", "urgency": "low"}),
            IncidentUpdate(three, {"assignee_ids": ["PUANA01"], "title": "New title"}),
        ],
    )
    assert _errors(results) == [None, None, None]
    assert _writes(world) == ["PUT /incidents"]
    assert results[0].values["status"] == "acknowledged"
    assert (results[1].values["priority"], results[1].values["urgency"]) == ("P1", "low")
    assert (results[2].values["assignees"], results[2].values["title"]) == (
        "Ana Lopez",
        "New title",
    )


def test_one_bad_row_does_not_fail_the_others(world: World, client: PagerDutyClient) -> None:
    """The bulk call is all or nothing: after its refusal each row is settled alone."""
    good, resolved = _page(client, "sf-1"), _page(client, "sf-2")
    world.person("Ana Lopez").resolve(resolved)
    results = update_incidents(
        client,
        [
            IncidentUpdate(good, {"title": "New"}),
            IncidentUpdate(resolved, {"title": "New"}),
            IncidentUpdate("Q0UNKNOWN", {"title": "New"}),
            IncidentUpdate(good, {"priority_id": "PNOPE"}),
        ],
    )
    assert _errors(results) == [None, SkippableError, SkippableError, RefusedError]
    assert fetch_incidents(client, [good])[good]["title"] == "New"


def test_a_bad_row_among_many_costs_few_calls(world: World, client: PagerDutyClient) -> None:
    """A refused bulk call is tried in halves: one bad row of sixteen does not cost sixteen calls."""
    ids = [_page(client, f"sf-{n}") for n in range(16)]
    world.person("Ana Lopez").resolve(ids[5])
    before = client.usage().calls
    results = update_incidents(client, [IncidentUpdate(one, {"title": "New"}) for one in ids])
    assert [type(one.error) for one in results if one.error] == [SkippableError]
    assert isinstance(results[5].error, SkippableError)
    assert client.usage().calls - before == 9


def test_a_server_without_bulk_updates_is_written_row_by_row(server: Scripted) -> None:
    """405 on the bulk call: each row by its own address, with its own result."""
    server.on("PUT", "/incidents", Reply(405, None))
    server.on("PUT", "/incidents/Q0", Reply(200, {"incident": {"id": "Q0", "status": "resolved"}}))
    client = scripted_pagerduty(server)
    results = update_incidents(client, [IncidentUpdate(f"Q{n}", {"title": "x"}) for n in range(3)])
    assert _errors(results) == [None, SkippableError, SkippableError]
    assert len(server.requests) == 4


def test_two_updates_of_one_incident_keep_their_order(
    world: World, client: PagerDutyClient
) -> None:
    """The same incident twice: two calls, and the last one stays."""
    one, two = _page(client, "sf-1"), _page(client, "sf-2")
    results = update_incidents(
        client,
        [
            IncidentUpdate(one, {"title": "first"}),
            IncidentUpdate(two, {"title": "other"}),
            IncidentUpdate(one, {"title": "last"}),
        ],
    )
    assert _errors(results) == [None, None, None]
    assert fetch_incidents(client, [one])[one]["title"] == "last"


def test_a_move_to_another_service_goes_alone(world: World, client: PagerDutyClient) -> None:
    """A bulk call cannot change the service, so that row takes its own."""
    one, two = _page(client, "sf-1"), _page(client, "sf-2")
    world.traffic.clear()
    results = update_incidents(
        client,
        [IncidentUpdate(one, {"title": "x"}), IncidentUpdate(two, {"service_id": "PSUPP02"})],
    )
    assert _errors(results) == [None, None]
    assert results[1].values["service.id"] == "PSUPP02"
    assert _writes(world) == [f"PUT /incidents/{one}", f"PUT /incidents/{two}"]


def test_more_than_250_updates_take_two_calls(server: Scripted) -> None:
    """PagerDuty's limit of a bulk update is kept."""
    server.on("PUT", "/incidents", Reply(200, {"incidents": []}))
    client = scripted_pagerduty(server)
    results = update_incidents(
        client, [IncidentUpdate(f"Q{n}", {"title": "x"}) for n in range(300)]
    )
    assert _errors(results) == [None] * 300
    assert [len(one.body["incidents"]) for one in server.requests] == [250, 50]


def test_a_lost_bulk_answer_leaves_every_row_in_doubt(server: Scripted) -> None:
    """Nothing is sent again, neither together nor singly."""
    server.on("PUT", "/incidents", Reply(502, "<html></html>"))
    client = scripted_pagerduty(server)
    results = update_incidents(client, [IncidentUpdate(f"Q{n}", {"title": "x"}) for n in range(2)])
    assert _errors(results) == [UncertainError, UncertainError]
    assert len(server.requests) == 1


def test_notes_are_added_and_read_with_their_authors(world: World, client: PagerDutyClient) -> None:
    """The result has the note's id, by which it is recognised when it comes back."""
    incident = _page(client, "sf-1")
    world.person("Ana Lopez").add_note(incident, "By hand")
    result = add_note(client, incident, "From Salesforce")
    mine = next(note for note in notes_of(client, incident) if note.id == result.id)
    assert (mine.content, mine.agent_id, mine.incident_id) == (
        "From Salesforce",
        "PUSYNC1",
        incident,
    )
    assert {note.agent for note in notes_of(client, incident)} == {"Ana Lopez", "Salesforce Sync"}


def test_a_missing_incident_is_skippable_everywhere(client: PagerDutyClient) -> None:
    """Note, status update, custom fields and responders: nothing left to do."""
    results = [
        add_note(client, "Q0GONE", "x"),
        publish_status_update(client, "Q0GONE", "x"),
        set_custom_fields(client, "Q0GONE", {"sf_case_id": "x"}),
        add_responders(client, "Q0GONE", user_ids=["PUANA01"]),
    ]
    assert _errors(results) == [SkippableError] * 4
    with pytest.raises(SkippableError):
        notes_of(client, "Q0GONE")
    assert fetch_incidents(client, ["Q0GONE"]) == {}


def test_the_other_actions_reach_the_incident(world: World, client: PagerDutyClient) -> None:
    """Workflow, responders, status update and custom fields are seen on PagerDuty's side."""
    incident = _page(client, "sf-1")
    workflow = world.pagerduty.store.all("incident_workflow")[0]["id"]
    field = world.pagerduty.store.all("custom_field")[0]["name"]
    assert run_workflow(client, incident, workflow).error is None
    assert add_responders(client, incident, user_ids=["PUANA01"], message="Help").error is None
    assert publish_status_update(client, incident, "Working on it").error is None
    result = set_custom_fields(client, incident, {field: "500x"})
    assert result.values[f"custom_fields.{field}"] == "500x"
    values = fetch_incidents(client, [incident], custom_fields=True)[incident]
    assert values[f"custom_fields.{field}"] == "500x"


def test_custom_fields_are_asked_for_where_the_incident_has_none(server: Scripted) -> None:
    """An answer without `custom_fields` costs one more request, and an account without them nothing."""
    client = scripted_pagerduty(server)
    server.on("GET", "/incidents/Q1", Reply(200, {"incident": {"id": "Q1", "status": "triggered"}}))
    rows = [{"name": "sf_case", "value": "500x"}]
    server.on("GET", "/incidents/Q1/custom_fields/values", Reply(200, {"custom_fields": rows}))
    values = fetch_incidents(client, ["Q1"], custom_fields=True)["Q1"]
    assert values["custom_fields.sf_case"] == "500x"
    server.on("GET", "/incidents/Q1/custom_fields/values", Reply(402, None))
    assert fetch_incidents(client, ["Q1"], custom_fields=True)["Q1"]["status"] == "triggered"


def test_responders_need_a_known_user(server: Scripted) -> None:
    """Without a user id nothing is asked, and from_email is named."""
    server.on("GET", "/users", Reply(200, {"users": []}))
    result = add_responders(scripted_pagerduty(server), "Q1", user_ids=["P1"])
    assert isinstance(result.error, ConnectionConfigError)
    assert result.error.field == "from_email"


def test_many_incidents_are_fetched_by_pages(world: World, client: PagerDutyClient) -> None:
    """Fifteen open and one resolved: one page of open ones, and one request for the other."""
    ids = [_page(client, f"sf-{n}") for n in range(16)]
    world.person("Ana Lopez").resolve(ids[3])
    before = client.usage().calls
    values = fetch_incidents(client, [*ids, "Q0GONE"])
    assert list(values) != []
    assert {one: values[one]["status"] for one in ids} == {
        one: "resolved" if one == ids[3] else "triggered" for one in ids
    }
    assert "Q0GONE" not in values
    assert client.usage().calls == before + 3


def test_values_of_a_sparse_incident_are_blank() -> None:
    """Nulls and missing members give None, never an error; webhook shapes are understood too."""
    values = incident_values({"id": "Q1", "priority": None, "service": None, "assignments": None})
    assert values["priority"] is None
    assert values["assignees"] is None
    assert values["service.name"] is None
    webhook = incident_values(
        {"id": "Q1", "number": 7, "assignees": [{"id": "P1", "summary": "Ana"}], "summary": "T"}
    )
    assert (webhook["number"], webhook["assignees"], webhook["title"]) == (7, "Ana", "T")


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_note_without_an_id_is_looked_for(server: Scripted, status: int) -> None:
    """A note that the answer does not name would not be known when it comes back."""
    client = scripted_pagerduty(server)
    bodies: list[Any] = [None, {}, {"note": {}}]
    for body in bodies:
        server.on("POST", "/incidents/Q1/notes", Reply(status, body))
        assert isinstance(add_note(client, "Q1", "x").error, UncertainError)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_success_codes_are_alike(server: Scripted, status: int) -> None:
    """200, 201 and 202 with a body, 204 without: all are success."""
    client = scripted_pagerduty(server)
    server.on("POST", "/incidents/Q1/notes", Reply(status, {"note": {"id": "N1"}}))
    assert add_note(client, "Q1", "x").id == "N1"
    server.on("PUT", "/incidents/Q1", Reply(204))
    assert update_incidents(client, [IncidentUpdate("Q1", {"title": "x"})])[0].error is None
