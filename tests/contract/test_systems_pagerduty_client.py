"""The official client's traps, each closed, and how the account is reached."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pagerduty
import pytest

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import (
    ConnectionConfigError,
    RateLimitedError,
    RefusedError,
    RetryableError,
)
from pd_sf_rules.systems.pagerduty.client import PAGING_CAP, PagerDutyClient
from sandbox.pagerduty.seed import OAUTH_CLIENT_ID, OAUTH_CLIENT_SECRET
from sandbox.world import World
from tests.contract.scripted import Reply, Request, Reset, Scripted, Silence, scripted_server
from tests.contract.systems_clients import (
    pagerduty_spec,
    sandbox_pagerduty,
    scripted_pagerduty,
)


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that answers what the test says."""
    with scripted_server() as script:
        yield script


def test_the_transport_is_the_official_client(world: World) -> None:
    """Our session is the vendor's client, so its headers and URL rules stay in force."""
    client = sandbox_pagerduty(world)
    assert isinstance(client._session, pagerduty.RestApiV2Client)
    assert "writes are made as salesforce-sync@acme.example" in client.check()
    assert client.user_id() == "PUSYNC1"


def test_every_request_carries_key_version_and_from(server: Scripted) -> None:
    """GET, POST and PUT alike: the acting user is named on every call."""
    client = scripted_pagerduty(server)
    for method in ("GET", "POST", "PUT"):
        server.on(method, "/incidents", Reply(200, {}))
    client.get("incidents")
    client.post("incidents", {})
    client.put("incidents", {})
    for request in server.requests:
        assert request.headers["authorization"] == "Token token=secret-api-key"
        assert request.headers["accept"] == "application/vnd.pagerduty+json;version=2"
        assert request.headers["from"] == "sync@acme.example"


def test_lists_become_repeated_bracketed_parameters(server: Scripted) -> None:
    """`statuses=[...]` goes out as `statuses[]=...&statuses[]=...`."""
    client = scripted_pagerduty(server)
    server.on("GET", "/incidents", Reply(200, {}))
    client.get("incidents", {"statuses": ["triggered", "acknowledged"], "limit": 5})
    assert server.requests[0].query == {"statuses[]": ["triggered", "acknowledged"], "limit": ["5"]}


def test_trap_https_only() -> None:
    """Plain http works on loopback only; elsewhere the connection's field is named."""
    with pytest.raises(ConnectionConfigError, match="base_url"):
        PagerDutyClient(pagerduty_spec("http://api.pagerduty.com"))


@pytest.mark.parametrize(("region", "host"), [("us", "api.pagerduty.com"), ("eu", "api.eu.")])
def test_the_region_gives_the_host(region: str, host: str) -> None:
    """Without a base_url the region decides; nothing is sent to find that out."""
    extra = {"from_email": "a@b.c", "region": region}
    client = PagerDutyClient(ConnectionSpec("pd", "pagerduty", password="k", extra=extra))
    assert host in client._session.url


def test_trap_429_for_ever_on_a_write(server: Scripted) -> None:
    """A write meets one 429 and returns with the server's own waiting time."""
    client = scripted_pagerduty(server, patience=15.0)
    server.on("POST", "/incidents", Reply(429, {"error": {}}, {"ratelimit-reset": "7"}))
    with pytest.raises(RateLimitedError) as caught:
        client.post("incidents", {})
    assert caught.value.retry_after == 7
    assert len(server.requests) == 1


def test_trap_429_on_a_read_follows_the_reset_header(server: Scripted) -> None:
    """A read waits what `ratelimit-reset` says, within its patience, and then goes on."""
    client = scripted_pagerduty(server, patience=5.0)
    server.on(
        "GET", "/users", Reply(429, None, {"ratelimit-reset": "0"}), Reply(200, {"users": []})
    )
    assert client.get("users") == {"users": []}
    impatient = scripted_pagerduty(server)
    server.on("GET", "/users", Reply(429, None))
    with pytest.raises(RateLimitedError) as caught:
        impatient.get("users")
    assert caught.value.retry_after == 5.0


def test_trap_posts_are_sent_again_after_a_read_time_out(server: Scripted) -> None:
    """A slow note is sent once, not four times."""
    client = scripted_pagerduty(server, timeout=0.2)
    server.on("POST", "/incidents/Q1/notes", Silence())
    with pytest.raises(RetryableError):
        client.post("incidents/Q1/notes", {})
    assert len(server.requests) == 1


def test_trap_truncation_at_ten_thousand_rows_is_an_error(server: Scripted) -> None:
    """Where paging ends before the list does, we raise; the client would only warn."""
    client = scripted_pagerduty(server)

    def endless(request: Request) -> Reply:
        first = int(request.query["offset"][0])
        rows = [{"id": str(number)} for number in range(first, first + 100)]
        return Reply(200, {"services": rows, "more": True})

    server.on("GET", "/services", endless)
    with pytest.raises(RefusedError) as caught:
        list(client.pages("services", "services"))
    assert caught.value.code == PAGING_CAP
    assert len(server.requests) == 100


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([{"more": True, "n": 100}, {"more": False, "n": 7}], id="full then rest"),
        pytest.param([{"more": True, "n": 40}, {"more": False, "n": 67}], id="short pages"),
        pytest.param([{"n": 100}, {"n": 7}], id="without more"),
        pytest.param([{"n": 107}], id="unpaged"),
        pytest.param([{"more": True, "n": 0}, {"more": False, "n": 107}], id="an empty page"),
    ],
)
def test_lists_are_read_to_their_end(server: Scripted, pages: list[dict[str, int]]) -> None:
    """Whatever way a server pages, every row comes once and the reading ends."""
    client = scripted_pagerduty(server)
    bodies, number = [], 0
    for page in pages:
        rows = [{"id": str(n)} for n in range(number, number + page["n"])]
        number += page["n"]
        bodies.append(
            Reply(200, {"users": rows, **({"more": page["more"]} if "more" in page else {})})
        )
    server.on("GET", "/users", *bodies)
    read = [row["id"] for page in client.pages("users", "users") for row in page]
    assert read == [str(n) for n in range(107)]
    untold = "more" not in pages[-1]  # only a page without news ends a list that tells nothing
    assert len(server.requests) == len(pages) + untold


def test_a_server_with_smaller_pages_than_asked_for_is_read_to_its_end(server: Scripted) -> None:
    """Without `more`, a page that is not full is no end."""
    rows = [{"id": str(number)} for number in range(60)]

    def page(request: Request) -> Reply:
        first = int(request.query["offset"][0])
        return Reply(200, {"users": rows[first : first + 25]})

    server.on("GET", "/users", page)
    read = [row for page in scripted_pagerduty(server).pages("users", "users") for row in page]
    assert read == rows


def test_an_empty_page_that_promises_more_hides_nothing(server: Scripted) -> None:
    """It is asked for again; where it stays empty, the pages behind it are still read."""
    asked: list[int] = []

    def page(request: Request) -> Reply:
        first = int(request.query["offset"][0])
        asked.append(first)
        if first == 0:
            return Reply(200, {"users": [{"id": "1"}], "more": True})
        if first == 1 and asked.count(1) < 2:
            return Reply(200, {"users": [], "more": True})
        if first == 1:
            return Reply(200, {"users": [{"id": "2"}], "more": True})
        if first == 2:
            return Reply(200, {"users": [], "more": True})
        return Reply(200, {"users": [{"id": "3"}], "more": False})

    server.on("GET", "/users", page)
    read = [r["id"] for page in scripted_pagerduty(server).pages("users", "users") for r in page]
    assert read == ["1", "2", "3"]
    assert asked == [0, 1, 1, 2, 2, 2, 102]


def test_a_server_that_ignores_offsets_does_not_keep_us(server: Scripted) -> None:
    """Exactly one full page, given again and again without `more`, is read once and left."""
    client = scripted_pagerduty(server)
    server.on("GET", "/users", Reply(200, {"users": [{"id": str(n)} for n in range(100)]}))
    assert sum(len(page) for page in client.pages("users", "users")) == 100
    assert len(server.requests) == 2


def test_trap_cursor_lists_are_not_used(world: World) -> None:
    """The client's `iter_all` returns nothing for cursor paths; our pages never go through it."""
    client = sandbox_pagerduty(world)
    names = {row["name"] for page in client.pages("services", "services") for row in page}
    assert "Support P1" in names


def test_the_clock_is_the_servers(server: Scripted) -> None:
    """Asked for before any call it costs one, which tells who we are as well; afterwards every answer keeps it."""
    client = scripted_pagerduty(server)
    header = {"Date": "Wed, 01 Jan 2031 00:00:00 GMT"}
    me = {"id": "PME", "email": client.from_email.upper()}
    server.on("GET", "/users", Reply(200, {"users": [me]}, header))
    ahead = datetime(2031, 1, 1, tzinfo=UTC)
    assert timedelta(0) <= client.server_now() - ahead < timedelta(seconds=5)
    assert client.server_now() > ahead
    assert client.user_id() == "PME"
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [403, 429, 500])
def test_the_clock_is_told_by_any_answer(server: Scripted, status: int) -> None:
    """Who may not ask for users, or not now, still learns the time by one call; who we are is asked for when needed."""
    client = scripted_pagerduty(server)
    header = {"Date": "Wed, 01 Jan 2031 00:00:00 GMT"}
    me = {"id": "PME", "email": client.from_email}
    server.on("GET", "/users", Reply(status, {}, header), Reply(200, {"users": [me]}, header))
    ahead = datetime(2031, 1, 1, tzinfo=UTC)
    assert timedelta(0) <= client.server_now() - ahead < timedelta(seconds=5)
    assert len(server.requests) == 1
    assert client.user_id() == "PME"


def test_without_an_address_the_newest_log_entry_tells_the_clock(server: Scripted) -> None:
    """There is nobody to ask for then."""
    client = PagerDutyClient(pagerduty_spec(server.url, from_email=""))
    header = {"Date": "Wed, 01 Jan 2031 00:00:00 GMT"}
    server.on("GET", "/log_entries", Reply(200, {"log_entries": []}, header))
    ahead = datetime(2031, 1, 1, tzinfo=UTC)
    assert timedelta(0) <= client.server_now() - ahead < timedelta(seconds=5)


def test_without_a_date_header_this_machines_clock_does(server: Scripted) -> None:
    """A server that tells no time, even in an error, does not stop us."""
    server.on("GET", "/users", Reply(500, None, date=False))
    now = scripted_pagerduty(server).server_now()
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)


def test_calls_and_limits_are_counted(server: Scripted) -> None:
    """`usage` tells our calls and the nearest limit; missing headers change nothing."""
    client = scripted_pagerduty(server)
    told = {"ratelimit-limit": "960", "ratelimit-remaining": "950"}
    server.on("GET", "/users", Reply(200, {"users": []}, told), Reply(200, {"users": []}))
    client.get("users")
    client.get("users")
    usage = client.usage()
    assert (usage.calls, usage.used, usage.allowed) == (2, 10, 960)


def test_four_threads_share_one_client(world: World) -> None:
    """Parallel calls through one client all succeed and are all counted."""
    client = sandbox_pagerduty(world)
    barrier = threading.Barrier(4)

    def read(_number: int) -> int:
        barrier.wait(10)
        return len(client.get("priorities")["priorities"])

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(read, range(20))) == {5}
    assert client.usage().calls == 20


def test_a_refused_key_is_tried_twice_and_then_told(world: World) -> None:
    """One 401 is survived (it did nothing); for good it names connection, field and region."""
    client = sandbox_pagerduty(world)
    world.faults.plan("unauthorized", system="pagerduty")
    assert client.get("priorities")
    world.faults.plan("unauthorized", system="pagerduty", times=None)
    with pytest.raises(ConnectionConfigError) as caught:
        client.post("incidents", {})
    assert (caught.value.conn_id, caught.value.field) == ("pagerduty_default", "password")
    assert "eu" in caught.value.hint
    assert "sandbox-account-key" not in str(caught.value)


def test_an_unknown_from_address_is_told_before_and_when_writing(server: Scripted) -> None:
    """The check finds it out, and so does a write, in PagerDuty's own words."""
    client = scripted_pagerduty(server)
    server.on("GET", "/log_entries", Reply(200, {"log_entries": []}))
    server.on("GET", "/users", Reply(200, {"users": [{"id": "P2", "email": "x@acme.example"}]}))
    with pytest.raises(ConnectionConfigError, match="from_email"):
        client.check()
    refused = {"error": {"code": 1008, "message": "Requester User Not Found", "errors": []}}
    server.on("POST", "/incidents", Reply(400, refused))
    with pytest.raises(ConnectionConfigError, match="from_email"):
        client.post("incidents", {})
    words = 'You must specify a user\'s email address in the "From" header to perform this action'
    missing = {"error": {"code": 2016, "message": words}}
    server.on("POST", "/incidents", Reply(400, missing))
    with pytest.raises(ConnectionConfigError, match="from_email"):
        client.post("incidents", {})


def test_a_missing_key_is_named() -> None:
    """No password and no app: the connection's password field is what to fill."""
    with pytest.raises(ConnectionConfigError, match="password"):
        PagerDutyClient(ConnectionSpec("pd", "pagerduty", extra={"from_email": "a@b.c"}))


def _app(url: str, **extra: str) -> ConnectionSpec:
    members = {
        "base_url": url,
        "token_url": f"{url}/oauth/token",
        "from_email": "salesforce-sync@acme.example",
        "client_id": OAUTH_CLIENT_ID,
        "client_secret": OAUTH_CLIENT_SECRET,
        "subdomain": "acme",
        "region": "us",
        **extra,
    }
    return ConnectionSpec("pagerduty_default", "pagerduty", extra=members)


def test_an_app_with_scopes_works_instead_of_a_key(world: World) -> None:
    """Client credentials give a bearer token, once for many calls."""
    client = PagerDutyClient(_app(world.pagerduty_url))
    assert client.get("priorities")["priorities"]
    assert client.user_id() == "PUSYNC1"
    asked = [one for one in world.traffic.requests("pagerduty") if one.path == "/oauth/token"]
    assert len(asked) == 1


@pytest.mark.parametrize("address", ["salesforce-sync@acme.example", ""])
def test_an_app_asks_for_the_time_with_its_token(world: World, address: str) -> None:
    """Its first question costs a token and one call, whether it names a user or not; no call goes out without one."""
    PagerDutyClient(_app(world.pagerduty_url, from_email=address)).server_now()
    asked = [(one.path, one.status) for one in world.traffic.requests("pagerduty")]
    assert asked == [("/oauth/token", 200), ("/users" if address else "/log_entries", 200)]


def test_an_app_that_is_refused_names_its_fields(world: World) -> None:
    """A wrong secret or subdomain: one sentence, and the secret is not in it."""
    for wrong, field in (
        ({"client_secret": "nope-secret"}, "client_id"),
        ({"subdomain": "x"}, "subdomain"),
    ):
        with pytest.raises(ConnectionConfigError) as caught:
            PagerDutyClient(_app(world.pagerduty_url, **wrong)).get("priorities")
        assert caught.value.field == field
        assert "nope-secret" not in str(caught.value)


def test_an_expired_token_is_renewed_once_for_all_threads(server: Scripted) -> None:
    """After a 401 one thread asks for a fresh token and every call succeeds."""
    numbers = iter(range(100))

    def granted(_request: Request) -> Reply:
        return Reply(200, {"access_token": f"T{next(numbers)}", "expires_in": 86400})

    def only_the_second(request: Request) -> Reply:
        if request.headers["authorization"] == "Bearer T1":
            return Reply(200, {"priorities": []})
        return Reply(401, {"error": {"code": 2006, "message": "Authentication failed"}})

    server.on("POST", "/oauth/token", granted)
    server.on("GET", "/priorities", only_the_second)
    client = PagerDutyClient(_app(server.url))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _n: client.get("priorities"), range(8)))
    assert len(server.sent("POST", "/oauth/token")) == 2


def test_trouble_at_the_token_host_is_met_by_asking_again(server: Scripted) -> None:
    """A reset and a 503 cost patience, not the call."""
    good = Reply(200, {"access_token": "T", "expires_in": 3600})
    server.on("POST", "/oauth/token", Reset(), Reply(503, "<html></html>"), good)
    server.on("GET", "/priorities", Reply(200, {"priorities": []}))
    assert PagerDutyClient(_app(server.url)).get("priorities") == {"priorities": []}


def test_a_move_on_the_same_host_is_followed(server: Scripted) -> None:
    """A server that insists on another slash gets it, with method and body intact."""
    client = scripted_pagerduty(server)
    server.on("PUT", "/incidents", Reply(307, None, {"Location": f"{server.url}/incidents/"}))
    server.on("PUT", "/incidents/", Reply(200, {"incidents": []}))
    assert client.put("incidents", {"incidents": [1]}) == {"incidents": []}
    assert server.requests[-1].body == {"incidents": [1]}


def test_without_a_list_of_users_the_user_is_unknown(server: Scripted) -> None:
    """A key that may not read users still works; the user's id is blank, asked for once."""
    client = scripted_pagerduty(server)
    server.on("GET", "/users", Reply(403, {"error": {"code": 2010, "message": "Access Denied"}}))
    server.on("GET", "/log_entries", Reply(200, {"log_entries": []}))
    assert (client.user_id(), client.user_id()) == ("", "")
    assert len(server.requests) == 1
    assert "users cannot be read" in client.check()


def test_a_redirect_is_not_followed(server: Scripted) -> None:
    """The key is not handed to another host."""
    client = scripted_pagerduty(server)
    with scripted_server() as elsewhere:
        server.on("GET", "/users", Reply(302, None, {"Location": f"{elsewhere.url}/users"}))
        with pytest.raises(ConnectionConfigError, match="elsewhere"):
            client.get("users")
        assert elsewhere.requests == []
