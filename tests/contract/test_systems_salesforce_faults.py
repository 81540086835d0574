"""Every way a Salesforce call can fail, over real HTTP, and what each is taken for."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

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
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from sandbox.world import World
from tests.contract.scripted import Answering, Reply, Reset, Scripted, Silence, scripted_server
from tests.contract.systems_clients import (
    DATA,
    TOKEN,
    salesforce_spec,
    sandbox_salesforce,
    scripted_salesforce,
    timeout_for,
)

HTML = "<html><head><style>x{}</style></head><body><h1>Down</h1> for maintenance</body></html>"
QUERY, CASES, CASE = f"{DATA}/query/", f"{DATA}/sobjects/Case/", f"{DATA}/sobjects/Case/500x"


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that answers what the test says."""
    with scripted_server() as script:
        yield script


def _rest(code: str, message: str = "words", **more: Any) -> list[dict[str, Any]]:
    return [{"errorCode": code, "message": message, **more}]


def _read(server: Scripted, *answers: Answering) -> SyncError | None:
    client = scripted_salesforce(server, patience=0.0, timeout=timeout_for(*answers))
    server.on("GET", QUERY, *answers)
    return _error(lambda: list(client.query("SELECT Id FROM Case")))


def _write(server: Scripted, *answers: Answering) -> SyncError | None:
    client = scripted_salesforce(server, timeout=timeout_for(*answers))
    server.on("POST", CASES, *answers)
    return _error(lambda: client.post("sobjects/Case/", {"Subject": "x"}))


def _error(call: Callable[[], Any]) -> SyncError | None:
    try:
        call()
    except SyncError as error:
        return error
    return None


IN_DOUBT = [
    pytest.param(Silence(), id="time-out"),
    pytest.param(Reset(), id="reset"),
    pytest.param(Reply(201, {"id": "500x", "success": True}, cut=True), id="cut in the middle"),
    pytest.param(Reply(201, '{"id": "500'), id="malformed JSON"),
    pytest.param(Reply(200, HTML, {"Content-Type": "text/html"}), id="HTML under 200"),
    pytest.param(Reply(500, _rest("UNKNOWN_EXCEPTION")), id="500"),
    pytest.param(Reply(502, HTML), id="502 HTML"),
    pytest.param(Reply(503, _rest("SERVER_UNAVAILABLE")), id="503"),
    pytest.param(Reply(504, None), id="504 empty"),
    pytest.param(Reply(408, HTML), id="408"),
    pytest.param(Reply(420, None), id="420"),
]


@pytest.mark.parametrize("answer", IN_DOUBT)
def test_a_write_without_a_clear_answer_is_uncertain_and_sent_once(
    server: Scripted, answer: Answering
) -> None:
    """It may have been done: UncertainError, and never a second request."""
    assert type(_write(server, answer)) is UncertainError
    assert len(server.sent("POST", CASES)) == 1


# Every third of them: a repeated read takes its time, and what counts as trouble is one function.
@pytest.mark.parametrize("answer", IN_DOUBT[::3])
def test_a_read_without_a_clear_answer_is_repeated_twice_and_then_retryable(
    server: Scripted, answer: Answering
) -> None:
    """Reading again does no harm: three requests, then RetryableError."""
    assert type(_read(server, answer)) is RetryableError
    assert len(server.sent("GET", QUERY)) == 3


@pytest.mark.parametrize("answer", [Silence(), Reset(), Reply(503, HTML), Reply(200, "{")])
def test_a_read_survives_passing_trouble(server: Scripted, answer: Answering) -> None:
    """One bad answer, then a good one: the caller sees the rows."""
    good = Reply(200, {"done": True, "records": [{"Id": "1"}]})
    client = scripted_salesforce(server, timeout=timeout_for(answer))
    server.on("GET", QUERY, answer, good)
    assert list(client.query("SELECT Id FROM Case")) == [[{"Id": "1"}]]


@pytest.mark.parametrize(
    ("reply", "kind", "told"),
    [
        (Reply(429, None, {"Retry-After": "3"}), RateLimitedError, "pause"),
        (Reply(403, _rest("REQUEST_LIMIT_EXCEEDED", "TotalRequests")), RateLimitedError, "Total"),
        (Reply(400, _rest("UNABLE_TO_LOCK_ROW", "unable to obtain")), RetryableError, "obtain"),
        (Reply(404, _rest("ENTITY_IS_DELETED")), SkippableError, "no such record"),
        (Reply(400, _rest("ENTITY_IS_DELETED")), SkippableError, "no such record"),
        (Reply(404, _rest("NOT_FOUND", "The requested resource")), RefusedError, "NOT_FOUND"),
        (Reply(400, _rest("INVALID_FIELD", "No such column 'X'")), RefusedError, "column 'X'"),
        (Reply(403, _rest("INSUFFICIENT_ACCESS_OR_READONLY")), RefusedError, "INSUFFICIENT"),
        (Reply(403, _rest("API_DISABLED_FOR_ORG")), ConnectionConfigError, "API Enabled"),
        (Reply(410, _rest("UNSUPPORTED_API_VERSION")), ConnectionConfigError, "version"),
        (Reply(413, HTML), RefusedError, "Down for maintenance"),
        (
            Reply(400, _rest("REQUIRED_FIELD_MISSING", "missing", fields=["Name"])),
            RefusedError,
            "Name",
        ),
        (Reply(405, None), RefusedError, "405"),
        (Reply(300, ["a", "b"]), ConnectionConfigError, "elsewhere"),
    ],
)
def test_a_clear_refusal_is_sent_once_and_told_in_the_servers_words(
    server: Scripted, reply: Reply, kind: type[SyncError], told: str
) -> None:
    """The class says what to do next, the text what the server said; a read repeats none of these."""
    written = _write(server, reply)
    assert type(written) is kind
    assert told in str(written)
    assert type(_read(server, reply)) is kind
    assert len(server.sent("POST", CASES)) == len(server.sent("GET", QUERY)) == 1


def test_a_missing_record_is_skippable_by_its_own_address(server: Scripted) -> None:
    """404 on a record's address is about that record, whatever code and shape the body has."""
    client = scripted_salesforce(server)
    for body in (_rest("NOT_FOUND"), _rest("INVALID_CROSS_REFERENCE_KEY"), None):
        server.on("PATCH", CASE, Reply(404, body))
        assert type(_error(lambda: client.patch("sobjects/Case/500x", {}))) is SkippableError


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_web_page_is_no_answer_of_salesforce(server: Scripted, status: int) -> None:
    """A proxy's page says nothing about the record: it is not gone, and the write is looked for."""
    client = scripted_salesforce(server)
    server.on("PATCH", CASE, Reply(status, HTML))
    assert type(_error(lambda: client.patch("sobjects/Case/500x", {}))) is UncertainError


@pytest.mark.parametrize("inner", [{"errorCode": "UNABLE_TO_LOCK_ROW", "message": "locked"}])
def test_the_shape_of_an_error_does_not_matter(server: Scripted, inner: dict[str, str]) -> None:
    """In a list, bare, or in an envelope: the code says what to do."""
    client = scripted_salesforce(server)
    for body in ([inner], inner, {"error": inner}, {"errors": [inner]}):
        server.on("PATCH", CASE, Reply(400, body))
        assert type(_error(lambda: client.patch("sobjects/Case/500x", {}))) is RetryableError


def test_a_session_that_ended_is_renewed_whatever_the_status(server: Scripted) -> None:
    """INVALID_SESSION_ID comes with 401, and with 403 as well."""
    client = scripted_salesforce(server)
    server.on("PATCH", CASE, Reply(403, _rest("INVALID_SESSION_ID")), Reply(204))
    assert client.patch("sobjects/Case/500x", {}) is None


def test_a_query_that_breaks_off_is_told(server: Scripted) -> None:
    """Rows that are missing must not look like rows that do not exist."""
    client = scripted_salesforce(server)
    for body in ({}, {"done": True}, {"done": False, "records": []}):
        server.on("GET", "/services/data/v66.0/query/", Reply(200, body))
        assert type(_error(lambda: list(client.query("SELECT Id FROM Case")))) is RetryableError


def test_codes_and_statuses_stay_readable(server: Scripted) -> None:
    """A refusal carries the server's code and HTTP status for whoever classifies further."""
    refusal = _write(server, Reply(400, _rest("DUPLICATE_VALUE", "duplicate value found")))
    assert isinstance(refusal, RefusedError)
    assert (refusal.code, refusal.status) == ("DUPLICATE_VALUE", 400)


@pytest.mark.parametrize(("header", "seconds"), [({"Retry-After": "3"}, 3.0), ({}, 5.0)])
def test_the_servers_waiting_time_is_passed_on(
    server: Scripted, header: dict[str, str], seconds: float
) -> None:
    """Retry-After in seconds, else five."""
    error = _write(server, Reply(429, None, header))
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == seconds


def test_a_read_waits_as_long_as_it_may(server: Scripted) -> None:
    """Within its patience a read waits out a 429; without patience it raises at once."""
    good = Reply(200, {"done": True, "records": []})
    client = scripted_salesforce(server, patience=5.0)
    server.on("GET", QUERY, Reply(429, None, {"Retry-After": "0"}), good)
    assert list(client.query("SELECT Id FROM Case")) == [[]]
    assert isinstance(_read(server, Reply(429, None, {"Retry-After": "0"})), RateLimitedError)


def test_a_refused_connection_left_nothing_behind() -> None:
    """No server there: RetryableError for reads and writes, because nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = SalesforceClient(salesforce_spec(f"http://127.0.0.1:{port}"))
    for call in (lambda: client.get("limits"), lambda: client.post("sobjects/Case/", {})):
        error = _error(call)
        assert type(error) is RetryableError
        assert "could not be reached" in str(error)


def test_a_server_that_went_away_after_the_login_was_not_reached() -> None:
    """A write to a host that refuses connections was not sent: retryable, not uncertain."""
    with scripted_server() as server:
        client = scripted_salesforce(server)
        assert client.instance_url
        client.close()
    assert type(_error(lambda: client.post("sobjects/Case/", {}))) is RetryableError


def test_an_unreadable_address_is_a_connection_error() -> None:
    """A host name that cannot be one names the connection."""
    client = SalesforceClient(salesforce_spec("https://bad host"))
    assert isinstance(_error(lambda: client.get("limits")), SyncError)


@pytest.mark.parametrize("kind", ["timeout_after", "reset_after", "malformed_json"])
def test_what_the_sandbox_committed_without_telling_is_uncertain(world: World, kind: str) -> None:
    """The record is there although the answer was lost, which is what UncertainError warns of."""
    client = sandbox_salesforce(world)
    client.check()
    world.faults.plan(kind, system="salesforce", method="POST", path="/sobjects/Case", seconds=0.2)
    error = _error(lambda: client.post("sobjects/Case/", {"Subject": "Once"}))
    assert type(error) is UncertainError
    assert len(world.salesforce.records("Case")) == 1
    posts = world.traffic.requests("salesforce", writes_only=True)
    assert len([one for one in posts if one.path.endswith("/Case/")]) == 1


@pytest.mark.parametrize("kind", ["timeout_before", "reset_before", "server_error", "html"])
def test_what_the_sandbox_never_did_is_uncertain_too(world: World, kind: str) -> None:
    """From here both look alike: nothing is sent again, and nothing was created."""
    client = sandbox_salesforce(world)
    client.check()
    world.faults.plan(kind, system="salesforce", method="POST", path="/sobjects/Case", seconds=0.2)
    assert (
        type(_error(lambda: client.post("sobjects/Case/", {"Subject": "Once"}))) is UncertainError
    )
    assert world.salesforce.records("Case") == []


def test_one_401_is_survived_and_one_for_good_is_told(world: World) -> None:
    """401 once: the write happens once. 401 for good: the connection is named."""
    client = sandbox_salesforce(world)
    client.check()
    world.faults.plan("unauthorized", system="salesforce", path="/sobjects/Case")
    client.post("sobjects/Case/", {"Subject": "Once"})
    assert len(world.salesforce.records("Case")) == 1
    world.faults.plan("unauthorized", system="salesforce", path="/sobjects/Case", times=None)
    with pytest.raises(ConnectionConfigError, match="salesforce_default"):
        client.post("sobjects/Case/", {"Subject": "Twice"})
    assert len(world.salesforce.records("Case")) == 1


def test_lost_answers_never_show_the_token(server: Scripted) -> None:
    """No error text of any kind holds the session's token."""
    for answer in (Silence(), Reset(), Reply(500, f"<p>{TOKEN}</p>"), Reply(400, {"m": TOKEN})):
        assert TOKEN not in str(_write(server, answer))
