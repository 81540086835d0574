"""Proxies, netrc files, idle connections: what the network around us does to both clients."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import RetryableError
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from tests.contract.scripted import Reply, Scripted, scripted_server
from tests.contract.systems_clients import (
    DATA,
    PRIVATE_KEY,
    scripted_pagerduty,
    scripted_salesforce,
)

Client = SalesforceClient | PagerDutyClient
Maker = Callable[[Scripted], Client]
BOTH = pytest.mark.parametrize(
    ("make", "path"),
    [
        pytest.param(scripted_salesforce, f"{DATA}/things", id="salesforce"),
        pytest.param(scripted_pagerduty, "/things", id="pagerduty"),
    ],
)


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that answers what the test says."""
    with scripted_server() as script:
        yield script


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """A proxy that the environment asks everybody to use, and that refuses everything."""
    with scripted_server() as script:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, script.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield script


@BOTH
def test_loopback_is_never_asked_through_a_proxy(
    server: Scripted, proxy: Scripted, make: Maker, path: str
) -> None:
    """A proxy in the environment does not get what is meant for this machine."""
    server.on("GET", path, Reply(200, {"fine": True}))
    assert make(server).get("things") == {"fine": True}
    assert proxy.requests == []


@pytest.mark.parametrize(
    ("client", "host"),
    [
        pytest.param(
            lambda: SalesforceClient(
                ConnectionSpec(
                    "sf",
                    "salesforce",
                    "u@acme.example",
                    extra={"consumer_key": "K", "private_key": PRIVATE_KEY, "domain": "acme.my"},
                )
            ),
            "acme.my.salesforce.com:443",
            id="salesforce",
        ),
        pytest.param(
            lambda: PagerDutyClient(
                ConnectionSpec("pd", "pagerduty", password="k", extra={"region": "eu"})
            ),
            "api.eu.pagerduty.com:443",
            id="pagerduty",
        ),
    ],
)
def test_everybody_else_is(proxy: Scripted, client: Callable[[], Client], host: str) -> None:
    """The real hosts are reached through the proxy; one that refuses is retryable: nothing was sent."""
    with pytest.raises(RetryableError):
        client().get("things")
    assert {(one.method, one.path) for one in proxy.requests} == {("CONNECT", host)}


@BOTH
def test_a_netrc_file_never_replaces_our_credentials(
    server: Scripted, make: Maker, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matching netrc entry would turn our token into a password of somebody."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.on("GET", path, Reply(200, {}))
    make(server).get("things")
    scheme = server.requests[-1].headers["authorization"].partition(" ")[0]
    assert scheme in {"Bearer", "Token"}


@BOTH
def test_a_connection_that_the_server_left_is_not_written_to(
    server: Scripted, make: Maker, path: str
) -> None:
    """Servers close idle connections: the next write takes a new one and is in no doubt."""
    server.on("POST", path, Reply(200, {"number": 1}, hang_up=True), Reply(200, {"number": 2}))
    client: Any = make(server)
    assert client.post("things", {}) == {"number": 1}
    assert server.hung_up.wait(10)
    assert client.post("things", {}) == {"number": 2}
    assert len(server.sent("POST", path)) == 2


@BOTH
def test_cookies_are_not_kept(server: Scripted, make: Maker, path: str) -> None:
    """A server's cookie is not sent back: nothing but our own credentials says who we are."""
    server.on("GET", path, Reply(200, {}, {"Set-Cookie": "sid=1; Path=/"}))
    client = make(server)
    client.get("things")
    client.get("things")
    assert "cookie" not in server.requests[-1].headers
