"""How much the open route takes: bodies, time, and requests a second."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request

MOST_BYTES = 1024 * 1024
"""A body longer than this is refused unread: PagerDuty sends 256 KB at most (its page on webhook behavior)."""

BODY_SECONDS = 4.0
MOST_CALLERS = 1024


class TooLongError(Exception):
    """The body is longer than MOST_BYTES."""


class TooSlowError(Exception):
    """The body did not come within BODY_SECONDS."""


async def bounded_body(request: Request) -> bytes:
    """Return the whole body; raises TooLongError as soon as it is too long, TooSlowError, or ClientDisconnect."""
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > MOST_BYTES:
        raise TooLongError
    parts, length = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                length += len(part)
                if length > MOST_BYTES:
                    raise TooLongError
                parts.append(part)
    except TimeoutError:
        raise TooSlowError from None
    return b"".join(parts)


@dataclass(slots=True)
class Bucket:
    """`burst` at once, then `per_second` on average."""

    per_second: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    _left: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._at = self.burst, self.clock()

    def has_one(self) -> bool:
        """Say whether one more is allowed now; takes none."""
        now = self.clock()
        self._left = min(self.burst, self._left + (now - self._at) * self.per_second)
        self._at = now
        return self._left >= 1

    def take(self) -> bool:
        """Take one; False when none is left."""
        if not self.has_one():
            return False
        self._left -= 1
        return True


@dataclass(slots=True)
class Buckets:
    """A bucket for each caller; of the least recently seen beyond MOST_CALLERS nothing is remembered."""

    per_second: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[str, Bucket] = field(default_factory=OrderedDict)

    def of(self, caller: str) -> Bucket:
        """Return the bucket of a caller."""
        bucket = self._buckets.pop(caller, None) or Bucket(self.per_second, self.burst, self.clock)
        self._buckets[caller] = bucket
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        return bucket
