"""One HTTP exchange as plain data, the same for both services."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

from pd_sf_rules.masking import masked

# Statuses with which proxies and load balancers tell of passing trouble behind them.
_FRONT_TROUBLE = frozenset({406, 408, 420})
# Statuses that tell what to do next without their words.
_STATUS_SAYS_ALL = frozenset({401, 429})
# With these and a web page, a proxy or a firewall speaks, and perhaps only for now.
_OF_FRONTS = frozenset({400, 403, 404})
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_MAX_WORDS = 500
_MAX_TEXT = 20_000


class HttpResponse(Protocol):
    """What `requests` and `httpx2` responses have in common."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""

    @property
    def content(self) -> Any:
        """The body as bytes."""

    @property
    def text(self) -> str:
        """The body as text."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by name in any case."""

    def json(self) -> Any:
        """Return the parsed body; raises ValueError when it is not JSON."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP exchange: its status and parsed body, or `failure` when no answer came.

    `readable` is False when the body is not JSON; `body` is then its plain text.
    """

    status: int = 0
    body: Any = None
    readable: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: Exception | None = None

    @property
    def ok(self) -> bool:
        """Say whether the request was done and its answer is understood."""
        return 200 <= self.status < 300 and self.readable

    @property
    def trouble(self) -> bool:
        """Say whether the server or the way to it is in trouble, so that a read may be repeated."""
        strange = not self.readable and (200 <= self.status < 300 or self._is_foreign)
        front = self.status in _FRONT_TROUBLE
        return self.failure is not None or self.status >= 500 or strange or front

    @property
    def _is_foreign(self) -> bool:
        """Say whether a refusal is a web page or JSON that was cut: neither service says no like that.

        Something in front of it does, or the reason was lost: nothing is known of the record or the incident.
        """
        begun = str(self.body).lstrip()[:1]
        refused = 400 <= self.status < 500 and self.status not in _STATUS_SAYS_ALL
        return (begun in {"{", "["} and refused) or (begun == "<" and self.status in _OF_FRONTS)

    @property
    def settled_login(self) -> bool:
        """Say whether a token endpoint has spoken: a token, an OAuth refusal, or a limit.

        Anything else (a 401 without an OAuth error, say) comes from something in front of it.
        """
        told = self.body.get("error") if isinstance(self.body, Mapping) else None
        return not self.trouble and (self.ok or self.status == 429 or isinstance(told, str))


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, for error texts: the connection, the words, and whether it was a write.

    `of_target` says that the address names one record or incident, so that a 404 means it is gone.
    """

    conn_id: str
    doing: str
    write: bool
    of_target: bool = False


def answer_of(response: HttpResponse) -> Answer:
    """Return a response as an Answer: parsed where it is JSON, an empty body as None."""
    body: Any = None
    readable = True
    if response.content.strip():
        try:
            body = response.json()
        except ValueError:
            body, readable = response.text[:_MAX_TEXT], False
    return Answer(response.status_code, body, readable, response.headers)


def of_read(answer: Answer) -> Answer:
    """Return the answer to a read; one that was done and brings nothing, or mere words, is not understood."""
    if answer.ok and not isinstance(answer.body, Mapping | list):
        return replace(answer, body="nothing that can be read", readable=False)
    return answer


def moved_to(response: HttpResponse, method: str, base_url: str) -> str:
    """Return the path a server moved this request to on its own host, "" if it did not.

    Only statuses that keep the method count (servers that insist on a trailing slash, say). A
    move to another host is never followed: it would hand over our credentials.
    """
    kept = response.status_code in {307, 308} or (
        method == "GET" and response.status_code in {301, 302}
    )
    target = urlsplit(urljoin(f"{base_url}/", response.headers.get("Location", "")))
    here = urlsplit(base_url)
    if not kept or (target.scheme, target.netloc) != (here.scheme, here.netloc):
        return ""
    return target.path + (f"?{target.query}" if target.query else "")


def plain_words(text: str) -> str:
    """Return a server's text without tags, line breaks and secrets, cut to a readable length."""
    bare = masked(" ".join(_TAGS.sub(" ", text).split()))
    return bare if len(bare) <= _MAX_WORDS else bare[: _MAX_WORDS - 1] + "…"
