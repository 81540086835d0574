"""How the servers speak where their contracts leave it open: headers, stamps, pages and the shapes of errors.

Nothing here is a fault. A client that only knows one way of speaking fails with the next server, or the next release.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, urlencode

DATES = ("own", "machine", "none")
STAMPS = ("own", "zulu", "millis", "compact", "west")
ERRORS = ("own", "bare", "list", "envelope")
_STAMP = re.compile(r'"(\d{4}-\d\d-\d\dT)(\d\d)(:\d\d:\d\d)(?:\.\d+)?(?:Z|[+-]00:?00)"')
_LIMITS = frozenset({b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset"})
Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True, kw_only=True)
class Habits:
    """The defaults are the vendors' own ways.

    `date`: the Date header tells the system's own clock, this machine's (whatever the system's stamps say), or is
    missing. `limits`: whether rate limits and API usage are told in headers. `stamps`: how instants are printed
    (`west` is five hours behind UTC). `errors`: the shape of a refusal. `more`, `total`: whether lists of PagerDuty
    tell that they go on, and queries of Salesforce how long they are. `page`: most rows of a page of PagerDuty.
    `included`: whether log entries bring their incident when asked to.
    """

    date: str = "own"
    limits: bool = True
    stamps: str = "own"
    errors: str = "own"
    more: bool = True
    total: bool = True
    page: int = 100
    included: bool = True

    def set(self, wanted: Mapping[str, Any]) -> None:
        """Take over what is named. Raises ValueError for an unknown name or word."""
        known = {one.name for one in fields(self)}
        unknown = sorted(set(wanted) - known)
        if unknown:
            told = ", ".join(sorted(known))
            raise ValueError(f"unknown habits {', '.join(unknown)}; known: {told}")
        words = {"date": DATES, "stamps": STAMPS, "errors": ERRORS}
        for name, value in wanted.items():
            if name in words and value not in words[name]:
                raise ValueError(f"{name} must be one of {', '.join(words[name])}, not {value!r}")
            setattr(self, name, value)

    def reset(self) -> None:
        """Speak as the vendors do."""
        self.set(asdict(Habits()))

    def asked(self, query: bytes) -> bytes:
        """Return a query string with no more rows a page than the habit allows."""
        if self.page >= Habits().page or b"limit=" not in query:
            return query
        pairs = parse_qsl(query.decode(), keep_blank_values=True)
        limited = [(k, str(min(int(v), self.page)) if k == "limit" else v) for k, v in pairs]
        return urlencode(limited).encode()

    def headers(self, headers: Headers) -> Headers:
        """Return headers as this server sends them."""
        dropped = set() if self.date == "own" else {b"date"}
        if not self.limits:
            dropped |= {*_LIMITS, b"sforce-limit-info"}
        kept = [(k, v) for k, v in headers if k.lower() not in dropped]
        if self.date == "machine":
            kept.append((b"date", formatdate(time.time(), usegmt=True).encode()))
        return kept

    def body(self, status: int, raw: bytes) -> bytes:
        """Return a JSON body as this server writes it; anything else as it is."""
        if self == Habits() or raw[:1] not in {b"{", b"["}:
            return raw
        try:
            told = json.loads(raw)
        except ValueError:
            return raw
        told = self._refusal(told) if status >= 400 else self._answer(told)
        return self._stamped(json.dumps(told)).encode()

    def _refusal(self, told: Any) -> Any:
        """Return a refusal in the shape of the habit: its words and code stay."""
        if self.errors == "own" or (isinstance(told, dict) and isinstance(told.get("error"), str)):
            return told
        first = told[0] if isinstance(told, list) and told else told
        inner = first.get("error", first) if isinstance(first, dict) else {}
        words = [inner.get("message"), *(inner.get("errors") or [])]
        bare = {"message": ": ".join(str(one) for one in words if one)}
        bare |= {name: inner[name] for name in ("errorCode", "code", "fields") if name in inner}
        return {"bare": bare, "list": [bare], "envelope": {"error": bare}}[self.errors]

    def _answer(self, told: Any) -> Any:
        if not isinstance(told, dict):
            return told
        if not self.more:
            told = {k: v for k, v in told.items() if k not in {"more", "total"}}
        if not self.total:
            told = {k: v for k, v in told.items() if k != "totalSize"}
        if not self.included and isinstance(told.get("log_entries"), list):
            told = told | {"log_entries": [_referring(one) for one in told["log_entries"]]}
        return told

    def _stamped(self, text: str) -> str:
        if self.stamps == "own":
            return text
        if self.stamps == "west":
            return _STAMP.sub(_west, text)
        ends = {"zulu": "Z", "millis": ".000Z", "compact": "+0000"}
        return _STAMP.sub(rf'"\1\2\3{ends[self.stamps]}"', text)


def _referring(entry: Any) -> Any:
    incident = entry.get("incident") if isinstance(entry, dict) else None
    if not isinstance(incident, dict):
        return entry
    return entry | {"incident": {"id": incident.get("id"), "type": "incident_reference"}}


def _west(found: re.Match[str]) -> str:
    """Return an instant five hours west; one before five in the morning keeps its own way, for brevity."""
    day, hour, rest = found[1], int(found[2]), found[3]
    return f'"{day}{hour - 5:02d}{rest}-05:00"' if hour >= 5 else f'"{day}{hour:02d}{rest}Z"'
