"""What PagerDuty says is left of its limits, so that requests which it would refuse are not even sent."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from pd_sf_rules.systems.waiting import seconds_asked

SHARE = 3
"""At most so many-th of what is left is under way at once: other workers spend of the same allowance."""

SAME_END = 1.5
"""Seconds by which two readings of one end may differ: it is told in whole seconds."""

LISTEN_SECONDS = 1.0

WINDOW_SECONDS = 60.0
"""PagerDuty's limits are a minute's: whatever figures tell, after that a request may be tried."""

PAGE = "POST incidents"
"""What figures alone never hold back: a page is not sent where PagerDuty itself has refused in this window."""


@dataclass(slots=True)
class _Limit:
    """What is left until `ends` (this machine's monotonic seconds); `refused`: PagerDuty said so by a 429."""

    left: int
    ends: float
    refused: bool


class Allowance:
    """The limits of one credential, known by their size: that of the account, the largest, and those of operations.

    An operation is refused by the limit that its own answers told of; the account's only has a say in how many go.
    May be used from several threads. Every `enter` that lets a request go is followed by its `leave`.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._limits: dict[int, _Limit] = {}
        self._size_of: dict[str, int] = {}
        self._under_way = 0

    def enter(self, operation: str) -> float:
        """Return 0.0 once there is room for one more request of an operation ("POST incidents").

        Else the seconds until a limit that is used up begins anew: nothing may be sent then, and nothing was entered.
        """
        with self._changed:
            while True:
                room, wait = self._room(operation)
                if wait > 0:
                    return wait
                if self._under_way < room:
                    self._under_way += 1
                    return 0.0
                self._changed.wait(LISTEN_SECONDS)

    def leave(
        self, operation: str, headers: Mapping[str, str] | None, *, refused: bool = False
    ) -> None:
        """Note that a request is over, and what the headers of its answer (None: none came) tell of the limits.

        `refused` says that the answer was a 429.
        """
        with self._changed:
            self._under_way -= 1
            if headers is not None:
                self._learn(operation, headers, refused=refused)
            self._changed.notify_all()

    def _room(self, operation: str) -> tuple[float, float]:
        """Return how many requests may be under way, and how long to wait where none may."""
        now = time.monotonic()
        own = self._size_of.get(operation, 0)
        room = float("inf")
        for size in {own, max(self._limits, default=0)} & self._limits.keys():
            limit = self._limits[size]
            left = size if limit.ends <= now else limit.left
            if left <= 0 and size == own and (limit.refused or operation != PAGE):
                return 0.0, limit.ends - now
            room = min(room, max(left // SHARE, 1))
        return room, 0.0

    def _learn(self, operation: str, headers: Mapping[str, str], *, refused: bool) -> None:
        try:
            size = int(headers["ratelimit-limit"])
            left = int(headers["ratelimit-remaining"])
        except (KeyError, ValueError):
            return
        if size <= 0 or "ratelimit-reset" not in headers:
            return
        ends = time.monotonic() + min(seconds_asked(headers, ("ratelimit-reset",)), WINDOW_SECONDS)
        known = self._limits.get(size)
        if known is not None and abs(known.ends - ends) < SAME_END:
            # Answers may overtake each other, and each tells an end that is late by less than a second.
            left, ends = min(left, known.left), min(ends, known.ends)
            refused = refused or known.refused
        self._limits[size] = _Limit(left, ends, refused)
        self._size_of[operation] = size


def operation_of(method: str, path: str) -> str:
    """Name the operation of a request, without the ids in its path: `PUT incidents/*/notes`."""
    parts = path.partition("?")[0].strip("/").split("/")
    return f"{method} {'/'.join(part if at % 2 == 0 else '*' for at, part in enumerate(parts))}"
