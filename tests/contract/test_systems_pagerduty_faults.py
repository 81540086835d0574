"""Every way a PagerDuty call can fail, over real HTTP, and what each is taken for."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pd_sf_rules.errors import (
    RateLimitedError,
    RefusedError,
    RetryableError,
    SkippableError,
    SyncError,
    UncertainError,
)
from pd_sf_rules.systems.pagerduty.actions import NewIncident, create_incident
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.pagerduty.incidents import incidents_by_key
from sandbox.world import World
from tests.contract.scripted import Answering, Reply, Reset, Scripted, Silence, scripted_server
from tests.contract.systems_clients import (
    pagerduty_spec,
    sandbox_pagerduty,
    scripted_pagerduty,
    timeout_for,
)

HTML = "<html><body><h1>Bad gateway</h1></body></html>"
PATH = "/incidents/Q1"


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that answers what the test says."""
    with scripted_server() as script:
        yield script


def _told(code: int | None, message: str, *errors: str, **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "errors": list(errors), **more}}


def _error(call: Callable[[], Any]) -> SyncError | None:
    try:
        call()
    except SyncError as error:
        return error
    return None


def _write(server: Scripted, *answers: Answering) -> SyncError | None:
    client = scripted_pagerduty(server, timeout=timeout_for(*answers))
    server.on("PUT", PATH, *answers)
    return _error(lambda: client.put("incidents/Q1", {"incident": {}}))


def _read(server: Scripted, *answers: Answering) -> SyncError | None:
    client = scripted_pagerduty(server, timeout=timeout_for(*answers))
    server.on("GET", PATH, *answers)
    return _error(lambda: client.get("incidents/Q1"))


IN_DOUBT = [
    pytest.param(Silence(), id="time-out"),
    pytest.param(Reset(), id="reset"),
    pytest.param(Reply(200, {"incident": {"id": "Q1"}}, cut=True), id="cut in the middle"),
    pytest.param(Reply(200, '{"incident": '), id="malformed JSON"),
    pytest.param(Reply(200, HTML), id="HTML under 200"),
    pytest.param(Reply(500, _told(2000, "Internal Server Error")), id="500"),
    pytest.param(Reply(502, HTML), id="502 HTML"),
    pytest.param(Reply(504, None), id="504 empty"),
    pytest.param(Reply(408, _told(2016, "The request took too long")), id="408"),
]


@pytest.mark.parametrize("answer", IN_DOUBT)
def test_a_write_without_a_clear_answer_is_uncertain_and_sent_once(
    server: Scripted, answer: Answering
) -> None:
    """It may have been done: UncertainError, and never a second request."""
    assert type(_write(server, answer)) is UncertainError
    assert len(server.sent("PUT", PATH)) == 1


@pytest.mark.parametrize("answer", IN_DOUBT[::3])
def test_a_read_without_a_clear_answer_is_repeated_twice_and_then_retryable(
    server: Scripted, answer: Answering
) -> None:
    """Reading again does no harm: three requests, then RetryableError."""
    assert type(_read(server, answer)) is RetryableError
    assert len(server.sent("GET", PATH)) == 3


@pytest.mark.parametrize("answer", [Silence(), Reset(), Reply(503, HTML), Reply(200, "{")])
def test_a_read_survives_passing_trouble(server: Scripted, answer: Answering) -> None:
    """One bad answer, then a good one: the caller sees no error."""
    assert _read(server, answer, Reply(200, {"incident": {}})) is None


@pytest.mark.parametrize(
    ("reply", "kind", "told"),
    [
        (Reply(429, _told(2020, "Rate Limit Exceeded")), RateLimitedError, "rate limit"),
        (Reply(404, _told(2100, "Not Found")), SkippableError, "no such incident"),
        (Reply(400, _told(1001, "Incident Already Resolved")), SkippableError, "Resolved"),
        (Reply(400, _told(2001, "x", "Incident Already Resolved")), SkippableError, "Resolved"),
        (Reply(400, _told(1002, "Already Acknowledged")), SkippableError, "Acknowledged"),
        (Reply(400, _told(1005, "Data Updated Since Last Request")), RetryableError, "Updated"),
        (Reply(409, _told(None, "Conflict")), RetryableError, "Conflict"),
        (Reply(400, _told(1020, "Invalid Priority")), RefusedError, "Invalid Priority"),
        (Reply(400, _told(2001, "Invalid Input Provided", "Title is bad")), RefusedError, "is bad"),
        (Reply(402, _told(2014, "Missing Account Ability")), RefusedError, "plan"),
        (
            Reply(
                403, _told(None, "Token missing required scopes", required_scopes="incidents.write")
            ),
            RefusedError,
            "incidents.write",
        ),
        (Reply(413, HTML), RefusedError, "Bad gateway"),
        (Reply(400, {"error": "invalid", "error_description": "why"}), RefusedError, "why"),
        (Reply(418, None), RefusedError, "418"),
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
    assert len(server.sent("PUT", PATH)) == len(server.sent("GET", PATH)) == 1


def test_a_404_elsewhere_is_a_refusal(server: Scripted) -> None:
    """Only an incident's own address says that the incident is gone."""
    error = _error(lambda: scripted_pagerduty(server).get("services/P1"))
    assert isinstance(error, RefusedError)
    assert error.status == 404


def test_codes_and_statuses_stay_readable(server: Scripted) -> None:
    """A refusal carries the server's code and HTTP status for whoever classifies further."""
    refusal = _write(server, Reply(400, _told(1015, "Nobody on call")))
    assert isinstance(refusal, RefusedError)
    assert (refusal.code, refusal.status) == ("1015", 400)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit-reset": "12"}, 12.0),
        ({"Retry-After": "3"}, 3.0),
        ({}, 5.0),
        ({"ratelimit-reset": "soon"}, 5.0),
        ({"ratelimit-reset": "999999"}, 3600.0),
    ],
)
def test_the_servers_waiting_time_is_passed_on(
    server: Scripted, headers: dict[str, str], seconds: float
) -> None:
    """The reset header, else Retry-After, else five seconds; never longer than an hour."""
    error = _write(server, Reply(429, None, headers))
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == seconds


def test_a_refused_connection_left_nothing_behind() -> None:
    """No server there: RetryableError for reads and writes, because nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = PagerDutyClient(pagerduty_spec(f"http://127.0.0.1:{port}"))
    for call in (
        lambda: client.get("users"),
        lambda: client.post("incidents", {}),
        client.server_now,
    ):
        error = _error(call)
        assert type(error) is RetryableError
        assert "could not be reached" in str(error)


@pytest.mark.parametrize("kind", ["timeout_after", "reset_after", "malformed_json"])
def test_what_the_sandbox_committed_without_telling_is_found_by_its_key(
    world: World, kind: str
) -> None:
    """The incident is there although the answer was lost: uncertain, sent once, settled by its key."""
    client = sandbox_pagerduty(world)
    world.faults.plan(kind, system="pagerduty", method="POST", path="^/incidents$", seconds=0.2)
    result = create_incident(client, NewIncident("Down", "PSUPP01", "sf-1"))
    assert type(result.error) is UncertainError
    assert len(incidents_by_key(client, "sf-1", service_id="PSUPP01")) == 1
    assert len(world.traffic.requests("pagerduty", writes_only=True)) == 1


@pytest.mark.parametrize("kind", ["timeout_before", "reset_before", "server_error", "html"])
def test_what_the_sandbox_never_did_is_uncertain_too(world: World, kind: str) -> None:
    """From here both look alike; the key tells that nothing was created."""
    client = sandbox_pagerduty(world)
    world.faults.plan(kind, system="pagerduty", method="POST", path="^/incidents$", seconds=0.2)
    result = create_incident(client, NewIncident("Down", "PSUPP01", "sf-1"))
    assert type(result.error) is UncertainError
    assert incidents_by_key(client, "sf-1") == []


def test_a_rate_limited_write_changed_nothing(world: World) -> None:
    """429 with and without headers: the waiting time is told and nothing was created."""
    for headers in (True, False):
        client = sandbox_pagerduty(world)
        world.faults.plan(
            "rate_limited", system="pagerduty", method="POST", headers=headers, reset_seconds=9
        )
        result = create_incident(client, NewIncident("Down", "PSUPP01", "sf-1"))
        assert isinstance(result.error, RateLimitedError)
        assert result.error.retry_after == (9.0 if headers else 5.0)
        client.close()
    assert incidents_by_key(sandbox_pagerduty(world), "sf-1") == []


def test_an_echoed_key_never_reaches_a_text(server: Scripted) -> None:
    """A server that quotes our credential does not make us repeat it."""
    for answer in (
        Reply(400, _told(2001, "bad key secret-api-key")),
        Reply(500, "<p>secret-api-key</p>"),
        Reply(401, _told(2006, "key secret-api-key is unknown")),
    ):
        error = _write(server, answer)
        assert error is not None
        assert "secret-api-key" not in f"{error} {error!r}"


@pytest.mark.parametrize("body", [{"people": []}, {}, [], None])
def test_a_body_that_is_no_list_is_tried_again(server: Scripted, body: Any) -> None:
    """A list call that answers something else is neither read as empty nor taken for a refusal."""
    client = scripted_pagerduty(server)
    server.on("GET", "/users", Reply(200, body))
    error = _error(lambda: list(client.pages("users", "users")))
    assert type(error) is RetryableError


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_web_page_is_no_answer_of_pagerduty(server: Scripted, status: int) -> None:
    """A proxy's page says nothing about the incident: it is not gone, and the note is looked for."""
    client = scripted_pagerduty(server)
    page = "<!DOCTYPE html><html><body>Not here</body></html>"
    server.on("GET", "/incidents/Q1", Reply(status, page))
    server.on("POST", "/incidents/Q1/notes", Reply(status, page))
    assert type(_error(lambda: client.get("incidents/Q1"))) is RetryableError
    assert type(_error(lambda: client.post("incidents/Q1/notes", {}))) is UncertainError
