"""What we read from Salesforce: changes, records, counts, descriptions and comments."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest

from pd_sf_rules.errors import RateLimitedError, RefusedError, RetryableError
from pd_sf_rules.model import Change, Window
from pd_sf_rules.systems.salesforce.changes import fetch_records, newest_changes, pull_changes
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.systems.salesforce.describe import describe, field_types
from pd_sf_rules.systems.salesforce.notes import comments_of, pull_comments
from sandbox.salesforce.planned import Refusal
from sandbox.world import World
from tests.contract.scripted import Reply, Request, Scripted, scripted_server
from tests.contract.systems_clients import (
    DATA,
    rows,
    salesforce_spec,
    sandbox_salesforce,
    scripted_salesforce,
)

EARLY = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that answers what the test says."""
    with scripted_server() as script:
        yield script


@pytest.fixture
def client(world: World) -> Iterator[SalesforceClient]:
    """Our client, logged in to the sandbox."""
    made = sandbox_salesforce(world)
    yield made
    made.close()


def _all(client: SalesforceClient, *fields: str, agent: bool = False) -> list[Change]:
    window = Window(EARLY, client.server_now() + timedelta(seconds=1))
    pages = pull_changes(client, "Case", fields, window, with_agent=agent)
    return [change for page in pages for change in page]


def test_a_change_has_its_values_stamps_and_agent(world: World, client: SalesforceClient) -> None:
    """Values come under the names asked for, parents by dots, stamps as UTC, the modifier by name."""
    account = world.salesforce.create("Account", {"Name": "Acme Ltd", "Type": "Customer"})
    case = world.salesforce.create(
        "Case", {"Subject": "Down", "Priority": "High", "AccountId": account}
    )
    (change,) = _all(client, "Subject", "priority", "Account.Name", "IsClosed", agent=True)
    assert change.record_id == case
    assert change.values == {
        "Subject": "Down",
        "priority": "High",
        "Account.Name": "Acme Ltd",
        "IsClosed": False,
    }
    assert change.stamp.tzinfo is UTC
    assert change.created_at <= change.modified_at <= change.stamp
    (admin,) = world.salesforce.soql(
        f"SELECT Name FROM User WHERE Id = '{world.salesforce.person().user_id}'"
    )
    assert change.agent == admin["Name"]


def test_without_names_the_agent_is_an_id(world: World, client: SalesforceClient) -> None:
    """The cheap pull tells the modifier's id, as our own user's id is compared with it."""
    world.salesforce.create("Case", {"Subject": "Down"})
    assert _all(client)[0].agent.startswith("005")


def test_a_parent_that_is_null_gives_none(world: World, client: SalesforceClient) -> None:
    """A Case without an account has no account name, and that is no error."""
    world.salesforce.create("Case", {"Subject": "Alone"})
    assert _all(client, "Account.Name")[0].values == {"Account.Name": None}


def test_many_rows_of_one_second_come_in_pages_and_in_order(
    world: World, client: SalesforceClient
) -> None:
    """Hundreds of rows under one stamp, several pages: each once, ascending by (stamp, Id)."""
    client.post(
        "composite/sobjects",
        {"records": [{"attributes": {"type": "Case"}, "Subject": str(n)} for n in range(200)]},
    )
    world.salesforce.faults.set(page_size=60)
    changes = _all(client, "Subject")
    assert sorted(int(change.values["Subject"]) for change in changes) == list(range(200))
    keys = [(change.stamp, change.record_id) for change in changes]
    assert keys == sorted(keys)


def test_the_window_is_inclusive_on_both_sides(world: World, client: SalesforceClient) -> None:
    """A row stamped exactly at start or end is read; one outside is not."""
    world.salesforce.create("Case", {"Subject": "Edge"})
    stamp = _all(client)[0].stamp

    def found(start: datetime, end: datetime) -> int:
        return sum(len(page) for page in pull_changes(client, "Case", [], Window(start, end)))

    second = timedelta(seconds=1)
    assert found(stamp, stamp + second) == 1
    assert found(stamp - second, stamp) == 1
    assert found(stamp + second, stamp + 2 * second) == 0
    assert found(stamp - 2 * second, stamp - second) == 0


def test_an_unknown_field_names_object_and_field(client: SalesforceClient) -> None:
    """One misspelt field refuses the whole query, so the error must say which."""
    with pytest.raises(RefusedError, match=r"Case\.Impcat__c") as caught:
        _all(client, "Impcat__c")
    assert caught.value.code == "INVALID_FIELD"


def test_an_unknown_object_is_named(client: SalesforceClient) -> None:
    """A missing object is refused by name, not skipped."""
    window = Window(EARLY, client.server_now())
    with pytest.raises(RefusedError, match="Outage__x"):
        list(pull_changes(client, "Outage__x", [], window))


def test_a_query_that_takes_too_long_is_read_in_halves(
    world: World, client: SalesforceClient
) -> None:
    """QUERY_TIMEOUT halves the window, and nothing is missing afterwards."""
    cases = {world.salesforce.create("Case", {"Subject": str(n)}) for n in range(3)}
    words = "Your query request was running for too long."
    world.salesforce.faults.refuse(
        Refusal(code="QUERY_TIMEOUT", message=words, operation="query", times=2)
    )
    assert {change.record_id for change in _all(client, "Subject")} == cases


def test_records_are_found_by_15_and_18_character_ids(
    world: World, client: SalesforceClient
) -> None:
    """The answer is keyed by the ids as they were given; a deleted record is absent."""
    kept = world.salesforce.create("Case", {"Subject": "Kept"})
    gone = world.salesforce.create("Case", {"Subject": "Gone"})
    world.salesforce.delete(gone)
    assert fetch_records(client, "Case", [kept[:15], gone], ["Subject"]) == {
        kept[:15]: {"Subject": "Kept"}
    }
    assert fetch_records(client, "Case", [], ["Subject"]) == {}


def test_several_objects_are_counted_in_one_call(world: World, client: SalesforceClient) -> None:
    """The cheap question costs one API call for several objects, and one for a single object."""
    world.salesforce.create("Case", {"Subject": "New"})
    stamp = _all(client)[0].stamp
    before = client.usage().calls
    counts = newest_changes(client, ["Case", "Account", "Contact"], stamp)
    assert client.usage().calls == before + 1
    assert counts["Case"] == (1, stamp)
    assert newest_changes(client, ["Case"], stamp + timedelta(minutes=1)) == {"Case": (0, None)}
    assert client.usage().calls == before + 2


def test_an_object_that_cannot_be_counted_does_not_hide_the_others(
    world: World, client: SalesforceClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A misspelt object is logged and left out; alone it is an error."""
    world.salesforce.create("Case", {"Subject": "New"})
    with caplog.at_level(logging.WARNING):
        counts = newest_changes(client, ["Case", "Nope__c"], EARLY)
    assert set(counts) == {"Case"}
    assert "Nope__c" in caplog.text
    with pytest.raises(RefusedError, match="Nope__c"):
        newest_changes(client, ["Nope__c"], EARLY)


def test_without_a_composite_resource_plain_queries_do(server: Scripted) -> None:
    """A server that answers 404 to /composite is asked object by object."""
    client = scripted_salesforce(server)

    def counted(request: Request) -> Reply:
        number = 3 if "FROM Case" in unquote(request.query["q"][0]) else 0
        return rows({"expr0": number, "expr1": "2026-11-01T00:00:00.000+0000" if number else None})

    server.on("GET", f"{DATA}/query/", counted)
    counts = newest_changes(client, ["Case", "Outage__c"], EARLY)
    assert counts == {"Case": (3, datetime(2026, 11, 1, tzinfo=UTC)), "Outage__c": (0, None)}
    assert len(server.sent("POST", f"{DATA}/composite")) == 1


def test_without_aggregates_the_newest_row_and_the_total_do(server: Scripted) -> None:
    """A server that cannot count is asked for its newest row; `totalSize` is the count."""
    client = scripted_salesforce(server)

    def simple(request: Request) -> Reply:
        query = request.query["q"][0]
        if "COUNT(" in query:
            return Reply(400, [{"errorCode": "MALFORMED_QUERY", "message": "unexpected token"}])
        assert query.endswith("ORDER BY SystemModstamp DESC")
        newest = {"Id": "500b", "SystemModstamp": "2026-11-01T00:00:00.000+0000"}
        return Reply(200, {"totalSize": 7, "done": True, "records": [newest, {"Id": "500a"}]})

    server.on("GET", f"{DATA}/query/", simple)
    assert newest_changes(client, ["Case"], EARLY) == {
        "Case": (7, datetime(2026, 11, 1, tzinfo=UTC))
    }


def test_an_object_without_a_modifier_is_pulled_all_the_same(server: Scripted) -> None:
    """Fields that we only welcome are left out where Salesforce does not know them."""
    client = scripted_salesforce(server)

    def sparse(request: Request) -> Reply:
        for unknown in ("LastModifiedById", "LastModifiedBy.Name", "LastModifiedDate"):
            if unknown in request.query["q"][0]:
                column = unknown.partition(".")[0]
                words = f"No such column '{column}' on entity 'Outage__c'."
                return Reply(400, [{"errorCode": "INVALID_FIELD", "message": words}])
        stamp = "2026-11-01T00:00:00.000+0000"
        return rows({"Id": "a00", "CreatedDate": stamp, "SystemModstamp": stamp, "Name": "x"})

    server.on("GET", f"{DATA}/query/", sparse)
    window = Window(EARLY, datetime(2027, 1, 1, tzinfo=UTC))
    ((change,),) = pull_changes(client, "Outage__c", ["Name"], window, with_agent=True)
    assert (change.record_id, change.agent, change.values) == ("a00", "", {"Name": "x"})
    with pytest.raises(RefusedError, match=r"Outage__c\.LastModifiedDate"):
        list(pull_changes(client, "Outage__c", ["LastModifiedDate"], window))


def test_a_comment_without_a_readable_author_keeps_their_id(server: Scripted) -> None:
    """Names of users may be hidden; the comment is read with the author's id."""
    client = scripted_salesforce(server)

    def nameless(request: Request) -> Reply:
        if "CreatedBy.Name" in request.query["q"][0]:
            words = "Didn't understand relationship 'CreatedBy' in field path."
            return Reply(400, [{"errorCode": "INVALID_FIELD", "message": words}])
        stamp = "2026-11-01T00:00:00.000+0000"
        return rows(
            {"Id": "00a", "ParentId": "500", "CommentBody": "x", "CreatedById": "005",
             "CreatedDate": stamp, "SystemModstamp": stamp}
        )  # fmt: skip

    server.on("GET", f"{DATA}/query/", nameless)
    (comment,) = comments_of(client, "500")
    assert (comment.agent, comment.agent_id, comment.body) == ("", "005", "x")


def test_a_move_on_the_same_host_is_followed(server: Scripted) -> None:
    """A server that insists on another slash gets it, with method and body intact."""
    client = scripted_salesforce(server)
    server.on(
        "POST", f"{DATA}/sobjects/Case/", Reply(307, None, {"Location": f"{DATA}/sobjects/Case"})
    )
    server.on("POST", f"{DATA}/sobjects/Case", Reply(201, {"id": "500x", "success": True}))
    assert client.post("sobjects/Case/", {"Subject": "x"})["id"] == "500x"
    assert server.requests[-1].body == {"Subject": "x"}


def test_a_broken_chain_of_pages_is_repeated_where_it_broke(
    world: World, client: SalesforceClient
) -> None:
    """A 503 on the second page costs one more request, no row."""
    for number in range(5):
        world.salesforce.create("Case", {"Subject": str(number)})
    client.check()
    world.salesforce.faults.set(page_size=2)
    world.faults.plan("html", system="salesforce", method="GET", path="/query", after=1)
    assert len(_all(client)) == 5


def test_an_expired_locator_is_retryable(world: World, client: SalesforceClient) -> None:
    """INVALID_QUERY_LOCATOR means: read the window again."""
    for number in range(5):
        world.salesforce.create("Case", {"Subject": str(number)})
    now = client.server_now()
    world.salesforce.faults.set(page_size=2)
    pages = pull_changes(client, "Case", [], Window(EARLY, now))
    next(pages)
    world.salesforce.faults.expire_locators()
    with pytest.raises(RetryableError, match="INVALID_QUERY_LOCATOR"):
        list(pages)


def test_the_clock_is_the_servers(server: Scripted) -> None:
    """Time comes from `Date` headers, also when the server's clock is set back."""
    ahead = datetime(2031, 1, 1, tzinfo=UTC)
    client = scripted_salesforce(server)
    header = {"Date": "Wed, 01 Jan 2031 00:00:00 GMT"}
    server.on("GET", f"{DATA}/limits", Reply(200, {}, header))
    client.get("limits")
    assert timedelta(0) <= client.server_now() - ahead < timedelta(seconds=5)
    server.on("GET", f"{DATA}/limits", Reply(200, {}))
    client.get("limits")
    assert abs(client.server_now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_without_a_date_header_this_machines_clock_does(server: Scripted) -> None:
    """A server that tells no time does not stop us."""
    granted = Reply(200, {"access_token": "t", "instance_url": server.url}, date=False)
    server.on("POST", "/services/oauth2/token", granted)
    now = SalesforceClient(salesforce_spec(server.url)).server_now()
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)


def test_calls_and_the_orgs_figures_are_counted(server: Scripted) -> None:
    """`usage` counts our calls and reads the org's part of Sforce-Limit-Info, also beside a per-app one."""
    client = scripted_salesforce(server)
    assert client.usage().calls == 0
    told = "api-usage=18/5000; per-app-api-usage=17/250(appName=sync)"
    server.on("GET", f"{DATA}/limits", Reply(200, {}, {"Sforce-Limit-Info": told}))
    client.get("limits")
    usage = client.usage()
    assert (usage.calls, usage.used, usage.allowed) == (1, 18, 5000)


def test_a_call_limit_is_kept(server: Scripted) -> None:
    """A client that may make two calls makes two."""
    client = scripted_salesforce(server, call_limit=2)
    server.on("GET", f"{DATA}/limits", Reply(200, {}))
    client.get("limits")
    client.get("limits")
    with pytest.raises(RateLimitedError, match="2 Salesforce calls"):
        client.get("limits")


def test_four_threads_share_one_client(world: World, client: SalesforceClient) -> None:
    """Parallel reads through one client all succeed, with one login."""
    cases = [world.salesforce.create("Case", {"Subject": str(n)}) for n in range(4)]

    def read(case: str) -> str:
        return str(fetch_records(client, "Case", [case], ["Subject"])[case]["Subject"])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, cases * 5)) == ["0", "1", "2", "3"] * 5
    logins = [one for one in world.traffic.requests("salesforce") if "oauth2" in one.path]
    assert len(logins) == 1


def test_an_object_is_described_as_our_user_sees_it(world: World, client: SalesforceClient) -> None:
    """Types, picklists and what may be written; a field without access is not there."""
    found = describe(client, "Case")
    priority = found.field("priority")
    assert priority is not None
    assert priority.type == "picklist"
    assert "High" in priority.picklist
    system = found.field("SystemModstamp")
    assert system is not None
    assert not system.createable
    comment = describe(client, "CaseComment").field("ParentId")
    assert comment is not None
    assert comment.required_on_create
    with pytest.raises(RefusedError, match="Nope__c"):
        describe(client, "Nope__c")


def test_types_follow_relationships(client: SalesforceClient) -> None:
    """Parents are described once, polymorphic owners by the first target that has the field."""
    before = client.usage().calls
    types = field_types(
        client,
        "Case",
        ["Priority", "Account.Name", "Account.Type", "Owner.Email", "X__c", "Foo.Bar"],
    )
    assert types == {
        "Priority": "picklist",
        "Account.Name": "string",
        "Account.Type": "picklist",
        "Owner.Email": "email",
    }
    assert client.usage().calls - before <= 4


def test_comments_are_pulled_with_their_author_and_stamps(
    world: World, client: SalesforceClient
) -> None:
    """Body, visibility, author and parent; by window and by Case."""
    case = world.salesforce.create("Case", {"Subject": "Down"})
    one = world.salesforce.comment(case, "We look into it", public=True)
    window = Window(EARLY, client.server_now() + timedelta(seconds=1))
    ((comment,),) = list(pull_comments(client, window))
    assert (comment.id, comment.record_id, comment.body) == (one, case, "We look into it")
    assert comment.public
    assert comment.agent
    assert comment.agent_id.startswith("005")
    assert comments_of(client, case, comment.created_at) == [comment]
    assert comments_of(client, case, comment.created_at + timedelta(seconds=2)) == []
    assert comments_of(client, case) == [comment]
