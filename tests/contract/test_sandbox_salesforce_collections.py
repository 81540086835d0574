"""The simulated org's collections, composite, batch and graph calls, with their partial failures."""

from typing import Any

import pytest

from sandbox.salesforce.planned import Refusal
from sandbox.world import World
from tests.contract.salesforce_clients import Rest, log_in, simple_salesforce

CASE = {"type": "Case"}
ROOT = "/services/data/v66.0"


@pytest.fixture
def client(world: World) -> Rest:
    """A logged-in plain client."""
    return log_in(world)


def codes(results: list[dict[str, Any]]) -> list[str | None]:
    """Return each row's status code, None for those that went well."""
    return [None if each["success"] else each["errors"][0]["statusCode"] for each in results]


def send(client: Rest, method: str, records: list[dict[str, Any]], **more: Any) -> Any:
    """Send a collections call and return its rows."""
    reply = client.call(method, "composite/sobjects", json={"records": records, **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_each_row_has_its_own_fate(world: World, client: Rest) -> None:
    """A collections create is 200 with good and bad rows in order; the good ones stay."""
    rows = [
        {"attributes": CASE, "Subject": "a"},
        {"attributes": CASE, "Subject": "b" * 256},
        {"attributes": {"type": "Account"}, "Phone": "1"},
        {"attributes": {"type": "CaseComment"}, "CommentBody": "no parent"},
        {"attributes": CASE, "Subject": "e"},
    ]
    results = send(client, "POST", rows)
    assert codes(results) == [
        None, "STRING_TOO_LONG", "REQUIRED_FIELD_MISSING", "REQUIRED_FIELD_MISSING", None,
    ]  # fmt: skip
    assert results[0] == {"id": results[0]["id"], "success": True, "errors": []}
    assert "id" not in results[1]
    assert results[2]["errors"][0]["fields"] == ["Name"]
    assert [each["Subject"] for each in world.salesforce.records("Case")] == ["a", "e"]


def test_all_or_none_takes_everything_back(world: World, client: Rest) -> None:
    """With allOrNone one bad row rolls the others back and says so on each."""
    rows = [{"attributes": CASE, "Subject": "a"}, {"attributes": CASE, "Priority": "P1"}]
    assert codes(send(client, "POST", rows, allOrNone=True)) == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
    ]
    assert world.salesforce.records("Case") == []


def test_updates_and_deletes(world: World, client: Rest) -> None:
    """PATCH wants an id in every row; DELETE takes ids; missing and deleted rows say which."""
    ids = [each["id"] for each in send(client, "POST", [{"attributes": CASE}] * 3)]
    world.salesforce.delete(ids[2])
    rows = [
        {"attributes": CASE, "id": ids[0], "Subject": "new"},
        {"attributes": CASE, "Id": ids[2], "Subject": "new"},
        {"attributes": CASE, "id": "500SB0000009999YAA", "Subject": "new"},
        {"attributes": CASE, "Subject": "no id"},
        {"attributes": CASE, "id": "001SB0000000001YAA", "Subject": "no case"},
    ]
    assert codes(send(client, "PATCH", rows)) == [
        None, "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "MISSING_ARGUMENT", "MALFORMED_ID",
    ]  # fmt: skip
    assert world.salesforce.record(ids[0])["Subject"] == "new"
    reply = client.call("DELETE", "composite/sobjects", params={"ids": f"{ids[0]},{ids[2]}"})
    assert codes(reply.json()) == [None, "ENTITY_IS_DELETED"]


def test_upsert_by_external_id_in_bulk(client: Rest) -> None:
    """Rows say whether they were created; the same key twice in a call fails both rows."""
    path = "composite/sobjects/Case/PagerDuty_Incident_Id__c"

    def upsert(*keys: str) -> Any:
        rows = [
            {"attributes": CASE, "PagerDuty_Incident_Id__c": key, "Subject": key} for key in keys
        ]
        return client.call("PATCH", path, json={"records": rows}).json()

    assert [each["created"] for each in upsert("Q1", "Q2")] == [True, True]
    assert [each["created"] for each in upsert("Q2", "Q3")] == [False, True]
    assert codes(upsert("Q4", "Q4", "Q5")) == ["DUPLICATE_VALUE", "DUPLICATE_VALUE", None]


def test_retrieve_by_ids(world: World, client: Rest) -> None:
    """GET by ids keeps the order and answers null for what is not there."""
    first = world.salesforce.create("Case", {"Subject": "a"})
    ids = f"{first},500SB0000009999YAA"
    path = "composite/sobjects/Case"
    rows = client.call("GET", path, params={"ids": ids, "fields": "Subject"}).json()
    assert rows[0]["Subject"] == "a"
    assert rows[1] is None
    body = {"ids": ids.split(","), "fields": ["Subject"]}
    assert client.call("POST", path, json=body).json() == rows
    assert world.salesforce.writes() == []


def test_limits_of_a_collections_call(client: Rest) -> None:
    """More than 200 rows, or more than ten changes of type, are refused as a whole."""
    many = client.call("POST", "composite/sobjects", json={"records": [{"attributes": CASE}] * 201})
    assert many.status_code == 400
    assert "cannot submit more than 200 records" in many.json()[0]["message"]
    mixed = [{"attributes": CASE}, {"attributes": {"type": "Account"}, "Name": "x"}] * 6
    reply = client.call("POST", "composite/sobjects", json={"records": mixed})
    assert "more than 10 chunks" in reply.json()[0]["message"]


def test_planned_rows_fail_once(world: World, client: Rest) -> None:
    """A planned refusal hits its place in the next collections call, then no more."""
    refusal = Refusal(code="UNABLE_TO_LOCK_ROW", message="unable to obtain", position=1)
    world.salesforce.faults.refuse(refusal)
    assert client.call("POST", "sobjects/Case", json={}).status_code == 201
    rows = [{"attributes": CASE}] * 3
    assert codes(send(client, "POST", rows)) == [None, "UNABLE_TO_LOCK_ROW", None]
    assert codes(send(client, "POST", rows)) == [None, None, None]


def test_composite_passes_results_on(world: World, client: Rest) -> None:
    """A later part refers to an earlier one's id, in its address and its body; one API call."""
    parts = [
        part("POST", "sobjects/Case", "c", {"Subject": "x", "Priority": "High"}),
        part("POST", "sobjects/CaseComment", "d", {"ParentId": "@{c.id}", "CommentBody": "on it"}),
        part("GET", "sobjects/Case/@{c.id}?fields=Subject", "e"),
        part("GET", "query?q=SELECT+Id+FROM+CaseComment+WHERE+ParentId='@{c.id}'", "f"),
        part("PATCH", "sobjects/Case/@{f.records[0].Id}", "g", {"Subject": "wrong kind"}),
        part("DELETE", "sobjects/Case/@{h.id}", "i"),
    ]
    used = world.salesforce.usage.used()
    results = client.call("POST", "composite", json={"compositeRequest": parts}).json()
    assert world.salesforce.usage.used() == used + 1
    answers = {each["referenceId"]: each for each in results["compositeResponse"]}
    statuses = [each["httpStatusCode"] for each in results["compositeResponse"]]
    assert statuses == [201, 201, 200, 200, 404, 400]
    location = f"{ROOT}/sobjects/Case/{answers['c']['body']['id']}"
    assert answers["c"]["httpHeaders"] == {"Location": location}
    assert answers["e"]["body"]["Subject"] == "x"
    assert answers["f"]["body"]["records"][0]["Id"] == answers["d"]["body"]["id"]
    assert answers["i"]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    methods = [(each["method"], each["status"]) for each in world.salesforce.writes()]
    assert methods == [("POST", 201), ("POST", 201), ("PATCH", 404)]


def part(method: str, path: str, reference: str, body: Any = None) -> dict[str, Any]:
    """Return one part of a composite call."""
    made = {"method": method, "url": f"{ROOT}/{path}", "referenceId": reference}
    return made if body is None else {**made, "body": body}


def test_composite_all_or_none(world: World, client: Rest) -> None:
    """With allOrNone a failed part takes the others back; innocent ones are halted."""
    parts = [
        part("POST", "sobjects/Case", "a", {"Subject": "x"}),
        part("POST", "sobjects/Case", "b", {"Priority": "P1"}),
        part("POST", "sobjects/Case", "c", {"Subject": "z"}),
    ]
    body = {"allOrNone": True, "compositeRequest": parts}
    results = client.call("POST", "composite", json=body).json()["compositeResponse"]
    assert [each["body"][0]["errorCode"] for each in results] == [
        "PROCESSING_HALTED", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "PROCESSING_HALTED",
    ]  # fmt: skip
    assert world.salesforce.records("Case") == []
    assert world.salesforce.changes()[-1]["object"] != "Case"


def test_composite_limits(client: Rest) -> None:
    """More than 25 parts, or more than five queries, are refused."""
    many = [part("GET", "limits", f"r{n}") for n in range(26)]
    reply = client.call("POST", "composite", json={"compositeRequest": many})
    assert reply.json()[0]["errorCode"] == "LIMIT_EXCEEDED"
    queries = [part("GET", "query?q=SELECT+COUNT()+FROM+Case", f"r{n}") for n in range(6)]
    reply = client.call("POST", "composite", json={"compositeRequest": queries})
    assert reply.json()[0]["errorCode"] == "LIMIT_EXCEEDED"
    reply = client.call("POST", "composite", json={"compositeRequest": queries[:5]})
    assert [each["body"]["totalSize"] for each in reply.json()["compositeResponse"]] == [0] * 5


def test_batch_parts_are_independent_and_counted(world: World, client: Rest) -> None:
    """Every part of a batch counts as a call; haltOnError stops after the first failure."""
    parts = [
        {"method": "POST", "url": "v66.0/sobjects/Case", "richInput": {"Subject": "a"}},
        {"method": "GET", "url": "v66.0/sobjects/Case/500SB0000009999YAA"},
        {"method": "GET", "url": "v66.0/query?q=SELECT+Subject+FROM+Case"},
    ]
    used = world.salesforce.usage.used()
    answer = client.call("POST", "composite/batch", json={"batchRequests": parts}).json()
    assert world.salesforce.usage.used() == used + 3
    assert answer["hasErrors"] is True
    assert [each["statusCode"] for each in answer["results"]] == [201, 404, 200]
    assert answer["results"][2]["result"]["records"][0]["Subject"] == "a"
    halting = {"haltOnError": True, "batchRequests": parts}
    answer = client.call("POST", "composite/batch", json=halting).json()
    assert answer["results"][2]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"


def test_graphs_succeed_or_fail_each_as_a_whole(world: World, client: Rest) -> None:
    """Of two graphs the sound one is written and the other leaves nothing."""
    graphs = [
        {"graphId": "g1", "compositeRequest": [part("POST", "sobjects/Case", "a", {})]},
        {
            "graphId": "g2",
            "compositeRequest": [
                part("POST", "sobjects/Case", "a", {}),
                part("POST", "sobjects/CaseComment", "b", {"ParentId": "@{a.id}", "No": 1}),
            ],
        },
    ]
    answer = client.call("POST", "composite/graph", json={"graphs": graphs}).json()
    assert [each["isSuccessful"] for each in answer["graphs"]] == [True, False]
    assert len(world.salesforce.records("Case")) == 1
    assert world.salesforce.records("CaseComment") == []


def test_simple_salesforce_reaches_composite(world: World) -> None:
    """The library's generic call drives composite too."""
    sf = simple_salesforce(world)
    body = {"compositeRequest": [part("POST", "sobjects/Case", "a", {"Subject": "x"})]}
    answer = sf.restful("composite", method="POST", json=body)
    assert answer["compositeResponse"][0]["httpStatusCode"] == 201
