"""How long to wait before a read is sent again. Writes are never sent again from here."""

import random
from collections.abc import Iterable, Mapping

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
