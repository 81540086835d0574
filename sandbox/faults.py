"""Planned faults of the network and the servers, per system and per call, reproducible by seed."""

import random
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

SYSTEMS = ("salesforce", "pagerduty")
KINDS = (
    "rate_limited",  # 429, with the rate-limit headers unless headers is false
    "server_error",  # `status` (503 unless given), JSON body
    "html",  # `status` (503 unless given), an HTML page
    "answer",  # `status`, `body` and `extra_headers` as given
    "timeout_before",  # nothing happened; the connection hangs for `seconds`, then closes
    "timeout_after",  # the call took effect; no answer for `seconds`, then the connection closes
    "reset_before",  # nothing happened; the connection is reset
    "reset_after",  # the call took effect; the connection is reset
    "malformed_json",  # the call took effect; its answer is cut in the middle
    "html_done",  # the call took effect; a web page comes with 200 instead of its answer
    "empty_done",  # the call took effect; 200 without a body
    "cut_off",  # the call took effect; the connection ends in the middle of its answer
    "request_limit",  # 403 REQUEST_LIMIT_EXCEEDED (PagerDuty knows no such thing: 429)
    "row_locked",  # 400 UNABLE_TO_LOCK_ROW (PagerDuty: 409)
    "unauthorized",  # 401
    "slow",  # the answer comes `seconds` later
)
TAKES_EFFECT = frozenset(
    {"timeout_after", "reset_after", "malformed_json", "html_done", "empty_done", "cut_off", "slow"}
)


@dataclass(slots=True, kw_only=True)
class Fault:
    """One plan: which calls it hits, how often, and what goes wrong.

    `system` is salesforce or pagerduty (None: both); `method` and `path` are regular expressions
    that must match the whole method and be found in the path. Of the matching calls the first
    `after` go through untouched; then each is hit with `probability`, `times` times at most
    (None: for good). `kind` may be several kinds: one is drawn for each hit.
    """

    kind: str | tuple[str, ...]
    system: str | None = None
    method: str = ".*"
    path: str = ""
    after: int = 0
    times: int | None = 1
    probability: float = 1.0
    seconds: float = 1.0
    status: int = 503
    headers: bool = True
    reset_seconds: int = 1
    body: Any = None
    extra_headers: dict[str, str] = field(default_factory=dict)
    id: int = 0
    seen: int = 0
    hits: int = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds to draw from."""
        return (self.kind,) if isinstance(self.kind, str) else tuple(self.kind)


@dataclass(frozen=True, slots=True)
class Strike:
    """What happens to one call: a fault with its kind drawn."""

    kind: str
    fault: Fault


def fault_from_json(body: Any) -> Fault:
    """A fault from a JSON object with the members of `Fault`; raises ValueError or TypeError."""
    if not isinstance(body, Mapping):
        raise TypeError("a fault must be a JSON object")
    known = {item.name for item in fields(Fault)} - {"id", "seen", "hits"}
    unknown = sorted(set(body) - known)
    if unknown:
        raise ValueError(
            f"unknown members of a fault: {', '.join(unknown)}; known: {', '.join(sorted(known))}"
        )
    if "kind" not in body:
        raise ValueError(f"a fault needs a kind, one of {', '.join(KINDS)}")
    kind = body["kind"]
    fault = Fault(**{**body, "kind": tuple(kind) if isinstance(kind, list) else kind})
    _check(fault)
    return fault


def _check(fault: Fault) -> None:
    wrong = [kind for kind in fault.kinds if kind not in KINDS]
    if wrong or not fault.kinds:
        raise ValueError(f"unknown kind of fault {wrong}; known: {', '.join(KINDS)}")
    if fault.system not in (None, *SYSTEMS):
        raise ValueError(f"system must be one of {', '.join(SYSTEMS)}, not {fault.system!r}")
    if not 0 <= fault.probability <= 1:
        raise ValueError(f"probability must be between 0 and 1, not {fault.probability}")
    for name in ("method", "path"):
        try:
            re.compile(getattr(fault, name))
        except re.error as error:
            raise ValueError(f"{name} is not a regular expression: {error}") from None


class FaultPlan:
    """The faults in force. The same seed and the same calls in the same order give the same hits.

    Each fault draws from its own numbered sequence (seed, fault, n-th matching call), so traffic
    that it does not match cannot shift its decisions. Thread-safe.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._faults: list[Fault] = []
        self._next_id = 1
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> int:
        """Put a fault in force; its id. Raises ValueError for one that cannot work."""
        _check(fault)
        with self._lock:
            fault.id = self._next_id
            self._next_id += 1
            self._faults.append(fault)
        return fault.id

    def plan(self, kind: str | Iterable[str], **members: Any) -> int:
        """Shorthand for `add(Fault(kind=..., ...))`."""
        kinds = kind if isinstance(kind, str) else tuple(kind)
        return self.add(Fault(kind=kinds, **members))

    def remove(self, fault_id: int) -> bool:
        """Take one fault out; whether it was there."""
        with self._lock:
            before = len(self._faults)
            self._faults = [fault for fault in self._faults if fault.id != fault_id]
            return len(self._faults) < before

    def clear(self, seed: int | None = None) -> None:
        """Take all faults out and start counting anew, with another seed if given."""
        with self._lock:
            self._faults = []
            self._next_id = 1
            self.seed = self.seed if seed is None else seed

    def faults(self) -> list[dict[str, Any]]:
        """The faults in force with how many calls each saw and hit."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def strike(self, system: str, method: str, path: str) -> Strike | None:
        """What happens to this call, None for nothing; the first fault that hits decides."""
        with self._lock:
            for fault in self._faults:
                if not _matches(fault, system, method, path):
                    continue
                fault.seen += 1
                kind = self._draw(fault)
                if kind is not None:
                    fault.hits += 1
                    return Strike(kind, fault)
        return None

    def _draw(self, fault: Fault) -> str | None:
        if fault.seen <= fault.after or (fault.times is not None and fault.hits >= fault.times):
            return None
        rng = random.Random(f"{self.seed}:{fault.id}:{fault.seen}")
        return rng.choice(fault.kinds) if rng.random() < fault.probability else None


def _matches(fault: Fault, system: str, method: str, path: str) -> bool:
    return (
        fault.system in (None, system)
        and re.fullmatch(fault.method, method) is not None
        and re.search(fault.path, path) is not None
    )
