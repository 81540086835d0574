"""The one way to PagerDuty: reads wait and repeat within bounds, writes are sent once."""

import logging
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from json import dumps, loads
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
import pagerduty

from pd_sf_rules.connections import ConnectionSpec, checked_url
from pd_sf_rules.errors import ConnectionConfigError, RefusedError, RetryableError
from pd_sf_rules.model import ApiUsage
from pd_sf_rules.systems.answers import Answer, Asked, answer_of, moved_to, of_read
from pd_sf_rules.systems.pagerduty.allowance import Allowance, operation_of
from pd_sf_rules.systems.pagerduty.refusals import error_of
from pd_sf_rules.systems.pagerduty.token import Token, fetch_token, uses_oauth
from pd_sf_rules.systems.pagerduty.transport import PagerDutySession
from pd_sf_rules.systems.waiting import READ_ATTEMPTS, settled

_HOSTS = {"us": "https://api.pagerduty.com", "eu": "https://api.eu.pagerduty.com"}
PAGE_LIMIT = 100
CLASSIC_CAP = 10_000  # offset + limit must not pass it (vendor's "Pagination" page)
PAGING_CAP = "paging_cap"
_USED_UP = {"message": "The allowance of this minute is used up.", "code": 2020}
_log = logging.getLogger(__name__)


class PagerDutyClient:
    """One account, one acting user. May be used from several threads.

    `timeout` are seconds per answer; `patience` the seconds that one read may wait in all when the
    server asks for a pause. Every method raises classes of `pd_sf_rules.errors` only.
    """

    def __init__(
        self, spec: ConnectionSpec, *, timeout: float = 30.0, patience: float = 15.0
    ) -> None:
        self.conn_id = spec.conn_id
        self.from_email = spec.text("from_email") or (spec.login if "@" in spec.login else "")
        self._spec = spec
        self._timeout = timeout
        self._patience = patience
        self._lock = threading.RLock()
        self._allowance = Allowance()
        self._token: Token | None = None
        self._user_id: str | None = None
        self._base_url = checked_url(spec, "base_url", _region_url(spec))
        if not spec.password and not uses_oauth(spec):
            hint = "Put the REST API key into the password field."
            raise ConnectionConfigError(spec.conn_id, "is missing.", field="password", hint=hint)
        oauth = uses_oauth(spec)
        self._session = PagerDutySession(
            spec.password or "not-asked-for-yet",
            auth_type="bearer" if oauth else "token",
            base_url=self._base_url,
            from_email=self.from_email,
            timeout=timeout,
        )
        weakref.finalize(self, self._session.close)  # a client that is dropped leaves no socket

    def __repr__(self) -> str:
        return f"PagerDutyClient({self.conn_id!r})"

    def get(self, path: str, params: Mapping[str, Any] | None = None, *, doing: str = "") -> Any:
        """GET `path` ("incidents/Q1"); list values become repeated `name[]` parameters.

        `doing` names the request in error texts. Returns the parsed body, None for an empty one.
        """
        return self._call("GET", path, doing, params=params)

    def post(self, path: str, body: Any = None, *, doing: str = "") -> Any:
        """POST `body` as JSON, once. Returns the parsed body, None for an empty one."""
        return self._call("POST", path, doing, body=body)

    def put(self, path: str, body: Any = None, *, doing: str = "") -> Any:
        """PUT `body` as JSON, once. Returns the parsed body, None for an empty one."""
        return self._call("PUT", path, doing, body=body)

    def delete(self, path: str, *, doing: str = "") -> None:
        """DELETE `path`, once."""
        self._call("DELETE", path, doing)

    def pages(
        self, path: str, name: str, params: Mapping[str, Any] | None = None, *, doing: str = ""
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of the list `name` until it ends.

        A list without `more` ends with a page that brings nothing new. A page may be shorter than asked for, and the
        next one begins behind what came; an empty one that promises more is asked for again before it is passed over.
        Raises RefusedError with code PAGING_CAP where the list goes on after the 10,000 rows that paging reaches.
        """
        offset = 0
        seen: set[str] = set()
        while offset + PAGE_LIMIT <= CLASSIC_CAP:
            query = {**(params or {}), "limit": PAGE_LIMIT, "offset": offset}
            rows, more = self._page(path, name, query, doing or path)
            fresh = [row for row in rows if str(row.get("id")) not in seen]
            yield rows if more is not None else fresh
            if not (fresh if more is None else more):
                return
            seen |= {str(row.get("id")) for row in fresh}
            offset += len(rows) or PAGE_LIMIT
        message = f"PagerDuty lists more than {CLASSIC_CAP} rows for {doing or path}."
        raise RefusedError(message, code=PAGING_CAP)

    def _page(
        self, path: str, name: str, query: Mapping[str, Any], doing: str
    ) -> tuple[list[dict[str, Any]], bool | None]:
        """Return the rows of one page, and whether more follow (None: not told)."""
        rows: list[dict[str, Any]] = []
        more: bool | None = None
        for _ in range(READ_ATTEMPTS):
            body = self.get(path, query, doing=doing)
            told = body.get(name) if isinstance(body, Mapping) else None
            if not isinstance(told, list):
                raise RetryableError(f"PagerDuty's answer to {doing} has no '{name}'.")
            rows = [row for row in told if isinstance(row, dict)]
            more = None if body.get("more") is None else bool(body["more"])
            if rows or not more:
                break
        return rows, more

    @property
    def address(self) -> str:
        """The URL of the API that this client calls."""
        return self._base_url

    def server_now(self) -> datetime:
        """Return the server's UTC time by its own `Date` headers; asks once if nothing was asked yet.

        The question is who we are, which most passes have to ask anyway.
        """
        if not self._session.clock.asked:
            answer = self._ask_first()
            if answer.failure is not None:
                raise error_of(answer, Asked(self.conn_id, "the time", write=False))
        return self._session.clock.now()

    def usage(self) -> ApiUsage:
        """Return the calls made by this client and the nearest limit's figures where known."""
        return self._session.usage()

    def user_id(self) -> str:
        """Return the id of the `From` user, looked up once; "" where PagerDuty tells none."""
        if self._user_id is None:
            try:
                self._user_id = self._ask_user_id() if self.from_email else ""
            except RefusedError as refusal:
                _log.warning("the user of connection '%s' is unknown: %s", self.conn_id, refusal)
                self._user_id = ""
        return self._user_id

    def check(self) -> str:
        """Ask one cheap question, find the acting user, and return one sentence about it.

        Raises ConnectionConfigError when the key is refused or no user has the `from_email`.
        """
        self.get("log_entries", {"limit": 1}, doing="the newest log entry")
        host = urlsplit(self._base_url).netloc
        if not self.from_email:
            return f"PagerDuty at {host} answers; no from_email is set, so a user's key is needed."
        try:
            known = self._ask_user_id()
        except RefusedError as refusal:
            return f"PagerDuty at {host} answers; users cannot be read ({refusal})."
        if not known:
            raise ConnectionConfigError(
                self.conn_id,
                f"no PagerDuty user has the address {self.from_email}.",
                field="from_email",
                hint="Give the e-mail address of an active user.",
            )
        return f"PagerDuty at {host} answers; writes are made as {self.from_email}."

    def session(self) -> PagerDutySession:
        """Return the official client that this one sends through, logged in; it keeps this client open."""
        if uses_oauth(self._spec):
            self._ready(None)
        self._session.opened_by = self
        return self._session

    def close(self) -> None:
        """Close the connections for good."""
        self._session.close()

    def _call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> Any:
        write = method != "GET"
        asked = Asked(self.conn_id, doing or f"{method} {path}", write, _names_incident(path))
        request: dict[str, Any] = {"params": dict(params)} if params else {}
        if body is not None:
            request["json"] = body
        answer = settled(
            lambda: self._ask(method, path, request),
            lambda failed: error_of(self._without_secrets(failed), asked),
            write=write,
            patience=self._patience,
        )
        return answer.body

    def _ask(self, method: str, path: str, request: Mapping[str, Any]) -> Answer:
        """Send once; after a 401, which did nothing, send once more, an app with a fresh token."""
        token = self._ready(None) if uses_oauth(self._spec) else None
        answer = self._send(method, path, request)
        if answer.status == 401:
            if token is not None:
                self._ready(token)
            answer = self._send(method, path, request)
        return of_read(answer) if method == "GET" else answer

    def _ready(self, refused: Token | None) -> Token:
        """Return a live token: a fresh one if there is none, it is old, or it is the refused one."""
        with self._lock:
            token = self._token
            if token is None or token is refused or time.monotonic() > token.good_until:
                token = self._token = fetch_token(self._spec, self._timeout)
                self._session.use_token(token.secret)
            return token

    def _send(self, method: str, path: str, request: Mapping[str, Any]) -> Answer:
        """Send once, when the allowance has room for it; what PagerDuty would refuse is answered here, as it would."""
        operation = operation_of(method, path)
        wait = self._allowance.enter(operation)
        if wait > 0:
            return Answer(429, {"error": _USED_UP}, headers={"ratelimit-reset": f"{wait:.3f}"})
        answer: Answer | None = None
        try:
            answer = self._exchange(method, path, request)
        finally:
            headers = answer.headers if answer else None
            refused = answer is not None and answer.status == 429
            self._allowance.leave(operation, headers, refused=refused)
        return answer

    def _exchange(self, method: str, path: str, request: Mapping[str, Any]) -> Answer:
        try:
            response = self._session.request(method, path, **request)
            moved = urljoin(self._base_url, moved_to(response, method, self._base_url))
            if moved.startswith(f"{self._base_url}/"):
                again = {name: value for name, value in request.items() if name != "params"}
                response = self._session.request(method, moved, **again)
            return answer_of(response)
        except pagerduty.Error as error:
            cause = error.__cause__
            return Answer(failure=cause if isinstance(cause, Exception) else error)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return Answer(failure=error)

    def _ask_first(self) -> Answer:
        if not self.from_email:
            return self._ask("GET", "log_entries", {"params": {"limit": 1}})
        query = {"query": self.from_email, "limit": PAGE_LIMIT, "offset": 0}
        answer = self._ask("GET", "users", {"params": query})
        told = answer.body.get("users") if answer.ok and isinstance(answer.body, Mapping) else None
        if isinstance(told, list):
            self._user_id = self._user_id or self._mine(told) or None
        return answer

    def _ask_user_id(self) -> str:
        pages = self.pages("users", "users", {"query": self.from_email}, doing="the users")
        return next((found for page in pages if (found := self._mine(page))), "")

    def _mine(self, users: Iterable[Any]) -> str:
        """Return the id of the user with our address, "" where none of these has it."""
        wanted = self.from_email.lower()
        for user in users:
            if isinstance(user, Mapping) and str(user.get("email") or "").lower() == wanted:
                return str(user.get("id") or "")
        return ""

    def _without_secrets(self, answer: Answer) -> Answer:
        secrets = [one for one in (self._spec.password, self._token and self._token.secret) if one]
        text = dumps(answer.body)
        if not any(one in text for one in secrets):
            return answer
        for one in secrets:
            text = text.replace(one, "***")
        return replace(answer, body=loads(text))


def _region_url(spec: ConnectionSpec) -> str:
    return _HOSTS.get(spec.text("region", "us").lower(), _HOSTS["us"])


def _names_incident(path: str) -> bool:
    parts = path.strip("/").split("/")
    return len(parts) >= 2 and parts[0] == "incidents" and parts[1] not in {"count", "types"}
