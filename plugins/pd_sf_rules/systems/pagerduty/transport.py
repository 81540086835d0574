"""The official `pagerduty` client without its traps.

By itself it takes https only, repeats a 429 for ever without reading `ratelimit-reset`, and sends a
POST again after a read time-out. Here nothing is ever repeated below `client.py`.
"""

import ssl
import threading
import time
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx2
from pagerduty import RestApiV2Client

from pd_sf_rules.connections import LOOPBACK_HOSTS
from pd_sf_rules.model import ApiUsage
from pd_sf_rules.systems.clock import ServerClock
from pd_sf_rules.systems.waiting import seconds_asked

CONNECT_TIMEOUT = 10.0


class ReceivedError(Exception):
    """Carries an answer past the client's own treatment of its status (401, 429, redirects)."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response


class PagerDutySession(RestApiV2Client):
    """One REST session. `timeout` are the seconds to wait for an answer.

    `base_url` may be plain http on loopback. The environment's proxies are not used for loopback.
    `From` goes with every request once `from_email` is given.
    """

    max_network_attempts = 0
    opened_by: object = None
    """Whoever closes the session when it is dropped itself."""

    def __init__(
        self, token: str, *, auth_type: str, base_url: str, from_email: str, timeout: float
    ) -> None:
        self.clock = ServerClock()
        self._calls_lock = threading.Lock()
        self._calls = 0
        self._limit: tuple[int, int] | None = None
        self._limit_ends = 0.0
        loopback = urlsplit(base_url).hostname in LOOPBACK_HOSTS
        super().__init__(
            token,
            default_from=from_email or None,
            auth_type=auth_type,
            base_url=base_url,
            trust_env=not loopback,
            verify=_authorities(base_url),
        )
        # The client annotates seconds; it hands the value to httpx2 as it is.
        self.timeout: Any = httpx2.Timeout(timeout, connect=min(CONNECT_TIMEOUT, timeout))

    @property
    def url(self) -> str:
        """The base URL: https anywhere, http on loopback (checked where the connection is read)."""
        return str(self._url)

    @url.setter
    def url(self, new_base_url: str) -> None:
        self._url = new_base_url

    def use_token(self, token: str) -> None:
        """Take a fresh OAuth token from the next request on."""
        self.auth_method = self._build_auth_method(token)

    def request(self, method: str, url: httpx2.URL | str, **kwargs: Any) -> httpx2.Response:
        """Send one request, once, and return its answer whatever its status.

        Raises pagerduty.Error (with the httpx2 error as its cause) when no answer came.
        """
        with self._calls_lock:
            self._calls += 1
        try:
            return super().request(method, str(url), **kwargs)
        except ReceivedError as received:
            return received.response

    def postprocess(self, response: httpx2.Response, suffix: str | None = None) -> None:  # noqa: ARG002 - the client's own signature
        """Note clock and limits, and take away from the client what it would treat wrongly."""
        self.clock.observe(response.headers.get("Date"))
        self._note_limit(response)
        self.cookies.clear()
        if response.status_code in {401, 429} or 300 <= response.status_code < 400:
            raise ReceivedError(response)

    def usage(self) -> ApiUsage:
        """Return the calls made, and the figures of the nearest limit where the server sent them."""
        used, allowed = self._limit or (None, None)
        return ApiUsage(calls=self._calls, used=used, allowed=allowed)

    def seconds_to_reset(self) -> float:
        """Return in how many seconds the limit that `usage` tells of begins anew; 0 where that is past or unknown."""
        return max(self._limit_ends - time.monotonic(), 0.0)

    def _note_limit(self, response: httpx2.Response) -> None:
        try:
            allowed = int(response.headers["ratelimit-limit"])
            left = int(response.headers["ratelimit-remaining"])
        except (KeyError, ValueError):
            return
        self._limit = (max(allowed - left, 0), allowed)
        if "ratelimit-reset" in response.headers:
            resets_in = seconds_asked(response.headers, ("ratelimit-reset",))
            self._limit_ends = time.monotonic() + resets_in


def _authorities(base_url: str) -> ssl.SSLContext:
    """Return the authorities to trust; plain http (loopback only) needs none, and would trust none."""
    if urlsplit(base_url).scheme == "http":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _known_authorities()


@cache
def _known_authorities() -> ssl.SSLContext:
    """Read the authorities once a process: it takes longer than a whole request."""
    return httpx2.create_ssl_context()
