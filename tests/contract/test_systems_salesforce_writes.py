"""What we write to Salesforce, row by row."""

from collections.abc import Iterator

import pytest

from pd_sf_rules.errors import (
    ConnectionConfigError,
    RateLimitedError,
    RefusedError,
    RetryableError,
    SkippableError,
    SyncError,
    UncertainError,
)
from pd_sf_rules.systems.results import WriteResult
from pd_sf_rules.systems.salesforce.actions import (
    RecordCreate,
    RecordUpdate,
    create_records,
    update_records,
)
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.systems.salesforce.notes import NewComment, comments_of, post_comments
from sandbox.salesforce.planned import Refusal
from sandbox.salesforce.settings import ValidationRule
from sandbox.world import World
from tests.contract.scripted import Reply, Scripted, scripted_server
from tests.contract.systems_clients import DATA, sandbox_salesforce, scripted_salesforce

ROWS = "/composite/sobjects"


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that answers what the test says."""
    with scripted_server() as script:
        yield script


@pytest.fixture
def client(world: World) -> Iterator[SalesforceClient]:
    """Our client, logged in to the sandbox."""
    made = sandbox_salesforce(world)
    made.check()
    yield made
    made.close()


def _cases(world: World, count: int) -> list[str]:
    return [world.salesforce.create("Case", {"Subject": str(n)}) for n in range(count)]


def _writes(world: World) -> list[str]:
    exchanges = world.traffic.requests("salesforce", writes_only=True)
    return [f"{one.method} /{one.path.split('/', 4)[4]}" for one in exchanges]


def _errors(results: list[WriteResult]) -> list[type[SyncError] | None]:
    return [type(one.error) if one.error else None for one in results]


def test_one_update_is_one_plain_call(world: World, client: SalesforceClient) -> None:
    """A single row goes by the sObject's own address and changes the record."""
    (case,) = _cases(world, 1)
    (result,) = update_records(client, [RecordUpdate("Case", case, {"Priority": "High"})])
    assert (result.id, result.error) == (case, None)
    assert world.salesforce.soql("SELECT Priority FROM Case")[0]["Priority"] == "High"
    assert _writes(world) == [f"PATCH /sobjects/Case/{case}"]


def test_many_updates_are_few_calls_in_order(world: World, client: SalesforceClient) -> None:
    """250 updates take two calls of at most 200 rows; results come in the order asked for."""
    cases = _cases(world, 250)
    results = update_records(
        client, [RecordUpdate("Case", case, {"Subject": f"new {case}"}) for case in cases]
    )
    assert [one.id for one in results] == cases
    assert _writes(world) == [f"PATCH {ROWS}"] * 2
    subjects = world.salesforce.soql("SELECT Id, Subject FROM Case")
    assert all(row["Subject"] == f"new {row['Id']}" for row in subjects)


def test_two_updates_of_one_record_are_applied_in_order(
    world: World, client: SalesforceClient
) -> None:
    """The same record twice in one list: two calls, and the last one stays."""
    one, two = _cases(world, 2)
    results = update_records(
        client,
        [
            RecordUpdate("Case", one, {"Subject": "first"}),
            RecordUpdate("Case", two, {"Subject": "other"}),
            RecordUpdate("Case", one[:15], {"Subject": "last"}),
        ],
    )
    assert _errors(results) == [None, None, None]
    row = world.salesforce.record(one)
    assert row is not None
    assert row["Subject"] == "last"


def test_a_bad_row_fails_alone(world: World, client: SalesforceClient) -> None:
    """Of five rows each has its own result: done, gone, unknown, refused, locked."""
    good, gone, locked, closed = _cases(world, 4)
    world.salesforce.delete(gone)
    world.salesforce.faults.lock_row(locked)
    world.salesforce.faults.add_validation_rule(
        ValidationRule(object="Case", when="Status = 'Closed'", message="Name a reason first")
    )
    unknown = "500000000000000AAA"
    results = update_records(
        client,
        [
            RecordUpdate("Case", good, {"Subject": "done"}),
            RecordUpdate("Case", gone, {"Subject": "done"}),
            RecordUpdate("Case", unknown, {"Subject": "done"}),
            RecordUpdate("Case", closed, {"Status": "Closed"}),
            RecordUpdate("Case", locked, {"Subject": "done"}),
        ],
    )
    assert _errors(results) == [None, SkippableError, SkippableError, RefusedError, RetryableError]
    refusal = results[3].error
    assert isinstance(refusal, RefusedError)
    assert refusal.code == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert "Name a reason first" in str(refusal)
    assert closed in str(refusal)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Nope__c": 1}, "INVALID_FIELD"),
        ({"IsClosed": True}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Subject": "x" * 300}, "STRING_TOO_LONG"),
    ],
)
def test_a_refusal_keeps_the_servers_code_and_words(
    world: World, client: SalesforceClient, fields: dict[str, object], code: str
) -> None:
    """The same refusal whether the row went alone or in a collection, naming the field."""
    one, two = _cases(world, 2)
    (alone,) = update_records(client, [RecordUpdate("Case", one, fields)])
    together, fine = update_records(
        client, [RecordUpdate("Case", one, fields), RecordUpdate("Case", two, {"Subject": "ok"})]
    )
    for result in (alone, together):
        assert isinstance(result.error, RefusedError)
        assert result.error.code == code
        assert next(iter(fields)) in result.error.message
    assert fine.error is None


def test_a_deleted_record_alone_is_skippable(world: World, client: SalesforceClient) -> None:
    """404 on the record's own address means there is nothing left to do."""
    (case,) = _cases(world, 1)
    world.salesforce.delete(case)
    (result,) = update_records(client, [RecordUpdate("Case", case, {"Subject": "x"})])
    assert isinstance(result.error, SkippableError)


def test_a_locked_row_alone_is_retryable(world: World, client: SalesforceClient) -> None:
    """UNABLE_TO_LOCK_ROW changed nothing and may work later; it is not sent again from here."""
    (case,) = _cases(world, 1)
    world.salesforce.faults.lock_row(case)
    (result,) = update_records(client, [RecordUpdate("Case", case, {"Subject": "x"})])
    assert type(result.error) is RetryableError
    assert len(_writes(world)) == 1


def test_creates_tell_the_new_ids(world: World, client: SalesforceClient) -> None:
    """One alone, and several objects mixed: each result has its own record's id."""
    (alone,) = create_records(client, [RecordCreate("Case", {"Subject": "alone"})])
    results = create_records(
        client,
        [
            RecordCreate("Case", {"Subject": "a"}),
            RecordCreate("Account", {"Name": "b"}),
            RecordCreate("Case", {"Subject": "c"}),
            RecordCreate("Account", {}),
        ],
    )
    assert all(one.created for one in (alone, *results[:3]))
    prefixes = [one.id[:3] for one in results[:3] if one.id]
    assert prefixes == ["500", "001", "500"]
    assert isinstance(results[3].error, RefusedError)
    assert results[3].error.code == "REQUIRED_FIELD_MISSING"
    assert results[2].id is not None
    row = world.salesforce.record(results[2].id)
    assert row is not None
    assert row["Subject"] == "c"


def test_assignment_rules_run_only_on_creates_without_an_owner(server: Scripted) -> None:
    """An update never hands a record to another owner, and a named owner stays."""
    client = scripted_salesforce(server)
    server.on("POST", f"{DATA}/sobjects/Case/", Reply(201, {"id": "500x", "success": True}))
    server.on("PATCH", f"{DATA}/sobjects/Case/500x", Reply(204))
    create_records(client, [RecordCreate("Case", {"Subject": "a"})])
    create_records(client, [RecordCreate("Case", {"Subject": "a", "OwnerId": "005x"})])
    update_records(client, [RecordUpdate("Case", "500x", {"Status": "New"})])
    sent = [one.headers.get("sforce-auto-assign") for one in server.requests[1:]]
    assert sent == [None, "FALSE", "FALSE"]


def test_comments_are_posted_and_found_again(world: World, client: SalesforceClient) -> None:
    """Several comments in one call, with their visibility; one on a deleted Case is skippable."""
    case, gone = _cases(world, 2)
    world.salesforce.delete(gone)
    results = post_comments(
        client,
        [
            NewComment(case, "internal", public=False),
            NewComment(gone, "too late", public=False),
            NewComment(case, "for all", public=True),
        ],
    )
    assert _errors(results) == [None, SkippableError, None]
    found = {one.body: one.public for one in comments_of(client, case)}
    assert found == {"internal": False, "for all": True}
    assert {one.id for one in comments_of(client, case)} == {results[0].id, results[2].id}


def test_a_comment_that_is_too_long_is_refused_with_the_limit(
    world: World, client: SalesforceClient
) -> None:
    """4,000 bytes, not characters: the server's words say so."""
    (case,) = _cases(world, 1)
    (result,) = post_comments(client, [NewComment(case, "é" * 2001, public=False)])
    assert isinstance(result.error, RefusedError)
    assert result.error.code == "STRING_TOO_LONG"


def test_an_answer_with_too_few_rows_is_uncertain(server: Scripted) -> None:
    """A collection that answers for one row of two leaves both in doubt."""
    client = scripted_salesforce(server)
    server.on("PATCH", f"{DATA}{ROWS}", Reply(200, [{"id": "500a", "success": True}]))
    results = update_records(client, [RecordUpdate("Case", f"500{n}", {"A": 1}) for n in "ab"])
    assert _errors(results) == [UncertainError, UncertainError]


def test_an_answer_that_names_no_record_is_uncertain(server: Scripted) -> None:
    """201 without an id: the record may be there."""
    client = scripted_salesforce(server)
    server.on("POST", f"{DATA}/sobjects/Case/", Reply(201, {"success": True}))
    assert _errors(create_records(client, [RecordCreate("Case", {})])) == [UncertainError]


def test_a_server_without_collections_is_written_row_by_row(server: Scripted) -> None:
    """404 on /composite/sobjects falls back to plain calls with the same results."""
    client = scripted_salesforce(server)
    server.on("PATCH", f"{DATA}/sobjects/Case/500a", Reply(200, {"ok": 1}))
    server.on("PATCH", f"{DATA}/sobjects/Case/500b", Reply(204))
    results = update_records(client, [RecordUpdate("Case", f"500{n}", {"A": 1}) for n in "abc"])
    assert _errors(results) == [None, None, SkippableError]


def test_a_limit_stops_the_calls_behind_it(world: World, client: SalesforceClient) -> None:
    """After REQUEST_LIMIT_EXCEEDED the remaining calls are not made; nothing of them was done."""
    cases = _cases(world, 401)
    words = "TotalRequests Limit exceeded."
    world.faults.plan(
        "answer",
        system="salesforce",
        path=ROWS,
        after=1,
        times=None,
        status=403,
        body=[{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": words}],
    )
    results = update_records(
        client, [RecordUpdate("Case", case, {"Subject": "new"}) for case in cases]
    )
    assert _errors(results) == [None] * 200 + [RateLimitedError] * 201
    assert len(_writes(world)) == 2
    assert "TotalRequests" in str(results[-1].error)


def test_a_refused_token_is_the_same_error_for_every_row(server: Scripted) -> None:
    """A connection error comes as results, so that the caller may still note each action."""
    client = scripted_salesforce(server)
    server.on("PATCH", f"{DATA}{ROWS}", Reply(401, [{"errorCode": "INVALID_SESSION_ID"}]))
    results = update_records(client, [RecordUpdate("Case", f"500{n}", {"A": 1}) for n in "ab"])
    assert _errors(results) == [ConnectionConfigError, ConnectionConfigError]


def test_a_row_that_only_fails_just_now_is_retryable(
    world: World, client: SalesforceClient
) -> None:
    """UNKNOWN_EXCEPTION inside a collection failed that row alone: it may be sent again."""
    cases = _cases(world, 2)
    world.salesforce.faults.refuse(
        Refusal(code="UNKNOWN_EXCEPTION", message="An unexpected error occurred.", position=1)
    )
    results = update_records(
        client, [RecordUpdate("Case", case, {"Subject": "new"}) for case in cases]
    )
    assert _errors(results) == [None, RetryableError]
