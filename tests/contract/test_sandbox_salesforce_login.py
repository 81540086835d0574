"""The simulated org's token endpoint refuses and admits as Salesforce does."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceExpiredSession

from sandbox.demo_key import kept_in
from sandbox.salesforce.seed import API_USER
from sandbox.salesforce.settings import ConnectedApp
from sandbox.salesforce_side import CONSUMER_KEY
from sandbox.world import World
from tests.contract.salesforce_clients import (
    JWT_BEARER,
    ask_token,
    assertion,
    control,
    log_in,
    simple_salesforce,
)

SECRET_APP = ConnectedApp(
    consumer_key="other", consumer_secret="hush", run_as=API_USER, passwords={API_USER: "pw"}
)


def test_simple_salesforce_logs_in_by_jwt(world: World) -> None:
    """The unchanged library logs in with a private key and reads a record."""
    sf = simple_salesforce(world)
    assert sf.query("SELECT Id FROM Account WHERE Name = 'Acme'")["totalSize"] == 1


@pytest.mark.parametrize(
    "claims",
    [
        lambda: {"exp": str(int(time.time()) + 300)},
        lambda: {"exp": int(time.time() * 1000) + 300_000},
        lambda: {"aud": "https://login.salesforce.com/"},
        lambda: {"aud": "https://test.salesforce.com"},
        lambda: {"sub": API_USER.upper()},
    ],
)
def test_lax_claims_are_admitted(world: World, claims: Callable[[], dict[str, Any]]) -> None:
    """String or millisecond exp, a slash after aud, another case of the username: all log in."""
    reply = ask_token(world, {"grant_type": JWT_BEARER, "assertion": assertion(world, **claims())})
    assert reply.status_code == 200
    body = reply.json()
    assert body["instance_url"] == world.salesforce_url
    assert body["token_type"] == "Bearer"
    assert "refresh_token" not in body
    assert "expires_in" not in body


@pytest.mark.parametrize(
    ("claims", "error", "description"),
    [
        ({"iss": "unknown"}, "invalid_client_id", "client identifier invalid"),
        ({"aud": "https://example.com"}, "invalid_grant", "audience is invalid"),
        ({"exp": int(time.time()) - 1}, "invalid_grant", "expired authorization code"),
        ({"exp": "soon"}, "invalid_grant", "invalid assertion"),
        ({"sub": "nobody@acme.example"}, "invalid_grant", "user hasn't approved this consumer"),
        (
            {"sub": "sam.agent@acme.example"},
            "invalid_app_access",
            "user is not admin approved to access this app",
        ),
    ],
)
def test_wrong_claims_are_refused(
    world: World, claims: dict[str, Any], error: str, description: str
) -> None:
    """Each wrong claim is a 400 with an object that names it."""
    reply = ask_token(world, {"grant_type": JWT_BEARER, "assertion": assertion(world, **claims)})
    assert reply.status_code == 400
    assert reply.json() == {"error": error, "error_description": description}


def test_only_the_uploaded_certificate_s_key_logs_in(world: World, tmp_path: Path) -> None:
    """The signature is really verified: another key fails until its certificate is uploaded."""
    other = kept_in(tmp_path)
    with pytest.raises(SalesforceAuthenticationFailed, match="invalid assertion"):
        simple_salesforce(world, privatekey=other.private_key)
    control(
        world,
        "POST",
        "apps",
        consumer_key=CONSUMER_KEY,
        certificate=other.certificate,
        usernames=[API_USER],
    )
    assert simple_salesforce(world, privatekey=other.private_key).limits()
    with pytest.raises(SalesforceAuthenticationFailed, match="invalid assertion"):
        simple_salesforce(world)


def test_a_certificate_that_is_none_is_refused_at_upload(world: World) -> None:
    """Uploading rubbish raises instead of failing at the first login."""
    with pytest.raises(ValueError, match="PEM"):
        world.salesforce.register_app(ConnectedApp(consumer_key="x", certificate="rubbish"))


def test_client_credentials_and_password_grants(world: World) -> None:
    """The other two grants log in with the right secret and fail with a wrong one."""
    world.salesforce.register_app(SECRET_APP)
    basic = ask_token(world, {"grant_type": "client_credentials"}, auth=("other", "hush"))
    assert basic.status_code == 200
    assert basic.json()["issued_at"].isdigit()
    wrong = ask_token(world, {"grant_type": "client_credentials"}, auth=("other", "loud"))
    assert wrong.json()["error"] == "invalid_client"
    form = {"grant_type": "password", "client_id": "other", "client_secret": "hush"}
    good = ask_token(world, {**form, "username": API_USER, "password": "pw"})
    assert good.status_code == 200
    bad = ask_token(world, {**form, "username": API_USER, "password": "no"})
    assert bad.json() == {"error": "invalid_grant", "error_description": "authentication failure"}


def test_the_token_endpoint_wants_post_and_a_known_grant(world: World) -> None:
    """GET and unknown grants are refused in the OAuth shape."""
    url = f"{world.salesforce_url}/services/oauth2/token"
    assert requests.get(url, timeout=30).json()["error_description"] == "must use HTTP POST"
    reply = ask_token(world, {"grant_type": "magic"})
    assert reply.json()["error"] == "unsupported_grant_type"


def test_soap_login_is_refused(world: World) -> None:
    """Username, password and security token do not log in any more."""
    with pytest.raises(SalesforceAuthenticationFailed, match="UNSUPPORTED_API_VERSION"):
        simple_salesforce(world, password="p", security_token="t")
    with pytest.raises(SalesforceAuthenticationFailed, match="disabled by default"):
        simple_salesforce(world, password="p", security_token="t", version="64.0")


def test_the_instance_can_move(world: World) -> None:
    """A login may answer with another instance_url than the address it was sent to."""
    world.salesforce.faults.set(instance_url="http://127.0.0.1:9")
    reply = ask_token(world, {"grant_type": JWT_BEARER, "assertion": assertion(world)})
    assert reply.json()["instance_url"] == "http://127.0.0.1:9"


def test_userinfo_names_the_user(world: World) -> None:
    """A client learns its own user id, to know its own writes."""
    client = log_in(world)
    info = client.call("GET", "/services/oauth2/userinfo").json()
    assert info["preferred_username"] == API_USER
    created = client.call("POST", "sobjects/Case", json={"Subject": "mine"}).json()["id"]
    assert world.salesforce.record(created)["CreatedById"] == info["user_id"]


def test_a_killed_session_is_told_so_and_a_new_login_works(world: World) -> None:
    """After the sessions are killed every call is 401 INVALID_SESSION_ID until a new login."""
    client = log_in(world)
    world.salesforce.faults.kill_sessions()
    reply = client.call("GET", "limits")
    assert reply.status_code == 401
    assert reply.json() == [
        {"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}
    ]
    assert log_in(world).call("GET", "limits").status_code == 200


def test_simple_salesforce_logs_in_again_by_itself(world: World) -> None:
    """The library takes the 401 for an expired session and repeats its query."""
    sf = simple_salesforce(world)
    world.salesforce.faults.kill_sessions()
    assert sf.query("SELECT COUNT() FROM Account")["totalSize"] > 0


def test_an_idle_session_expires_and_a_used_one_lives_on(world: World) -> None:
    """The time-out slides: it counts from the last call."""
    client = log_in(world)
    skew = world.salesforce.faults
    for minutes in (90, 180):
        skew.set(skew_seconds=minutes * 60)
        assert client.call("GET", "limits").status_code == 200
    skew.set(skew_seconds=(180 + 121) * 60)
    assert client.call("GET", "limits").status_code == 401


def test_an_inactive_user_is_out(world: World) -> None:
    """Deactivating the user ends the session and refuses the next login."""
    sf = simple_salesforce(world, username=API_USER, consumer_key=CONSUMER_KEY)
    world.salesforce.faults.set_user_active(API_USER, active=False)
    with pytest.raises((SalesforceExpiredSession, SalesforceAuthenticationFailed)):
        sf.query("SELECT Id FROM Account")
    reply = ask_token(world, {"grant_type": JWT_BEARER, "assertion": assertion(world)})
    assert reply.json()["error"] == "inactive_user"
