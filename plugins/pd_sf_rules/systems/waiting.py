"""How often a read is sent again, and how long to wait before. Writes are never sent again."""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from pd_sf_rules.errors import RateLimitedError, SyncError
from pd_sf_rules.systems.answers import Answer
from pd_sf_rules.systems.clock import http_date

READ_ATTEMPTS = 3
DEFAULT_RETRY_AFTER = 5.0
_AN_INSTANT = 1e9


def pause_before(attempt: int) -> float:
    """Return the seconds to wait before repeating a read for the `attempt`-th time (from 1)."""
    return float(0.2 * attempt * (0.5 + random.random()))  # noqa: S311 - jitter, not a secret


def seconds_asked(headers: Mapping[str, str], names: Iterable[str]) -> float:
    """Return the seconds that the first telling header of `names` asks for, else DEFAULT_RETRY_AFTER.

    A header holds seconds, or the instant when it is over (an HTTP date, or seconds since 1970). Bounded to one
    hour: a server that answers nonsense must not park an action for ever.
    """
    for name in names:
        seconds = _seconds(headers.get(name, ""), headers.get("Date", ""))
        if seconds is not None:
            return min(seconds, 3600.0)
    return DEFAULT_RETRY_AFTER


def _seconds(text: str, date_header: str) -> float | None:
    now = http_date(date_header) or datetime.now(UTC)
    try:
        seconds = float(text)
    except ValueError:
        until = http_date(text)
        return None if until is None else max((until - now).total_seconds(), 0.0)
    if seconds > _AN_INSTANT:
        seconds = max(seconds - now.timestamp(), 0.0)
    return seconds if seconds >= 0 else None


def settled(
    ask: Callable[[], Answer],
    error_of: Callable[[Answer], SyncError],
    *,
    write: bool,
    patience: float,
) -> Answer:
    """Return an answer that is understood, or raise what `error_of` makes of it.

    A read is asked READ_ATTEMPTS times while the server is in trouble, and waits for `patience`
    seconds in all where the server asks for a pause (429). A write is asked once.
    """
    answer = ask()
    attempt, waited = 1, 0.0
    while not answer.ok:
        error = error_of(answer)
        if write:
            raise error
        if answer.trouble and attempt < READ_ATTEMPTS:
            time.sleep(pause_before(attempt))
            attempt += 1
        elif answer.status == 429 and isinstance(error, RateLimitedError):
            pause = error.retry_after + pause_before(1)
            if waited + pause > patience:
                raise error
            time.sleep(pause)
            waited += pause
        else:
            raise error
        answer = ask()
    return answer
