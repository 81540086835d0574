"""What a poller meets in the simulated org: pages, late commits, stamps, limits, restarts."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.running import running_sandbox
from sandbox.salesforce.planned import Refusal
from sandbox.salesforce.settings import ConnectedApp, ValidationRule
from sandbox.world import World
from tests.contract.salesforce_clients import Rest, ask_token, control, log_in, simple_salesforce


@pytest.fixture
def client(world: World) -> Rest:
    """A logged-in plain client."""
    return log_in(world)


def many_cases(world: World, count: int) -> None:
    """Fill the org with Cases numbered in their subject."""
    records = [{"Subject": f"number {n}"} for n in range(count)]
    made = control(world, "POST", "records", object="Case", records=records)
    assert len(made["ids"]) == count


def test_more_than_2000_rows_come_in_pages(world: World, client: Rest) -> None:
    """Pages of 2,000 by nextRecordsUrl; totalSize is that of the whole result."""
    many_cases(world, 4100)
    text = "SELECT Subject FROM Case ORDER BY Id"
    first = client.query(text)
    assert (first["totalSize"], first["done"], len(first["records"])) == (4100, False, 2000)
    assert first["nextRecordsUrl"].startswith("/services/data/v66.0/query/0r8")
    assert first["nextRecordsUrl"].endswith("-2000")
    second = client.call("GET", first["nextRecordsUrl"]).json()
    last = client.call("GET", second["nextRecordsUrl"]).json()
    assert (last["done"], len(last["records"]), "nextRecordsUrl" in last) == (True, 100, False)
    assert last["records"][-1]["Subject"] == "number 4099"
    seen = simple_salesforce(world).query_all(text)["records"]
    assert [each["Subject"] for each in seen] == [f"number {n}" for n in range(4100)]


def test_batch_size_is_a_hint_and_pages_may_be_short(world: World, client: Rest) -> None:
    """batchSize is kept within 200 and 2,000; an org may give less than asked."""
    many_cases(world, 300)
    small = client.query("SELECT Id FROM Case", **{"Sforce-Query-Options": "batchSize=10"})
    assert len(small["records"]) == 200
    world.salesforce.faults.set(page_size=7)
    short = client.query("SELECT Id FROM Case")
    assert (len(short["records"]), short["done"]) == (7, False)
    assert len(simple_salesforce(world).query_all("SELECT Id FROM Case")["records"]) == 300


def test_locators_expire(world: World, client: Rest) -> None:
    """A forgotten or invented locator is INVALID_QUERY_LOCATOR."""
    many_cases(world, 201)
    page = client.query("SELECT Id FROM Case", **{"Sforce-Query-Options": "batchSize=200"})
    world.salesforce.faults.expire_locators()
    for path in (page["nextRecordsUrl"], "query/0r8SB0000000099AAA-200", "query/rubbish"):
        reply = client.call("GET", path)
        assert (reply.status_code, reply.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


def test_locators_belong_to_their_user(world: World, client: Rest) -> None:
    """Another user cannot go on with somebody's result."""
    many_cases(world, 201)
    page = client.query("SELECT Id FROM Case", **{"Sforce-Query-Options": "batchSize=200"})
    agent = "sam.agent@acme.example"
    world.salesforce.register_app(
        ConnectedApp(consumer_key="agent", consumer_secret="hush", run_as=agent)
    )
    grant = ask_token(world, {"grant_type": "client_credentials"}, auth=("agent", "hush"))
    other = Rest(world.salesforce_url, grant.json()["access_token"])
    refused = other.call("GET", page["nextRecordsUrl"])
    assert refused.json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
    assert client.call("GET", page["nextRecordsUrl"]).json()["done"] is True


def test_a_late_commit_is_stamped_before_it_is_seen(world: World, client: Rest) -> None:
    """A held transaction is invisible and locked; released, it shows with its old stamp."""
    org = world.salesforce
    old = org.create("Case", {"Subject": "before"})
    number, ids = org.faults.hold(
        [{"object": "Case", "fields": {"Subject": "late"}}, {"id": old, "fields": {"Subject": "x"}}]
    )
    org.faults.set(skew_seconds=120)
    other = client.call("POST", "sobjects/Case", json={"Subject": "meanwhile"}).json()["id"]
    text = "SELECT Id, Subject, SystemModstamp FROM Case ORDER BY SystemModstamp, Id"
    assert [row["Subject"] for row in client.query(text)["records"]] == ["before", "meanwhile"]
    locked = client.call("PATCH", f"sobjects/Case/{old}", json={"Subject": "mine"})
    assert locked.json()[0]["errorCode"] == "UNABLE_TO_LOCK_ROW"
    org.faults.release(number)
    rows = client.query(text)["records"]
    assert {row["Id"] for row in rows} == {*ids, other}
    assert rows[-1]["Id"] == other
    stamps = [datetime.fromisoformat(row["SystemModstamp"]) for row in rows]
    assert stamps[-1] - stamps[0] >= timedelta(seconds=119)
    assert client.call("PATCH", f"sobjects/Case/{old}", json={}).status_code == 204


def test_a_held_transaction_can_release_itself_or_roll_back(world: World, client: Rest) -> None:
    """After release_after seconds of the org's clock it commits; a rolled back one never does."""
    org = world.salesforce
    write = {"object": "Case", "fields": {"PagerDuty_Incident_Id__c": "Q1"}}
    number, _ = org.faults.hold([write])
    taken = client.call("POST", "sobjects/Case", json={"PagerDuty_Incident_Id__c": "Q1"})
    assert taken.json()[0]["errorCode"] == "DUPLICATE_VALUE"
    org.faults.roll_back(number)
    org.faults.hold([write], release_after=30)
    assert client.query("SELECT COUNT() FROM Case")["totalSize"] == 0
    org.faults.set(skew_seconds=31)
    assert client.query("SELECT COUNT() FROM Case")["totalSize"] == 1


def test_latest_date_covered_stays_below_open_transactions(world: World, client: Rest) -> None:
    """getUpdated lists ids by SystemModstamp and covers no second that is still in flight."""
    org = world.salesforce
    seen = org.create("Case", {"Subject": "seen"})
    number, (late,) = org.faults.hold([{"object": "Case", "fields": {}}])
    held_at = org.org.held.oldest()
    assert held_at is not None
    org.faults.set(skew_seconds=600)
    window = {
        "start": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
        "end": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
    }
    path = "sobjects/Case/updated/"
    answer = client.call("GET", path, params=window).json()
    assert answer["ids"] == [seen]
    assert datetime.fromisoformat(answer["latestDateCovered"]) <= held_at
    org.faults.release(number)
    answer = client.call("GET", path, params=window).json()
    assert answer["ids"] == [seen, late]
    assert datetime.fromisoformat(answer["latestDateCovered"]) > held_at


def test_get_deleted(world: World, client: Rest) -> None:
    """getDeleted lists what went into the recycle bin; bad windows are refused."""
    gone = world.salesforce.create("Case", {})
    world.salesforce.delete(gone)
    now = datetime.now(UTC)
    window = {
        "start": (now - timedelta(hours=1)).isoformat(),
        "end": (now + timedelta(minutes=1)).isoformat(),
    }
    answer = client.call("GET", "sobjects/Case/deleted/", params=window).json()
    assert [each["id"] for each in answer["deletedRecords"]] == [gone]
    for start, end in ((window["end"], window["start"]), ("2020-01-01T00:00:00Z", window["end"])):
        reply = client.call("GET", "sobjects/Case/deleted", params={"start": start, "end": end})
        assert reply.json()[0]["errorCode"] == "INVALID_REPLICATION_DATE"


def test_stamps_have_seconds_and_move_without_a_change(world: World, client: Rest) -> None:
    """touch moves SystemModstamp only; an update that changes nothing moves both stamps."""
    org = world.salesforce
    case = org.create("Case", {"Subject": "x"})
    first = org.record(case)
    org.faults.set(skew_seconds=60)
    org.touch([case])
    touched = org.record(case)
    assert touched["SystemModstamp"] > first["SystemModstamp"]
    assert touched["LastModifiedDate"] == first["LastModifiedDate"]
    client.call("PATCH", f"sobjects/Case/{case}", json={"Subject": "x"})
    same = org.record(case)
    assert same["LastModifiedDate"] > first["LastModifiedDate"]
    assert same["Subject"] == "x"


def test_a_comment_may_or_may_not_move_its_case(world: World) -> None:
    """Whether a comment moves the Case's stamp is a switch, because real orgs were not asked."""
    org = world.salesforce
    case = org.create("Case", {})
    before = org.record(case)["SystemModstamp"]
    org.faults.set(skew_seconds=60)
    org.comment(case, "one")
    assert org.record(case)["SystemModstamp"] == before
    org.faults.set(comment_touches_case=True)
    org.comment(case, "two")
    assert org.record(case)["SystemModstamp"] > before


def test_usage_is_counted_and_ends(world: World, client: Rest) -> None:
    """Every call counts into the header and /limits; at the allowance it is 403, even for reads."""
    org = world.salesforce
    org.faults.set(daily_allowance=5)
    org.faults.set_usage(3)
    fourth = client.call("GET", "limits")
    assert fourth.headers["Sforce-Limit-Info"] == "api-usage=4/5"
    assert fourth.json()["DailyApiRequests"] == {"Max": 5, "Remaining": 1}
    assert client.call("GET", "sobjects/Case/describe").status_code == 200
    over = client.call("GET", "limits")
    assert over.status_code == 403
    assert over.json() == [
        {"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}
    ]
    assert over.headers["Sforce-Limit-Info"] == "api-usage=5/5"
    org.faults.set(skew_seconds=25 * 3600, session_seconds=10**6, app_allowance=250)
    fresh = client.call("GET", "limits").headers["Sforce-Limit-Info"]
    assert fresh == "api-usage=1/5; per-app-api-usage=1/250(appName=sample-connected-app)"


def test_the_date_header_is_the_org_s_clock(world: World, client: Rest) -> None:
    """One Date header a reply, and it follows the skew that rows are stamped with."""
    world.salesforce.faults.set(skew_seconds=-3600)
    reply = client.call("POST", "sobjects/Case", json={})
    stamp = world.salesforce.record(reply.json()["id"])["CreatedDate"]
    served = parsedate_to_datetime(reply.headers["Date"])
    assert abs(served - datetime.fromisoformat(stamp)) <= timedelta(seconds=1)
    assert datetime.now(UTC) - served > timedelta(minutes=59)


def test_row_locks_and_planned_refusals(world: World, client: Rest) -> None:
    """A locked row refuses writes to it and to new children, so many times; then it is free."""
    org = world.salesforce
    case = org.create("Case", {})
    org.faults.lock_row(case, times=2)
    update = client.call("PATCH", f"sobjects/Case/{case}", json={})
    comment = {"ParentId": case, "CommentBody": "x"}
    child = client.call("POST", "sobjects/CaseComment", json=comment)
    assert [each.json()[0]["errorCode"] for each in (update, child)] == ["UNABLE_TO_LOCK_ROW"] * 2
    assert client.call("POST", "sobjects/CaseComment", json=comment).status_code == 201
    org.faults.refuse(
        Refusal(code="QUERY_TIMEOUT", message="too long", operation="query", object="Case")
    )
    assert client.query("SELECT Id FROM Account LIMIT 1")["totalSize"] == 1
    assert client.query("SELECT Id FROM Case")[0]["errorCode"] == "QUERY_TIMEOUT"
    assert client.query("SELECT Id FROM Case")["totalSize"] == 1
    org.faults.refuse(Refusal(code="UNKNOWN_EXCEPTION", message="ErrorId 1", status=500, times=9))
    assert client.call("POST", "sobjects/Case", json={}).status_code == 500
    org.faults.clear_refusals()
    assert client.call("POST", "sobjects/Case", json={}).status_code == 201


def test_validation_rules_speak_the_admin_s_words(world: World, client: Rest) -> None:
    """A write after which the condition holds is refused, by API and by people alike."""
    rule = ValidationRule(
        object="Case",
        when="Status = 'Closed' AND Reason = null",
        message="Give a reason first",
        field="Reason",
    )
    world.salesforce.faults.add_validation_rule(rule)
    case = world.salesforce.create("Case", {})
    refused = client.call("PATCH", f"sobjects/Case/{case}", json={"Status": "Closed"})
    assert refused.json() == [
        {
            "message": "Give a reason first",
            "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "fields": ["Reason"],
        }
    ]
    fine = {"Status": "Closed", "Reason": "Breakdown"}
    assert client.call("PATCH", f"sobjects/Case/{case}", json=fine).status_code == 204


def test_a_refused_side_effect_takes_the_whole_write_back(world: World, client: Rest) -> None:
    """When the comment that a Case update makes is refused, the update is undone too."""
    rule = ValidationRule(object="CaseComment", when="IsPublished = false", message="No comments")
    world.salesforce.faults.add_validation_rule(rule)
    case = world.salesforce.create("Case", {"Subject": "before"})
    change = {"Subject": "after", "Comments": "x", "PagerDuty_Incident_Id__c": "Q1"}
    refused = client.call("PATCH", f"sobjects/Case/{case}", json=change)
    assert refused.json()[0]["message"] == "No comments"
    assert world.salesforce.record(case)["Subject"] == "before"
    fine = client.call("POST", "sobjects/Case", json={"PagerDuty_Incident_Id__c": "Q1"})
    assert fine.status_code == 201


def test_records_hidden_by_sharing_look_absent(world: World, client: Rest) -> None:
    """A hidden record is in no query and answers 404."""
    case = world.salesforce.create("Case", {})
    world.salesforce.faults.hide_record(case)
    assert client.query("SELECT Id FROM Case")["totalSize"] == 0
    assert client.call("GET", f"sobjects/Case/{case}").json()[0]["errorCode"] == "NOT_FOUND"


def test_racing_clients_leave_one_record(world: World) -> None:
    """Many clients at once upsert one key and create their own Cases: nothing lost, none twice."""
    clients = [log_in(world) for _ in range(6)]

    def work(client: Rest) -> list[int]:
        shared = client.call("PATCH", "sobjects/Case/PagerDuty_Incident_Id__c/Q1", json={})
        own = [client.call("POST", "sobjects/Case", json={}) for _ in range(5)]
        return [shared.status_code, *(each.status_code for each in own)]

    with ThreadPoolExecutor(len(clients)) as pool:
        statuses = list(pool.map(work, clients))
    assert sorted(each[0] for each in statuses) == [200] * 5 + [201]
    assert all(each[1:] == [201] * 5 for each in statuses)
    rows = world.salesforce.records("Case")
    assert len(rows) == 31
    assert len({row["CaseNumber"] for row in rows}) == 31


def test_an_org_survives_a_restart(tmp_path: Path) -> None:
    """Records, recycle bin, numbers, sessions, plans and open transactions are there again."""
    with running_sandbox(tmp_path) as world:
        org = world.salesforce
        case = org.create("Case", {"Subject": "kept", "Due__c": "2026-11-02", "Severity__c": 2})
        org.delete(org.create("Case", {"PagerDuty_Incident_Id__c": "Q1"}))
        number, _ = org.faults.hold([{"id": case, "fields": {"Subject": "held"}}])
        client = log_in(world)
        client.call("PATCH", "sobjects/Case/PagerDuty_Incident_Id__c/Q2", json={})
        org.faults.refuse(Refusal(code="QUERY_TIMEOUT", message="x", operation="query"))
        before = org.records("Case", deleted=True)
        changes, writes = org.changes(), org.writes()
    with running_sandbox(tmp_path) as world:
        org = world.salesforce
        assert org.records("Case", deleted=True) == before
        assert (org.changes(), org.writes()) == (changes, writes)
        client.address = world.salesforce_url
        assert client.query("SELECT Id FROM Case")[0]["errorCode"] == "QUERY_TIMEOUT"
        assert client.query("SELECT COUNT() FROM Case")["totalSize"] == 2
        again = client.call("POST", "sobjects/Case", json={"PagerDuty_Incident_Id__c": "Q2"})
        assert again.json()[0]["errorCode"] == "DUPLICATE_VALUE"
        fresh = client.call("POST", "sobjects/Case", json={}).json()["id"]
        assert fresh not in [each["Id"] for each in before]
        org.faults.release(number)
        assert org.record(case)["Subject"] == "held"


def test_every_control_is_listed_and_mistakes_are_named(world: World) -> None:
    """The index names all controls; a wrong or incomplete call is a 400 with one sentence."""
    listed = control(world, "GET", "")
    assert all(listed.values())
    assert "is missing" in control(world, "POST", "records")["error"]
    assert "no user named" in control(world, "POST", "records", object="Case", by="x")["error"]
    assert "no setting named" in control(world, "POST", "settings", nope=1)["error"]
    assert (
        "STRING_TOO_LONG"
        in control(world, "POST", "records", object="Case", fields={"Subject": "x" * 256})["error"]
    )
    reply = requests.get(f"{world.salesforce_url}/__sandbox__/nope", timeout=30)
    assert reply.status_code == 404


def test_a_person_plays_through_the_control_surface(world: World) -> None:
    """Create, change, comment, delete, look and reset work over HTTP, as a named person."""

    def call(method: str, path: str, **body: Any) -> Any:
        return control(world, method, path, **body)

    by = "sam.agent@acme.example"
    case = call("POST", "records", object="Case", fields={"Subject": "x"}, by=by)["id"]
    call("PATCH", "records", id=case, fields={"Priority": "High"}, by=by)
    comment = call("POST", "comments", id=case, body="hello", public=True, by=by)["id"]
    assert call("GET", "records", id=comment)["IsPublished"] is True
    sam = call("GET", "soql", q=f"SELECT Id FROM User WHERE Username = '{by}'")[0]["Id"]
    assert call("GET", "records", id=case)["LastModifiedById"] == sam
    assert [each["operation"] for each in call("GET", "changes", id=case)] == ["create", "update"]
    assert call("GET", "writes") == []
    call("DELETE", "records", id=case)
    assert call("GET", "records", object="Case") == []
    assert len(call("GET", "records", object="Case", deleted=True)) == 1
    call("POST", "reset", demo=True)
    assert len(call("GET", "records", object="Case")) == 3


def test_objects_and_fields_can_be_added_at_run_time(world: World) -> None:
    """A new object and a new field are at once described, written and queried."""
    added = {"name": "Tier__c", "type": "picklist", "values": ["Gold", "Silver"]}
    assert control(world, "POST", "objects", name="Account", fields=[added]) == {"ok": True}
    name = {"name": "Name", "type": "string", "length": 80, "name_field": True, "nillable": False}
    link = {
        "name": "Account__c",
        "type": "reference",
        "reference_to": ["Account"],
        "relationship": "Account__r",
        "children": "Plants__r",
    }
    control(world, "POST", "objects", name="Plant__c", key_prefix="a01", fields=[name, link])
    client = log_in(world)
    account = client.query("SELECT Id FROM Account LIMIT 1")["records"][0]["Id"]
    client.call("PATCH", f"sobjects/Account/{account}", json={"Tier__c": "Gold"})
    body = {"Name": "One", "Account__c": account}
    made = client.call("POST", "sobjects/Plant__c", json=body).json()["id"]
    assert made.startswith("a01")
    text = "SELECT Account__r.Tier__c FROM Plant__c WHERE Account__r.Tier__c = 'gold'"
    assert client.query(text)["records"][0]["Account__r"]["Tier__c"] == "Gold"
    assert client.query("SELECT (SELECT Id FROM Plants__r) FROM Account")["totalSize"] == 4
