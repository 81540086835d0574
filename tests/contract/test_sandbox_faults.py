"""Planned faults of the network and the servers happen as planned, and are kept in the traffic."""

import time
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.faults import KINDS, Fault, FaultPlan
from sandbox.pagerduty.seed import ACCOUNT_KEY, INTEGRATION_USER
from sandbox.traffic import is_write
from sandbox.world import World

NEW = {"incident": {"type": "incident", "title": "t", "service": {"id": "PSUPP01"}}}


@pytest.fixture(scope="module")
def _http() -> Iterator[httpx.Client]:
    """One client for the file; making one is slower than the calls."""
    headers = {"Authorization": f"Token token={ACCOUNT_KEY}", "From": INTEGRATION_USER}
    with httpx.Client(headers=headers, timeout=5, trust_env=False) as made:
        yield made


@pytest.fixture
def http(_http: httpx.Client, world: World) -> httpx.Client:
    """That client, pointed at this test's PagerDuty."""
    _http.base_url = httpx.URL(world.pagerduty_url)
    return _http


def incidents(world: World) -> int:
    """How many incidents the account has."""
    return int(world.pagerduty.store.scalar("SELECT COUNT(*) FROM incidents"))


def test_rate_limit_with_and_without_headers(world: World, http: httpx.Client) -> None:
    """A 429 tells how long to wait, or nothing at all; either way nothing was done."""
    world.faults.plan("rate_limited", system="pagerduty", reset_seconds=7)
    told = http.post("/incidents", json=NEW)
    world.faults.plan("rate_limited", system="pagerduty", headers=False)
    bare = http.post("/incidents", json=NEW)
    assert (told.status_code, told.headers["ratelimit-reset"]) == (429, "7")
    assert told.json()["error"]["code"] == 2020
    assert (bare.status_code, bare.content) == (429, b"")
    assert "ratelimit-reset" not in bare.headers
    assert incidents(world) == 0


@pytest.mark.parametrize("status", [500, 502, 503])
def test_server_error_as_json_and_as_html(world: World, http: httpx.Client, status: int) -> None:
    """A failing server answers in its envelope, or with a web page."""
    world.faults.plan("server_error", system="pagerduty", status=status)
    as_json = http.post("/incidents", json=NEW)
    world.faults.plan("html", system="pagerduty", status=status)
    as_page = http.post("/incidents", json=NEW)
    assert (as_json.status_code, as_page.status_code) == (status, status)
    assert as_json.json()["error"]["code"] == 2000
    assert as_page.headers["content-type"].startswith("text/html")
    assert incidents(world) == 0


@pytest.mark.parametrize(("kind", "created"), [("timeout_before", 0), ("timeout_after", 1)])
def test_time_out_before_and_after_it_took_effect(
    world: World, http: httpx.Client, kind: str, created: int
) -> None:
    """The client hears nothing either way; only afterwards is the incident there."""
    world.faults.plan(kind, system="pagerduty", method="POST", seconds=30)
    with pytest.raises(httpx.ReadTimeout):
        http.post("/incidents", json=NEW, timeout=0.2)
    assert incidents(world) == created


def test_hanging_connection_is_closed_in_the_end(world: World, http: httpx.Client) -> None:
    """A client that waits longer than the fault sees the connection close."""
    world.faults.plan("timeout_after", system="pagerduty", seconds=0.1)
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/incidents", json=NEW)


@pytest.mark.parametrize(("kind", "created"), [("reset_before", 0), ("reset_after", 1)])
def test_connection_reset_before_and_after_it_took_effect(
    world: World, http: httpx.Client, kind: str, created: int
) -> None:
    """The connection is really reset, and the next call works."""
    world.faults.plan(kind, system="pagerduty", method="POST")
    with pytest.raises(httpx.ReadError, match="reset"):
        http.post("/incidents", json=NEW)
    assert incidents(world) == created
    assert http.get("/services").status_code == 200


def test_malformed_json_after_it_took_effect(world: World, http: httpx.Client) -> None:
    """The incident is there, but the answer cannot be read."""
    world.faults.plan("malformed_json", system="pagerduty")
    answer = http.post("/incidents", json=NEW)
    assert answer.status_code == 201
    with pytest.raises(ValueError, match=r"JSON|Expecting|Unterminated"):
        answer.json()
    assert incidents(world) == 1


def test_unauthorized_once_and_for_good(world: World, http: httpx.Client) -> None:
    """times counts the hits; None never ends."""
    world.faults.plan("unauthorized", system="pagerduty")
    assert [http.get("/services").status_code for _ in range(2)] == [401, 200]
    world.faults.plan("unauthorized", system="pagerduty", times=None)
    assert [http.get("/services").status_code for _ in range(3)] == [401] * 3
    world.faults.clear()
    assert http.get("/services").status_code == 200


def test_slow_answer(world: World, http: httpx.Client) -> None:
    """The answer is right, only late."""
    world.faults.plan("slow", system="pagerduty", seconds=0.15)
    started = time.monotonic()
    assert http.get("/services").status_code == 200
    assert time.monotonic() - started >= 0.15


def test_any_answer_can_be_given(world: World, http: httpx.Client) -> None:
    """A planned answer has its own status, headers and body, for either system."""
    body = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]
    world.faults.plan(
        "answer", system="salesforce", status=403, body=body, extra_headers={"x-way": "out"}
    )
    answer = http.get(f"{world.salesforce_url}/services/data")
    assert (answer.status_code, answer.json(), answer.headers["x-way"]) == (403, body, "out")
    assert http.get(f"{world.salesforce_url}/services/data").status_code == 200


def test_plan_picks_its_calls(world: World, http: httpx.Client) -> None:
    """Method, path, how many go through first and how many are hit."""
    world.faults.plan(
        "server_error",
        system="pagerduty",
        method="GET|PUT",
        path="^/(users|teams)$",
        after=1,
        times=2,
    )
    statuses = [http.get("/users").status_code for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    assert http.get("/services").status_code == 200
    (fault,) = world.faults.faults()
    assert (fault["seen"], fault["hits"]) == (4, 2)


def test_traffic_tells_what_became_of_each_call(world: World, http: httpx.Client) -> None:
    """Every call is kept with its sender, body, status, fault and effect; secrets are not."""
    number = world.traffic.last_number()
    world.faults.plan("timeout_after", system="pagerduty", method="POST", seconds=0.05)
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/incidents", json=NEW)
    http.get("/services", params={"query": "Support"})
    http.post("/oauth/token", data={"client_secret": "hush"})
    write, read, login = world.traffic.requests("pagerduty", after=number)
    assert (write.status, write.fault, write.took_effect) == (None, "timeout_after", True)
    assert (write.sender, write.body, write.writes) == (INTEGRATION_USER, NEW, True)
    assert (read.status, read.query, read.writes) == (200, "query=Support", False)
    assert (login.body, login.writes) == (None, False)
    assert ACCOUNT_KEY not in str(world.traffic.requests())
    assert world.traffic.requests("pagerduty", writes_only=True, after=number) == [write]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/services/data/v67.0/query", None, False),
        ("POST", "/services/oauth2/token", None, False),
        ("PATCH", "/services/data/v67.0/sobjects/Case/500", {"Status": "New"}, True),
        ("POST", "/services/data/v67.0/composite", {"compositeRequest": [{"method": "GET"}]}, False),
        ("POST", "/services/data/v67.0/composite/batch",
         {"batchRequests": [{"method": "GET"}, {"method": "PATCH"}]}, True),
        ("POST", "/services/data/v67.0/composite/graph",
         {"graphs": [{"compositeRequest": [{"method": "GET"}]}]}, False),
    ],
)  # fmt: skip
def test_what_counts_as_a_write(method: str, path: str, body: object, expected: bool) -> None:
    """A composite of reads and a log-in are no writes."""
    assert is_write(method, path, body) is expected


@given(
    seed=st.integers(0, 2**32),
    probability=st.floats(0, 1),
    calls=st.lists(st.sampled_from(["GET", "POST", "PUT"]), max_size=40),
    others=st.lists(st.integers(0, 40), max_size=20),
)
def test_seeded_plan_is_reproducible(
    seed: int, probability: float, calls: list[str], others: list[int]
) -> None:
    """The same seed hits the same calls in the same way, whatever other traffic comes between."""

    def run(noise: set[int]) -> list[str | None]:
        plan = FaultPlan(seed)
        plan.add(Fault(kind=KINDS, system="pagerduty", times=None, probability=probability))
        struck = []
        for index, method in enumerate(calls):
            if index in noise:
                plan.strike("salesforce", "GET", "/services/data")
            strike = plan.strike("pagerduty", method, "/incidents")
            struck.append(strike.kind if strike else None)
        return struck

    assert run(set()) == run(set(others))


def test_impossible_plan_is_refused() -> None:
    """A plan that could never work says why at once."""
    plan = FaultPlan()
    for wrong in (
        Fault(kind="explosion"),
        Fault(kind="slow", system="slack"),
        Fault(kind="slow", probability=2),
        Fault(kind="slow", path="("),
    ):
        with pytest.raises(ValueError, match=r"kind|system|probability|regular"):
            plan.add(wrong)
    assert plan.faults() == []


@pytest.mark.parametrize("kind", ["html_done", "empty_done"])
def test_a_write_that_took_effect_behind_a_strange_answer(
    world: World, http: httpx.Client, kind: str
) -> None:
    """200 with a web page, or with nothing: the incident is there all the same."""
    world.faults.plan(kind, system="pagerduty", method="POST")
    answer = http.post("/incidents", json=NEW)
    assert (answer.status_code, incidents(world)) == (200, 1)
    assert answer.text.startswith("<!DOCTYPE" if kind == "html_done" else "")
    assert "incident" not in answer.text


@pytest.mark.parametrize("kind", ["html_done", "empty_done"])
def test_a_refused_write_is_not_answered_as_done(
    world: World, http: httpx.Client, kind: str
) -> None:
    """A call that took no effect keeps its own answer."""
    world.faults.plan(kind, system="pagerduty", method="POST")
    answer = http.post("/incidents", json={"incident": {}})
    assert (answer.status_code, incidents(world)) == (400, 0)
    assert "error" in answer.json()


def test_an_answer_that_ends_in_the_middle(world: World, http: httpx.Client) -> None:
    """Fewer bytes come than were promised."""
    world.faults.plan("cut_off", system="pagerduty", method="POST")
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/incidents", json=NEW)
    assert incidents(world) == 1


def test_what_salesforce_holds_off(world: World, http: httpx.Client) -> None:
    """A used-up allowance and a locked row are refused in Salesforce's words, and PagerDuty has its own."""
    url = f"{world.salesforce_url}/services/data/v66.0/sobjects/Case/"
    told = {}
    for kind in ("request_limit", "row_locked"):
        world.faults.plan(kind)
        answer = http.post(url, json={})
        told[kind] = (answer.status_code, answer.json()[0]["errorCode"])
        world.faults.plan(kind)
        assert http.post("/incidents", json=NEW).status_code == (
            429 if kind == "request_limit" else 409
        )
    assert told == {
        "request_limit": (403, "REQUEST_LIMIT_EXCEEDED"),
        "row_locked": (400, "UNABLE_TO_LOCK_ROW"),
    }
    assert incidents(world) == 0
