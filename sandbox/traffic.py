"""Every request the two simulated systems received, so that tests can count calls and writes."""

import json
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

KEPT = 20_000
KEPT_BYTES = 64 * 1024 * 1024  # of request bodies; older exchanges are forgotten beyond it
SECRET_PATHS = ("/oauth/token", "/oauth2/token")
READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what became of it.

    `at` is epoch seconds when it arrived, `seconds` how long the work took, `status` None when no
    answer was sent, `fault` the kind that hit it, `took_effect` whether the system itself saw it.
    Credentials are never kept.
    """

    number: int
    at: float
    seconds: float
    system: str
    method: str
    path: str
    query: str
    sender: str | None
    body: Any
    status: int | None
    fault: str | None
    took_effect: bool
    writes: bool

    def to_json(self) -> dict[str, Any]:
        """The members as a JSON object."""
        return asdict(self)


def readable(path: str, raw: bytes) -> Any:
    """A request body for the log: JSON decoded where it is, nothing of a token request."""
    if not raw or path.endswith(SECRET_PATHS):
        return None
    text = raw.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text[:10_000]


def is_write(method: str, path: str, body: Any) -> bool:
    """Whether a call means to change data: no log-in, and no composite made of reads alone."""
    if method in READ_METHODS or path.endswith(SECRET_PATHS):
        return False
    if isinstance(body, dict):
        for name in ("compositeRequest", "batchRequests"):
            parts = body.get(name)
            if isinstance(parts, list):
                return any(str(part.get("method", "")).upper() != "GET" for part in parts)
        if "graphs" in body:
            return any(is_write("POST", path, graph) for graph in body["graphs"])
    return True


class Traffic:
    """The last requests of both systems, in the order they arrived; thread-safe."""

    def __init__(self) -> None:
        self._exchanges: deque[Exchange] = deque()
        self._lock = threading.Lock()
        self._number = 0
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._totals: dict[str, dict[str, int]] = {}

    def note(self, *, started: float, raw: bytes, **members: Any) -> None:
        """Keep one exchange; `started` is when it arrived, in epoch seconds."""
        body = readable(members["path"], raw)
        writes = is_write(members["method"], members["path"], body)
        with self._lock:
            self._number += 1
            self._exchanges.append(
                Exchange(
                    number=self._number, at=started, seconds=time.time() - started, body=body,
                    writes=writes, **members,
                )
            )  # fmt: skip
            self._sizes.append(len(raw))
            self._bytes += len(raw)
            while self._bytes > KEPT_BYTES or len(self._sizes) > KEPT:
                self._bytes -= self._sizes.popleft()
                self._exchanges.popleft()
            total = self._totals.setdefault(members["system"], {"calls": 0, "writes": 0})
            total["calls"] += 1
            total["writes"] += writes

    def totals(self, system: str) -> dict[str, int]:
        """All `calls` and `writes` a system received since the start, forgotten ones included."""
        with self._lock:
            return dict(self._totals.get(system, {"calls": 0, "writes": 0}))

    def requests(
        self,
        system: str | None = None,
        *,
        writes_only: bool = False,
        since: float = 0.0,
        after: int = 0,
    ) -> list[Exchange]:
        """The exchanges of a system (None: both) at or after an epoch second, or after a number."""
        with self._lock:
            kept = list(self._exchanges)
        return [
            item
            for item in kept
            if system in (None, item.system)
            and item.at >= since
            and item.number > after
            and (item.writes or not writes_only)
        ]

    def last_number(self) -> int:
        """The number of the newest exchange, 0 before the first."""
        with self._lock:
            return self._number

    def clear(self) -> None:
        """Forget all exchanges and totals; numbers go on."""
        with self._lock:
            self._exchanges.clear()
            self._sizes.clear()
            self._bytes = 0
            self._totals.clear()
