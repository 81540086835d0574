"""The one way to Salesforce: reads are repeated in passing trouble, writes are sent once."""

import json
import logging
import threading
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import RateLimitedError, RefusedError, RetryableError, SkippableError
from pd_sf_rules.model import ApiUsage
from pd_sf_rules.systems.answers import Answer, Asked, answer_of, moved_to, of_read
from pd_sf_rules.systems.salesforce.refusals import error_of
from pd_sf_rules.systems.waiting import settled

if TYPE_CHECKING:
    from pd_sf_rules.systems.salesforce.login import Grant
    from pd_sf_rules.systems.salesforce.transport import DirectSalesforce, HardenedSession

DEFAULT_VERSION = "66.0"
# A 401 with these words is no expiry: logging in again would change nothing.
_NO_EXPIRY = ("not attached to Agent", "not valid for use with the REST API")
_ENDED = "INVALID_SESSION_ID"
_log = logging.getLogger(__name__)


class SalesforceClient:
    """One org, one user. May be used from several threads; logs in at the first call.

    `timeout` are seconds per answer; `patience` the seconds that one read may wait in all when the
    server asks for a pause; `call_limit` bounds the calls of this client's life, None for no bound.
    Every method raises classes of `pd_sf_rules.errors` only.
    """

    def __init__(
        self,
        spec: ConnectionSpec,
        *,
        timeout: float = 30.0,
        patience: float = 15.0,
        call_limit: int | None = None,
    ) -> None:
        self.conn_id = spec.conn_id
        self.version = spec.text("version", DEFAULT_VERSION).removeprefix("v")
        self._spec = spec
        self._timeout = timeout
        self._patience = patience
        self._call_limit = call_limit
        self._lock = threading.RLock()
        self._session: HardenedSession | None = None
        self._direct: DirectSalesforce | None = None
        self._grant: Grant | None = None
        self._user_id: str | None = None

    def __repr__(self) -> str:
        return f"SalesforceClient({self.conn_id!r})"

    def get(self, path: str, params: Mapping[str, Any] | None = None, *, doing: str = "") -> Any:
        """GET `path` (below `/services/data/vNN.N/`, or from the root with a leading slash).

        `doing` names the request in error texts. Returns the parsed body, None for an empty one.
        """
        return self._call("GET", path, doing, params=params)

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        doing: str = "",
        reads: bool = False,
    ) -> Any:
        """POST `body` as JSON, once; `reads` says that it changes nothing, so that it may be repeated."""
        return self._call("POST", path, doing, body=body, headers=headers, reads=reads)

    def patch(
        self,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        doing: str = "",
    ) -> Any:
        """PATCH with `body` as JSON, once. Returns the parsed body, None for an empty one."""
        return self._call("PATCH", path, doing, body=body, headers=headers)

    def query(self, soql: str, *, doing: str = "") -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of a query, following `nextRecordsUrl` to the end."""
        doing = doing or "a query"
        body = self.get("query/", {"q": soql}, doing=doing)
        seen: set[str] = set()
        while isinstance(body, dict) and isinstance(body.get("records"), list):
            yield [row for row in body.pop("records") if isinstance(row, dict)]
            following = body.get("nextRecordsUrl")
            if body.get("done") is False and (not following or following in seen):
                raise RetryableError(f"Salesforce's answer to {doing} breaks off in the middle.")
            if not following or following in seen or body.get("done") is True:
                return
            seen.add(following)
            body = self.get(_path_of(following), doing=doing)
        raise RetryableError(f"Salesforce's answer to {doing} is not a query result.")

    def server_now(self) -> datetime:
        """Return the server's UTC time by its own `Date` headers; logs in if nothing was asked yet."""
        with self._lock:
            self._ready()
            session = self._session
        assert session is not None
        return session.clock.now()

    def usage(self) -> ApiUsage:
        """Return the calls made by this client and the org's own daily figures where known."""
        return self._session.usage() if self._session else ApiUsage(calls=0)

    @property
    def instance_url(self) -> str:
        """The org's own address, as the login told it."""
        return self._ready()[1].instance_url

    @property
    def address(self) -> str:
        """The org's own address as `instance_url`, "" while nobody has logged in: it never does."""
        return self._grant.instance_url if self._grant else ""

    @property
    def user_id(self) -> str:
        """The id of the user we act as, "" where the server does not tell."""
        told = self._ready()[1].user_id or self._user_id
        if told is None:
            told = self._user_id = self._ask_user_id()
        return told

    def record_url(self, object_name: str, record_id: str) -> str:  # noqa: ARG002 - the same shape for every object
        """Return the address of a record for people; Salesforce leads it to the right page."""
        return f"{self.instance_url}/{record_id}"

    def check(self) -> str:
        """Log in, ask one cheap question and return one sentence about it."""
        _, grant = self._ready()
        host = urlsplit(grant.instance_url).netloc
        try:
            self.get("limits", doing="the limits")
        except (RefusedError, SkippableError) as refusal:
            # Reading limits is a permission of its own; the login is what counts here.
            _log.debug("limits are not readable: %s", refusal)
        usage = self.usage()
        quota = f", {usage.used} of {usage.allowed} calls used" if usage.allowed else ""
        who = self._spec.login or grant.user_id or "the integration user"
        return f"Salesforce at {host} answers {who} (API {self.version}{quota})."

    def direct(self) -> "DirectSalesforce":
        """Return the simple-salesforce client that this one sends through, logged in."""
        return self._ready()[0]

    def close(self) -> None:
        """Close the connections; the client may be used again."""
        with self._lock:
            if self._session is not None:
                self._session.close()

    def _call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        reads: bool = False,
    ) -> Any:
        write = method != "GET" and not reads
        parts = path.strip("/").split("/")
        of_target = parts[0] == "sobjects" and len(parts) == 3 and parts[2] != "describe"
        asked = Asked(self.conn_id, doing or f"{method} {path.partition('?')[0]}", write, of_target)
        request: dict[str, Any] = {"params": params, "json": body, "headers": dict(headers or {})}
        answer = settled(
            lambda: self._ask(method, path, request),
            lambda failed: error_of(self._without_secrets(failed), asked),
            write=write,
            patience=self._patience,
        )
        return answer.body

    def _ask(self, method: str, path: str, request: Mapping[str, Any]) -> Answer:
        """Send once; where the session has expired log in and send once more."""
        direct, _ = self._ready()
        answer = self._send(direct, method, path, request)
        ended = answer.status == 401 or (answer.status == 403 and _ENDED in str(answer.body))
        if ended and not any(words in str(answer.body) for words in _NO_EXPIRY):
            direct = self._renewed(direct)
            answer = self._send(direct, method, path, request)
        return of_read(answer) if method == "GET" else answer

    def _send(
        self, direct: "DirectSalesforce", method: str, path: str, request: Mapping[str, Any]
    ) -> Answer:
        if self._call_limit is not None and self.usage().calls >= self._call_limit:
            raise RateLimitedError(
                f"This run may make {self._call_limit} Salesforce calls, and has.", retry_after=60.0
            )
        try:
            response = direct.send(method, path, **request)
            moved = moved_to(response, method, direct.instance_url)
            if moved:
                response = direct.send(method, moved, **{**request, "params": None})
            return answer_of(response)
        except requests.RequestException as error:
            return Answer(failure=error)

    def _ready(self) -> "tuple[DirectSalesforce, Grant]":
        with self._lock:
            if self._direct is None or self._grant is None:
                self._log_in()
            assert self._direct is not None
            assert self._grant is not None
            return self._direct, self._grant

    def _renewed(self, used: "DirectSalesforce") -> "DirectSalesforce":
        """Log in again, unless another thread did since `used` was handed out."""
        with self._lock:
            if self._direct is used:
                self._log_in()
            assert self._direct is not None
            return self._direct

    def _log_in(self) -> None:
        # simple-salesforce takes most of a second to import, which the pure side must not pay.
        from pd_sf_rules.systems.salesforce.login import log_in  # noqa: PLC0415
        from pd_sf_rules.systems.salesforce.transport import (  # noqa: PLC0415
            DirectSalesforce,
            HardenedSession,
        )

        if self._session is None:
            self._session = HardenedSession(self._timeout)
            weakref.finalize(self, self._session.close)  # a dropped client leaves no socket
            proxies = self._spec.extra.get("proxies")
            if isinstance(proxies, Mapping):
                self._session.proxies.update(proxies)
        grant = log_in(self._spec, self._session, self.version)
        self._direct = DirectSalesforce(
            self._session, grant.instance_url, grant.token, self.version
        )
        self._grant = grant

    def _ask_user_id(self) -> str:
        try:
            body = self.get("/services/oauth2/userinfo", doing="the user's identity")
        except (RefusedError, SkippableError) as refusal:
            _log.debug("the user's identity is not told: %s", refusal)
            return ""
        return str(body.get("user_id") or "") if isinstance(body, Mapping) else ""

    def _without_secrets(self, answer: Answer) -> Answer:
        token = self._grant.token if self._grant else ""
        text = json.dumps(answer.body)
        if not token or token not in text:
            return answer
        return replace(answer, body=json.loads(text.replace(token, "***")))


def _path_of(url: str) -> str:
    """Return the path of a next page, which some servers give as a whole address."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return path if path.startswith("/") else f"/{path}"
