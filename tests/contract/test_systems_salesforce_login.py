"""How we log in to Salesforce, and what a person is told when that does not work."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import ConnectionConfigError, RateLimitedError, RetryableError, SyncError
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from sandbox.world import World
from tests.contract.scripted import Reply, Request, Reset, Scripted, scripted_server
from tests.contract.systems_clients import (
    DATA,
    PRIVATE_KEY,
    TOKEN,
    admit,
    rows,
    salesforce_spec,
    sandbox_salesforce,
    scripted_salesforce,
)

LOGIN = "/services/oauth2/token"


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that answers what the test says."""
    with scripted_server() as script:
        yield script


def _claims(request: Request) -> dict[str, Any]:
    unverified: dict[str, Any] = jwt.decode(
        request.body["assertion"], options={"verify_signature": False}
    )
    return unverified


def test_the_sandbox_checks_our_signature_and_lets_us_in(world: World) -> None:
    """A JWT login against the uploaded certificate works, and a foreign key is refused."""
    assert "answers" in sandbox_salesforce(world).check()
    other = salesforce_spec(world.salesforce_url, private_key=_another_key())
    with pytest.raises(ConnectionConfigError, match="salesforce_default"):
        SalesforceClient(other).check()


def test_the_assertion_carries_what_salesforce_documents(server: Scripted) -> None:
    """Issuer, subject, audience and an expiry within 180 seconds; the form names the JWT grant."""
    scripted_salesforce(server).check()
    request = server.sent("POST", LOGIN)[0]
    claims = _claims(request)
    assert claims["iss"] == "KEY"
    assert claims["sub"] == "sync@acme.example"
    assert claims["aud"] == "https://login.salesforce.com"
    assert 0 < claims["exp"] - time.time() <= 180
    assert request.body["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert jwt.get_unverified_header(request.body["assertion"])["alg"] == "RS256"


@pytest.mark.parametrize(
    ("extra", "audience"),
    [
        ({"domain": "test"}, "https://test.salesforce.com"),
        ({"audience": "https://acme.example"}, "https://acme.example"),
        ({}, "https://login.salesforce.com"),
    ],
)
def test_the_audience_follows_domain_or_its_own_extra(
    server: Scripted, extra: dict[str, str], audience: str
) -> None:
    """Sandboxes get test.salesforce.com, and `audience` overrides."""
    admit(server)
    SalesforceClient(salesforce_spec(server.url, **extra)).check()
    assert _claims(server.sent("POST", LOGIN)[0])["aud"] == audience


def test_a_server_that_wants_itself_as_audience_gets_it(server: Scripted) -> None:
    """After "audience is invalid" the login host's own address is tried, once."""

    def picky(request: Request) -> Reply:
        if _claims(request)["aud"] != server.url:
            return Reply(
                400, {"error": "invalid_grant", "error_description": "audience is invalid"}
            )
        return Reply(200, {"access_token": TOKEN, "instance_url": server.url})

    server.on("POST", LOGIN, picky)
    assert SalesforceClient(salesforce_spec(server.url)).instance_url == server.url
    assert len(server.sent("POST", LOGIN)) == 2


def test_the_key_may_be_a_file_and_may_have_escaped_line_breaks(
    server: Scripted, tmp_path: Path
) -> None:
    """`private_key_file_path`, and a one-line `private_key` as environment variables hold it."""
    admit(server)
    file = tmp_path / "key.pem"
    file.write_text(PRIVATE_KEY)
    by_file = salesforce_spec(server.url, private_key=None, private_key_file_path=str(file))
    one_line = salesforce_spec(server.url, private_key=PRIVATE_KEY.replace("\n", "\\n"))
    for spec in (by_file, one_line):
        assert SalesforceClient(spec).instance_url == server.url


def test_the_calls_go_to_the_instance_that_the_login_named(server: Scripted) -> None:
    """The answer's instance_url is used with its scheme, port and path."""
    with scripted_server() as instance:
        server.on(
            "POST",
            LOGIN,
            Reply(200, {"access_token": TOKEN, "instance_url": f"{instance.url}/org/"}),
        )
        instance.on("GET", f"/org{DATA}/limits", Reply(200, {}))
        client = SalesforceClient(salesforce_spec(server.url))
        client.check()
        (call,) = instance.requests
        assert (call.path, call.headers["authorization"]) == (
            f"/org{DATA}/limits",
            f"Bearer {TOKEN}",
        )
        assert client.record_url("Case", "500x") == f"{instance.url}/org/500x"


def test_plain_http_is_for_this_machine_only(server: Scripted) -> None:
    """Neither a setting nor a login answer can make us send the token over plain http elsewhere."""
    with pytest.raises(ConnectionConfigError, match="login_url"):
        SalesforceClient(salesforce_spec("http://login.example")).check()
    server.on(
        "POST", LOGIN, Reply(200, {"access_token": TOKEN, "instance_url": "http://acme.example"})
    )
    with pytest.raises(ConnectionConfigError, match="instance_url"):
        SalesforceClient(salesforce_spec(server.url)).check()


def test_client_credentials_are_the_second_choice(server: Scripted) -> None:
    """With a consumer secret and no key the client-credentials grant is used."""
    admit(server)
    spec = salesforce_spec(server.url, private_key=None, consumer_secret="s3cret-value")
    SalesforceClient(spec).check()
    form = server.sent("POST", LOGIN)[0].body
    assert form == {
        "grant_type": "client_credentials",
        "client_id": "KEY",
        "client_secret": "s3cret-value",
    }


@pytest.mark.parametrize(
    ("error", "description", "field", "advice"),
    [
        ("invalid_grant", "user hasn't approved this consumer", "login", "permission set"),
        ("invalid_app_access", "user is not admin approved", "login", "permission set"),
        ("invalid_grant", "audience is invalid", "audience", "domain"),
        ("invalid_grant", "invalid assertion", "private_key", "certificate"),
        ("invalid_client_id", "client identifier invalid", "consumer_key", "consumer key"),
        ("invalid_client", "invalid client credentials", "consumer_secret", "secret"),
        ("inactive_user", "user is inactive", "login", "Activate"),
        ("inactive_org", "organization is inactive", "login_url", "org"),
        ("unsupported_grant_type", "grant type not supported", "login_url", "login host"),
        ("surprise", "whatever", "login_url", "login host"),
    ],
)
def test_a_refused_login_names_connection_field_and_remedy(
    server: Scripted, error: str, description: str, field: str, advice: str
) -> None:
    """Every documented OAuth error becomes one sentence that a person can act on."""
    server.on("POST", LOGIN, Reply(400, {"error": error, "error_description": description}))
    with pytest.raises(ConnectionConfigError) as caught:
        SalesforceClient(salesforce_spec(server.url)).check()
    assert caught.value.conn_id == "salesforce_default"
    assert caught.value.field == field
    assert advice in caught.value.hint
    assert description in str(caught.value)


def test_an_expired_assertion_points_at_this_machines_clock(server: Scripted) -> None:
    """Salesforce calls it "expired authorization code"; what helps is setting the clock."""
    body = {"error": "invalid_grant", "error_description": "expired authorization code"}
    server.on("POST", LOGIN, Reply(400, body))
    with pytest.raises(ConnectionConfigError, match="clock"):
        SalesforceClient(salesforce_spec(server.url)).check()


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"private_key": "not a key"}, "private_key"),
        (
            {"private_key": None, "private_key_file_path": "/nowhere/key.pem"},
            "private_key_file_path",
        ),
        ({"private_key": None}, "private_key"),
        ({"consumer_key": None}, "consumer_key"),
    ],
)
def test_an_incomplete_connection_names_its_field(extra: dict[str, Any], field: str) -> None:
    """What is missing or unreadable is named before anything is sent."""
    with pytest.raises(ConnectionConfigError) as caught:
        SalesforceClient(salesforce_spec("http://127.0.0.1:9", **extra)).check()
    assert caught.value.field == field


def test_no_user_name_is_said_plainly() -> None:
    """JWT needs a subject."""
    extra = {"consumer_key": "KEY", "private_key": PRIVATE_KEY}
    with pytest.raises(ConnectionConfigError, match="login"):
        SalesforceClient(ConnectionSpec("sf", "salesforce", extra=extra)).check()


def test_trouble_at_the_login_host_is_met_by_asking_again(server: Scripted) -> None:
    """A reset, then an HTML page, then the token: the caller sees no error."""
    good = Reply(200, {"access_token": TOKEN, "instance_url": server.url})
    server.on("POST", LOGIN, Reset(), Reply(503, "<html>maintenance</html>"), good)
    assert SalesforceClient(salesforce_spec(server.url)).instance_url == server.url


def test_a_401_that_no_oauth_server_sent_is_passing(server: Scripted) -> None:
    """Only an OAuth error is a refusal of the login; a stray 401 is asked again."""
    good = Reply(200, {"access_token": TOKEN, "instance_url": server.url})
    stray = Reply(401, [{"errorCode": "INVALID_SESSION_ID", "message": "x"}])
    server.on("POST", LOGIN, stray, good)
    assert SalesforceClient(salesforce_spec(server.url)).instance_url == server.url
    server.on("POST", LOGIN, stray)
    with pytest.raises(ConnectionConfigError, match="HTTP 401"):
        SalesforceClient(salesforce_spec(server.url)).check()


def test_a_login_host_in_lasting_trouble_is_retryable(server: Scripted) -> None:
    """Three 503 in a row raise RetryableError, and a login limit RateLimitedError."""
    server.on("POST", LOGIN, Reply(503, "<html>maintenance</html>"))
    with pytest.raises(RetryableError, match="503"):
        SalesforceClient(salesforce_spec(server.url)).check()
    body = {"error": "rate_limit_exceeded", "error_description": "login rate exceeded"}
    server.on("POST", LOGIN, Reply(400, body, {"Retry-After": "7"}))
    with pytest.raises(RateLimitedError) as caught:
        SalesforceClient(salesforce_spec(server.url)).check()
    assert caught.value.retry_after == 7


def test_an_expired_session_is_renewed_once_and_the_call_repeated(world: World) -> None:
    """A call after the session died succeeds, with one more login and its body and headers intact."""
    client = sandbox_salesforce(world)
    client.check()
    world.salesforce.faults.kill_sessions()
    created = client.post("sobjects/Case/", {"Subject": "After expiry"})
    assert created["success"] is True
    assert client.get(f"sobjects/Case/{created['id']}")["Subject"] == "After expiry"


def test_the_repeated_call_keeps_its_headers(server: Scripted) -> None:
    """Headers given to a call go out again after the re-login."""
    client = scripted_salesforce(server)
    expired = [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]
    server.on("PATCH", f"{DATA}/sobjects/Case/500x", Reply(401, expired), Reply(204))
    client.patch("sobjects/Case/500x", {"Status": "New"}, headers={"Sforce-Auto-Assign": "FALSE"})
    first, second = server.sent("PATCH", f"{DATA}/sobjects/Case/500x")
    assert first.headers["sforce-auto-assign"] == second.headers["sforce-auto-assign"] == "FALSE"
    assert first.body == second.body


def test_a_session_that_is_never_accepted_ends_in_one_sentence(server: Scripted) -> None:
    """401 for good costs one re-login and names the connection; there is no login loop."""
    client = scripted_salesforce(server)
    expired = [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]
    server.on("GET", f"{DATA}/limits", Reply(401, expired))
    with pytest.raises(ConnectionConfigError, match="salesforce_default"):
        client.get("limits")
    assert len(server.sent("GET", f"{DATA}/limits")) == 2
    assert len(server.sent("POST", LOGIN)) == 2


def test_a_401_that_is_no_expiry_does_not_log_in_again(server: Scripted) -> None:
    """ "This session is not valid for use with the REST API" would not change by logging in."""
    client = scripted_salesforce(server)
    words = "This session is not valid for use with the REST API"
    server.on(
        "GET", f"{DATA}/limits", Reply(401, [{"errorCode": "INVALID_SESSION_ID", "message": words}])
    )
    with pytest.raises(ConnectionConfigError, match="not valid for use"):
        client.get("limits")
    assert len(server.sent("POST", LOGIN)) == 1


def test_four_threads_that_meet_an_expired_session_log_in_once(server: Scripted) -> None:
    """The re-login happens under a lock, once, and every thread's call succeeds."""
    logins = iter(range(1000))

    def numbered(_request: Request) -> Reply:
        return Reply(200, {"access_token": f"T{next(logins)}", "instance_url": server.url})

    def only_the_second(request: Request) -> Reply:
        if request.headers["authorization"] == "Bearer T1":
            return rows({"Id": "1"})
        return Reply(401, [{"errorCode": "INVALID_SESSION_ID", "message": "expired"}])

    server.on("POST", LOGIN, numbered)
    server.on("GET", f"{DATA}/query/", only_the_second)
    client = SalesforceClient(salesforce_spec(server.url))
    assert client.instance_url == server.url
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(lambda: list(client.query("SELECT Id FROM Case"))) for _ in range(8)]
        assert all(answer.result() == [[{"Id": "1"}]] for answer in answers)
    assert len(server.sent("POST", LOGIN)) == 2


def test_nothing_secret_is_in_texts_and_reprs(server: Scripted) -> None:
    """Token and key stay out of every error text, even when a server echoes them, and out of reprs."""
    client = scripted_salesforce(server)
    echo = [{"errorCode": "INVALID_FIELD", "message": f"bad header Bearer {TOKEN}"}]
    server.on("POST", f"{DATA}/sobjects/Case/", Reply(400, echo))
    with pytest.raises(SyncError) as caught:
        client.post("sobjects/Case/", {})
    told = f"{caught.value} {caught.value!r} {client!r} {client._grant!r} {salesforce_spec('x')!r}"
    assert TOKEN not in told
    assert PRIVATE_KEY.splitlines()[1] not in told
    assert "bad header Bearer ***" in str(caught.value)


def test_a_redirect_is_not_followed(server: Scripted) -> None:
    """A redirect would hand the token to another host: it is reported instead."""
    client = scripted_salesforce(server)
    with scripted_server() as elsewhere:
        headers = {"Location": f"{elsewhere.url}/limits"}
        server.on("GET", f"{DATA}/limits", Reply(302, None, headers))
        with pytest.raises(ConnectionConfigError, match="elsewhere"):
            client.get("limits")
        assert elsewhere.requests == []


def test_the_acting_user_is_told_by_the_login(world: World, server: Scripted) -> None:
    """`user_id` comes with the token, else from userinfo, else it is unknown; never an error."""
    owner = sandbox_salesforce(world).user_id
    assert owner.startswith("005")
    server.on("POST", LOGIN, Reply(200, {"access_token": TOKEN, "instance_url": server.url}))
    assert SalesforceClient(salesforce_spec(server.url)).user_id == ""
    server.on("GET", "/services/oauth2/userinfo", Reply(200, {"user_id": "005y"}))
    assert SalesforceClient(salesforce_spec(server.url)).user_id == "005y"


def _another_key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem.decode()
