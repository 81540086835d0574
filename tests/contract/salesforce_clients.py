"""Clients pointed at the simulated org: simple-salesforce unchanged, and plain requests."""

import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import jwt
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce  # type: ignore[attr-defined]

from sandbox.salesforce.seed import API_USER
from sandbox.salesforce_side import CONSUMER_KEY
from sandbox.world import World

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
VERSION = "66.0"


class Loopback(HTTPAdapter):
    """Sends what is meant for any https host to one http address, as simple-salesforce needs."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._netloc = urlsplit(address).netloc

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """Send a request to the org instead of to its host."""
        parts = urlsplit(str(request.url))
        request.url = urlunsplit(("http", self._netloc, *parts[2:]))
        return super().send(request, *args, **kwargs)


class Rest(requests.Session):
    """A session below ``/services/data/v66.0`` of an org, logged in."""

    def __init__(self, address: str, token: str) -> None:
        super().__init__()
        self.trust_env = False
        self.address = address
        self.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a call; ``path`` is relative to the version, or begins with ``/services``."""
        base = "" if path.startswith("/services") else f"/services/data/v{VERSION}/"
        return self.request(method, f"{self.address}{base}{path}", timeout=30, **options)

    def query(self, text: str, **headers: str) -> Any:
        """Return the parsed answer to a query."""
        return self.call("GET", "query", params={"q": text}, headers=headers).json()


def assertion(world: World, **changes: Any) -> str:
    """Return a signed JWT as the JWT bearer flow wants it, with claims changed."""
    claims = {
        "iss": CONSUMER_KEY,
        "sub": API_USER,
        "aud": "https://login.salesforce.com",
        "exp": int(time.time()) + 180,
    }
    return jwt.encode({**claims, **changes}, world.key.private_key, algorithm="RS256")


def ask_token(world: World, form: dict[str, str], **options: Any) -> requests.Response:
    """Send a token request."""
    url = f"{world.salesforce_url}/services/oauth2/token"
    return requests.post(url, data=form, timeout=30, **options)


def log_in(world: World) -> Rest:
    """Return a logged-in plain client."""
    reply = ask_token(world, {"grant_type": JWT_BEARER, "assertion": assertion(world)})
    return Rest(world.salesforce_url, reply.json()["access_token"])


def simple_salesforce(world: World, **changes: Any) -> Any:
    """Return the real simple-salesforce, logged in by JWT (untyped: its own types do not fit)."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", Loopback(world.salesforce_url))
    arguments = {
        "username": API_USER,
        "consumer_key": CONSUMER_KEY,
        "privatekey": world.key.private_key,
        "version": VERSION,
        "session": session,
    }
    return Salesforce(**{**arguments, **changes})


def control(world: World, method: str, path: str, **body: Any) -> Any:
    """Send a call to the org's control surface and return its answer."""
    url = f"{world.salesforce_url}/__sandbox__/{path}"
    reply = requests.request(method, url, json=body, timeout=30)
    return reply.json()
