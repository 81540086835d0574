"""The simulated org describes, creates, reads, changes and deletes records as Salesforce does."""

from typing import Any

import pytest
from simple_salesforce.exceptions import (
    SalesforceMalformedRequest,
    SalesforceResourceNotFound,
)

from sandbox.world import World
from tests.contract.salesforce_clients import Rest, log_in, simple_salesforce

AGENT = "sam.agent@acme.example"
MISSING = "500SB0000009999YAA"


@pytest.fixture
def client(world: World) -> Rest:
    """A logged-in plain client."""
    return log_in(world)


def new_case(client: Rest, **fields: Any) -> str:
    """Create a Case and return its id."""
    reply = client.call("POST", "sobjects/Case", json=fields)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


def test_versions_and_resources(world: World, client: Rest) -> None:
    """The version list needs no login; the root of a version names its resources."""
    listed = client.get(f"{world.salesforce_url}/services/data", headers={"Authorization": ""})
    assert listed.json()[-1] == {
        "label": "Summer '26",
        "url": "/services/data/v67.0",
        "version": "67.0",
    }
    root = client.call("GET", "").json()
    assert root["query"] == "/services/data/v66.0/query"
    assert client.call("GET", "/services/data/v30.0/limits").status_code == 410
    assert client.call("GET", "/services/data/v99.0/limits").status_code == 404


def test_simple_salesforce_lives_a_record_s_life(world: World) -> None:
    """Create, get, update, upsert, describe and delete through the unchanged library."""
    sf = simple_salesforce(world)
    made = sf.Case.create({"Subject": "  Down  ", "Priority": "High"})
    assert made == {"id": made["id"], "success": True, "errors": []}
    case = sf.Case.get(made["id"])
    assert (case["Subject"], case["Status"], case["IsClosed"]) == ("Down", "New", False)
    assert sf.Case.update(made["id"], {"Status": "Closed"}) == 204
    closed = sf.Case.get(made["id"])
    assert closed["IsClosed"] is True
    assert closed["ClosedDate"] is not None
    assert sf.Case.upsert("PagerDuty_Incident_Id__c/Q1", {"Subject": "New"}) == 201
    assert sf.Case.upsert("PagerDuty_Incident_Id__c/Q1", {"Subject": "Old"}) == 200
    assert sf.Case.get_by_custom_id("PagerDuty_Incident_Id__c", "Q1")["Subject"] == "Old"
    assert sf.Case.metadata()["objectDescribe"]["keyPrefix"] == "500"
    assert {each["name"] for each in sf.describe()["sobjects"]} >= {"Case", "Outage__c"}
    assert sf.Case.delete(made["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound, match="ENTITY_IS_DELETED"):
        sf.Case.get(made["id"])
    with pytest.raises(SalesforceMalformedRequest, match="STRING_TOO_LONG"):
        sf.Case.create({"Subject": "x" * 256})


def test_describe_tells_what_a_client_needs(client: Rest) -> None:
    """Fields carry the keys that clients read, with the right values for a few of each kind."""
    described = client.call("GET", "sobjects/Case/describe").json()
    fields = {each["name"]: each for each in described["fields"]}
    key = fields["PagerDuty_Incident_Id__c"]
    assert (key["externalId"], key["unique"], key["idLookup"], key["length"]) == (
        True, True, True, 32,
    )  # fmt: skip
    assert fields["SystemModstamp"]["updateable"] is False
    assert fields["Priority"]["restrictedPicklist"] is True
    assert fields["Regions__c"]["picklistValues"][0]["value"] == "EMEA"
    assert fields["OwnerId"]["referenceTo"] == ["Group", "User"]
    assert fields["OwnerId"]["polymorphicForeignKey"] is True
    assert fields["AccountId"]["relationshipName"] == "Account"
    assert fields["Description"]["filterable"] is False
    flag = fields["Critical__c"]
    assert (flag["type"], flag["nillable"], flag["defaultedOnCreate"]) == ("boolean", False, True)
    children = {each["relationshipName"]: each for each in described["childRelationships"]}
    assert children["CaseComments"]["childSObject"] == "CaseComment"
    outage = client.call("GET", "sobjects/Outage__c/describe").json()
    required = [
        each["name"]
        for each in outage["fields"]
        if each["createable"] and not each["nillable"] and not each["defaultedOnCreate"]
    ]
    assert required == ["Name"]
    assert client.call("GET", "sobjects/Nothing/describe").status_code == 404


def test_describe_can_be_cached(world: World, client: Rest) -> None:
    """A describe that did not change since is 304; a change of access makes it new at once."""
    path = "sobjects/Case/describe"
    since = {"If-Modified-Since": client.call("GET", path).headers["Last-Modified"]}
    unchanged = client.call("GET", path, headers=since)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    world.salesforce.faults.set(skew_seconds=2)
    world.salesforce.faults.set_access("Case", "Severity__c", "none")
    assert client.call("GET", path, headers=since).status_code == 200


def test_half_a_surrogate_pair_is_stored_as_a_replacement(world: World, client: Rest) -> None:
    """Text that JSON can carry but UTF-8 cannot does not break the org."""
    headers = {"Content-Type": "application/json"}
    body = b'{"Subject": "a\\ud83db"}'
    reply = client.call("POST", "sobjects/Case", data=body, headers=headers)
    assert client.call("GET", f"sobjects/Case/{reply.json()['id']}").json()["Subject"] == "a\ufffdb"


def test_values_are_stored_as_salesforce_stores_them(world: World, client: Rest) -> None:
    """Blank text is null, booleans never are, numbers round, instants turn to UTC seconds."""
    case = new_case(
        client,
        Subject="  x ",
        SuppliedName="   ",
        Severity__c=2.5,
        Regions__c="APAC;EMEA;APAC",
        Due__c="2026-11-02",
        Escalation_Time__c="2026-11-01T12:00:00.987+02:00",
        Critical__c=None,
        Description="a\r\nb",
    )
    names = "Subject,SuppliedName,Severity__c,Regions__c,Due__c,Escalation_Time__c,Critical__c"
    row = client.call("GET", f"sobjects/Case/{case}", params={"fields": names}).json()
    del row["attributes"]
    assert row == {
        "Subject": "x",
        "SuppliedName": None,
        "Severity__c": 3.0,
        "Regions__c": "EMEA;APAC",
        "Due__c": "2026-11-02",
        "Escalation_Time__c": "2026-11-01T10:00:00.000+0000",
        "Critical__c": False,
    }
    record = world.salesforce.record(case)
    assert record["Description"] == "a\nb"
    assert record["SystemModstamp"].endswith(".000+0000")


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"Nope__c": 1}, "INVALID_FIELD", "No such column 'Nope__c' on sobject of type Case"),
        ({"Subject": "x" * 256}, "STRING_TOO_LONG", "(max length=255)"),
        ({"Priority": "P1"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
         "Priority: bad value for restricted picklist field: P1"),
        ({"Regions__c": "EMEA;MOON"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "MOON"),
        ({"CaseNumber": "1"}, "INVALID_FIELD_FOR_INSERT_UPDATE",
         "Unable to create/update fields: CaseNumber."),
        ({"SystemModstamp": "2026-11-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "check"),
        ({"AccountId": "abc"}, "MALFORMED_ID", "Account ID: id value of incorrect type: abc"),
        ({"AccountId": MISSING}, "MALFORMED_ID", "id value of incorrect type"),
        ({"AccountId": "001SB0000009999YAA"}, "INVALID_CROSS_REFERENCE_KEY", "cross reference"),
        ({"Subject": 5}, "JSON_PARSER_ERROR", "Cannot deserialize instance of string"),
        ({"Critical__c": 1}, "JSON_PARSER_ERROR", "Cannot deserialize instance of boolean"),
        ({"Due__c": "tomorrow"}, "JSON_PARSER_ERROR", "Cannot deserialize instance of date"),
        ({"Escalation_Time__c": "x"}, "JSON_PARSER_ERROR", "instance of datetime"),
        ({"Severity__c": "much"}, "JSON_PARSER_ERROR", "instance of double"),
        ({"Severity__c": 1e18}, "NUMBER_OUTSIDE_VALID_RANGE", "outside of valid range"),
        ({"SuppliedEmail": "me"}, "INVALID_EMAIL_ADDRESS", "invalid email address: me"),
        ({"Id": MISSING}, "INVALID_FIELD", "The Id field should not be specified"),
    ],
)  # fmt: skip
def test_bad_values_are_refused(client: Rest, fields: dict[str, Any], code: str, text: str) -> None:
    """Each bad value is a 400 with Salesforce's code and words, and nothing is written."""
    before = client.query("SELECT COUNT() FROM Case")["totalSize"]
    reply = client.call("POST", "sobjects/Case", json=fields)
    (error,) = reply.json()
    assert (reply.status_code, error["errorCode"]) == (400, code)
    assert text in error["message"]
    assert client.query("SELECT COUNT() FROM Case")["totalSize"] == before


def test_required_fields(client: Rest) -> None:
    """A create without what is required names it; so does blanking it."""
    reply = client.call("POST", "sobjects/Account", json={"Phone": "1"})
    assert reply.json() == [
        {
            "message": "Required fields are missing: [Name]",
            "errorCode": "REQUIRED_FIELD_MISSING",
            "fields": ["Name"],
        }
    ]
    made = client.call("POST", "sobjects/Account", json={"Name": "N"}).json()["id"]
    reply = client.call("PATCH", f"sobjects/Account/{made}", json={"Name": " "})
    assert reply.json()[0]["errorCode"] == "REQUIRED_FIELD_MISSING"


def test_unknown_and_deleted_records(world: World, client: Rest) -> None:
    """A record that never was and one in the recycle bin are told apart; undelete revives."""
    reply = client.call("PATCH", f"sobjects/Case/{MISSING}", json={"Subject": "x"})
    assert (reply.status_code, reply.json()[0]["errorCode"]) == (404, "NOT_FOUND")
    case = new_case(client, Subject="gone")
    comment = world.salesforce.comment(case, "goes too")
    assert client.call("DELETE", f"sobjects/Case/{case}").status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        reply = client.call(method, f"sobjects/Case/{case}", json={"Subject": "x"})
        assert (reply.status_code, reply.json()[0]["errorCode"]) == (404, "ENTITY_IS_DELETED")
    assert world.salesforce.record(comment)["IsDeleted"] is True
    text = f"SELECT Id, IsDeleted FROM Case WHERE Id = '{case}'"
    assert client.query(text)["totalSize"] == 0
    (bin_row,) = client.call("GET", "queryAll", params={"q": text}).json()["records"]
    assert bin_row["IsDeleted"] is True
    world.salesforce.undelete(case)
    assert client.query(text)["totalSize"] == 1
    assert world.salesforce.record(comment)["IsDeleted"] is False
    world.salesforce.purge(case)
    assert client.call("GET", "queryAll", params={"q": text}).json()["totalSize"] == 0


def test_methods_and_bodies_that_do_not_fit(client: Rest) -> None:
    """A wrong method, a body that is no JSON and a missing body have errors of their own."""
    wrong = client.call("PUT", "sobjects/Case", json={})
    assert (wrong.status_code, wrong.json()[0]["errorCode"]) == (405, "METHOD_NOT_ALLOWED")
    headers = {"Content-Type": "application/json"}
    for body in (b"{", b""):
        reply = client.call("POST", "sobjects/Case", data=body, headers=headers)
        assert reply.json()[0]["errorCode"] == "JSON_PARSER_ERROR"
    assert client.call("GET", "nothing/here").status_code == 404
    long = client.call("GET", "query", params={"q": "x" * 17_000})
    assert long.status_code == 431
    assert "html" in long.headers["Content-Type"]


def test_chunked_bodies_are_read(client: Rest) -> None:
    """A body sent in chunks, as jsforce does, arrives whole."""
    chunks = iter([b'{"Subject":', b'"in pieces"}'])
    headers = {"Content-Type": "application/json"}
    reply = client.call("POST", "sobjects/Case", data=chunks, headers=headers)
    assert reply.status_code == 201


def test_upsert_by_external_id(world: World, client: Rest) -> None:
    """The key in the URL creates once, updates after, and is case-sensitive where it says so."""
    path = "sobjects/Case/PagerDuty_Incident_Id__c/Q%2F1%20a"
    first = client.call("PATCH", path, json={"Subject": "one"})
    again = client.call("PATCH", path, json={"Subject": "two"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json()["created"], again.json()["created"]) == (True, False)
    assert first.json()["id"] == again.json()["id"]
    assert world.salesforce.record(first.json()["id"])["PagerDuty_Incident_Id__c"] == "Q/1 a"
    other = client.call("PATCH", path.replace("Q", "q"), json={})
    assert other.json()["created"] is True
    only = client.call("PATCH", f"{path}x?updateOnly=true", json={})
    assert only.status_code == 404
    with_key = client.call("PATCH", path, json={"PagerDuty_Incident_Id__c": "z"})
    assert with_key.json()[0]["errorCode"] == "INVALID_FIELD"
    old = client.call("PATCH", f"/services/data/v45.0/{path}", json={})
    assert (old.status_code, old.content) == (204, b"")
    no_key = client.call("PATCH", "sobjects/Case/Subject/x", json={})
    assert "Provided external ID field does not exist" in no_key.json()[0]["message"]


def test_unique_values(client: Rest) -> None:
    """A second record with a unique value is refused, until the first is gone."""
    first = new_case(client, PagerDuty_Incident_Id__c="Q7")
    reply = client.call("POST", "sobjects/Case", json={"PagerDuty_Incident_Id__c": "Q7"})
    (error,) = reply.json()
    assert error["errorCode"] == "DUPLICATE_VALUE"
    assert error["message"] == (
        "duplicate value found: PagerDuty_Incident_Id__c duplicates value on record with id: "
        + first[:15]
    )
    assert client.call("DELETE", f"sobjects/Case/{first}").status_code == 204
    new_case(client, PagerDuty_Incident_Id__c="Q7")


def test_comment_bodies_count_bytes(world: World, client: Rest) -> None:
    """4,000 bytes of UTF-8 fit, one more does not, whatever the number of characters."""
    case = new_case(client, Subject="x")

    def comment(body: str) -> Any:
        return client.call(
            "POST", "sobjects/CaseComment", json={"ParentId": case, "CommentBody": body}
        )

    assert comment("é" * 2000).status_code == 201
    assert comment("🙂" * 1000).status_code == 201
    for body in ("é" * 2000 + "x", "🙂" * 1000 + "x", "x" * 4001):
        (error,) = comment(body).json()
        assert error["errorCode"] == "STRING_TOO_LONG"
        assert "(max length=4000)" in error["message"]
    assert len(world.salesforce.records("CaseComment")) == 2


def test_comments_of_others_stay_as_they_are(world: World, client: Rest) -> None:
    """The API user may publish a comment, but neither reword nor delete it; an admin may."""
    comment = world.salesforce.comment(new_case(client, Subject="x"), "by Sam", by=AGENT)
    path = f"sobjects/CaseComment/{comment}"
    assert client.call("PATCH", path, json={"IsPublished": True}).status_code == 204
    for reply in (
        client.call("PATCH", path, json={"CommentBody": "reworded"}),
        client.call("DELETE", path),
    ):
        assert reply.json()[0]["errorCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"
    world.salesforce.update(comment, {"CommentBody": "by an admin"})
    assert client.call("GET", path).json()["CommentBody"] == "by an admin"


def test_case_comments_field_writes_a_comment(world: World, client: Rest) -> None:
    """Setting Case.Comments adds a CaseComment, unpublished."""
    case = new_case(client, Subject="x", Comments="from the field")
    (row,) = world.salesforce.records("CaseComment")
    assert (row["ParentId"], row["CommentBody"], row["IsPublished"]) == (
        case, "from the field", False,
    )  # fmt: skip


def test_closing_is_derived_from_status(world: World, client: Rest) -> None:
    """ClosedDate comes with a closed status, stays while it stays, and goes on reopening."""
    case = new_case(client, Status="Closed")
    first = world.salesforce.record(case)
    world.salesforce.faults.set(skew_seconds=60)
    client.call("PATCH", f"sobjects/Case/{case}", json={"Subject": "still closed"})
    assert world.salesforce.record(case)["ClosedDate"] == first["ClosedDate"]
    client.call("PATCH", f"sobjects/Case/{case}", json={"Status": "Working"})
    reopened = world.salesforce.record(case)
    assert (reopened["IsClosed"], reopened["ClosedDate"]) == (False, None)
    closed = "SELECT ApiName FROM CaseStatus WHERE IsClosed = true"
    assert [each["ApiName"] for each in client.query(closed)["records"]] == ["Closed"]


def test_parents_by_external_id(world: World, client: Rest) -> None:
    """A reference may be given as the parent's external id."""
    case = new_case(client, PagerDuty_Incident_Id__c="Q9")
    body = {"Name": "Mail", "Case__r": {"PagerDuty_Incident_Id__c": "Q9"}}
    outage = client.call("POST", "sobjects/Outage__c", json=body).json()["id"]
    assert world.salesforce.record(outage)["Case__c"] == case
    text = "SELECT Case__r.CaseNumber FROM Outage__c WHERE Case__r.PagerDuty_Incident_Id__c = 'Q9'"
    assert client.query(text)["totalSize"] == 1


def test_conditional_requests(client: Rest) -> None:
    """If-Modified-Since gives 304, If-Unmodified-Since 412, by the second."""
    case = new_case(client, Subject="x")
    now = client.call("GET", "limits").headers["Date"]
    early = "Sun, 01 Nov 2020 00:00:00 GMT"
    path = f"sobjects/Case/{case}"
    assert client.call("GET", path, headers={"If-Modified-Since": now}).status_code == 304
    assert client.call("GET", path, headers={"If-Modified-Since": early}).status_code == 200
    change = {"json": {"Subject": "y"}}
    late = client.call("PATCH", path, headers={"If-Unmodified-Since": early}, **change)
    assert late.status_code == 412
    fine = client.call("PATCH", path, headers={"If-Unmodified-Since": now}, **change)
    assert fine.status_code == 204


def test_assignment_rule_runs_unless_switched_off(world: World, client: Rest) -> None:
    """A new Case goes to the rule's owner, unless the header says no."""
    queue = world.salesforce.soql("SELECT Id FROM Group")[0]["Id"]
    world.salesforce.faults.set(assignment_owner=queue)
    assigned = new_case(client, Subject="x")
    assert world.salesforce.record(assigned)["OwnerId"] == queue
    off = client.call(
        "POST", "sobjects/Case", json={"Subject": "y"}, headers={"Sforce-Auto-Assign": "FALSE"}
    ).json()["id"]
    assert world.salesforce.record(off)["OwnerId"] != queue
    owner = client.query(f"SELECT Owner.Name, Owner.Type FROM Case WHERE Id = '{assigned}'")
    assert owner["records"][0]["Owner"]["Type"] == "Group"


def test_hidden_fields_are_absent_for_the_api_user(world: World, client: Rest) -> None:
    """Field-level security hides from describe, queries and writes; read-only refuses writes."""
    case = new_case(client, Severity__c=1)
    access = world.salesforce.faults.set_access
    access("Case", "Severity__c", "none")
    fields = client.call("GET", "sobjects/Case/describe").json()["fields"]
    assert "Severity__c" not in [each["name"] for each in fields]
    assert client.query("SELECT Severity__c FROM Case")[0]["errorCode"] == "INVALID_FIELD"
    reply = client.call("PATCH", f"sobjects/Case/{case}", json={"Severity__c": 2})
    assert reply.json()[0]["errorCode"] == "INVALID_FIELD"
    access("Case", "Severity__c", "read")
    assert client.query("SELECT Severity__c FROM Case")["records"][0]["Severity__c"] == 1
    reply = client.call("PATCH", f"sobjects/Case/{case}", json={"Severity__c": 2})
    assert reply.json()[0]["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    access("Case", "Severity__c", "edit")
    reply = client.call("PATCH", f"sobjects/Case/{case}", json={"Severity__c": 2})
    assert reply.status_code == 204


def test_objects_without_access(world: World, client: Rest) -> None:
    """An object the user may not read is not there; one it may only read refuses writes."""
    access = world.salesforce.faults.set_access
    access("Outage__c", None, "none")
    assert client.query("SELECT Id FROM Outage__c")[0]["errorCode"] == "INVALID_TYPE"
    access("Outage__c", None, "read")
    reply = client.call("POST", "sobjects/Outage__c", json={"Name": "x"})
    assert reply.json()[0]["errorCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"


def test_truncation_header(client: Rest, world: World) -> None:
    """With the truncation header an over-long text is cut instead of refused."""
    headers = {"Sforce-Allow-Field-Truncation": "true"}
    reply = client.call("POST", "sobjects/Case", json={"Subject": "x" * 300}, headers=headers)
    assert len(world.salesforce.record(reply.json()["id"])["Subject"]) == 255
