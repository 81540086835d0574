"""simple-salesforce on a session of ours: time-outs, counting, the server's clock, loopback http.

simple-salesforce sets no time-outs, insists on https and logs in again by itself. Here it always gets
a token (so it never logs in), and the session below does the rest.
"""

import os
import re
import threading
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError

from pd_sf_rules.connections import LOOPBACK_HOSTS
from pd_sf_rules.model import ApiUsage
from pd_sf_rules.systems.clock import ServerClock

# "api-usage=18/5000; per-app-api-usage=17/250(appName=x)": only the org's own figure.
_LIMIT_INFO = re.compile(r"(?<![\w-])api-usage=(\d+)/(\d+)")
CONNECT_TIMEOUT = 10.0


class HardenedSession(requests.Session):
    """A session that never waits for ever, never follows redirects and counts what it sends.

    `timeout` are the seconds to wait for an answer. Environment proxies and netrc files are not
    used for loopback, and a netrc file never replaces our token.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self.trust_env = False
        self.clock = ServerClock()
        self._timeout = (min(CONNECT_TIMEOUT, timeout), timeout)
        self._lock = threading.Lock()
        self._calls = 0
        self._limit: tuple[int, int] | None = None
        self._local = threading.local()
        self._instance_url = ""
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.mount("https://", HTTPAdapter(pool_maxsize=8))
        self.mount("http://", HTTPAdapter(pool_maxsize=8))

    def serve(self, instance_url: str) -> None:
        """Send what simple-salesforce addresses to the host of `instance_url` to that very URL."""
        self._instance_url = instance_url.rstrip("/")

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> Any:
        """Send one request, once; see `requests.Session.request`."""
        target = self._actual(url.decode() if isinstance(url, bytes) else url)
        kwargs.setdefault("timeout", self._timeout)
        kwargs["allow_redirects"] = False
        if urlsplit(target).hostname not in LOOPBACK_HOSTS:
            self._add_environment(target, kwargs)
        self._local.response = None
        if not target.endswith("/services/oauth2/token"):  # logins are no API calls
            with self._lock:
                self._calls += 1
        response = super().request(method, target, *args, **kwargs)
        self._local.response = response
        self._note(response)
        return response

    def last_response(self) -> requests.Response | None:
        """Return the answer to this thread's last request, None where none came."""
        response: requests.Response | None = getattr(self._local, "response", None)
        return response

    def usage(self) -> ApiUsage:
        """Return the calls made, and the org's own daily figures where it has sent them."""
        used, allowed = self._limit or (None, None)
        return ApiUsage(calls=self._calls, used=used, allowed=allowed)

    def _note(self, response: requests.Response) -> None:
        self.clock.observe(response.headers.get("Date"))
        found = _LIMIT_INFO.search(response.headers.get("Sforce-Limit-Info", ""))
        if found:
            self._limit = (int(found[1]), int(found[2]))

    def _actual(self, url: str) -> str:
        """Give back to `https://host/path` the scheme and path that simple-salesforce dropped."""
        secure = f"https://{urlsplit(self._instance_url).netloc}"
        if not self._instance_url or not url.startswith(secure + "/"):
            return url
        rest = url.removeprefix(secure)
        folder = urlsplit(self._instance_url).path
        if folder and rest.startswith(folder + "/"):
            rest = rest.removeprefix(folder)
        return self._instance_url + rest

    def _add_environment(self, url: str, kwargs: dict[str, Any]) -> None:
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        if bundle and kwargs.get("verify") is None:
            kwargs["verify"] = bundle
        if not self.proxies and not kwargs.get("proxies"):
            kwargs["proxies"] = get_environ_proxies(url)


class DirectSalesforce(Salesforce):
    """simple-salesforce with a token of ours: it holds no login of its own, so it cannot loop."""

    def __init__(
        self, session: HardenedSession, instance_url: str, token: str, version: str
    ) -> None:
        super().__init__(
            session_id=token,
            instance=urlsplit(instance_url).netloc,
            session=session,
            version=version,
        )
        self.instance_url = instance_url
        self.headers.pop("X-PrettyPrint", None)
        self._hardened = session
        session.serve(instance_url)

    def send(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """Send one request and return its answer whatever its status.

        `path` is relative to the versioned data API, or starts with a slash for the whole instance.
        Raises requests.RequestException when no answer came.
        """
        url = f"https://{self.sf_instance}{path}" if path.startswith("/") else self.base_url + path
        try:
            return self._call_salesforce(method, url, name=path, **kwargs)
        except SalesforceError:
            response = self._hardened.last_response()
            if response is None:
                raise
            return response
