"""How often a read is sent again, and how long to wait before. Writes are never sent again."""

import random
import time
from collections.abc import Callable, Iterable, Mapping

from pd_sf_rules.errors import RateLimitedError, SyncError
from pd_sf_rules.systems.answers import Answer

READ_ATTEMPTS = 3
DEFAULT_RETRY_AFTER = 5.0


def pause_before(attempt: int) -> float:
    """Return the seconds to wait before repeating a read for the `attempt`-th time (from 1)."""
    return float(0.2 * attempt * (0.5 + random.random()))  # noqa: S311 - jitter, not a secret


def seconds_asked(headers: Mapping[str, str], names: Iterable[str]) -> float:
    """Return the first header of `names` that holds seconds, else DEFAULT_RETRY_AFTER.

    Bounded to one hour: a server that answers nonsense must not park an action for ever.
    """
    for name in names:
        try:
            seconds = float(headers.get(name, ""))
        except ValueError:
            continue
        if seconds >= 0:
            return min(seconds, 3600.0)
    return DEFAULT_RETRY_AFTER


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
