"""The servers' clocks and the shapes of their instants."""

import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# A `Date` header is cut to whole seconds, so honest readings of one clock differ by less than this.
_SAME_CLOCK = timedelta(seconds=2)


class ServerClock:
    """The server's UTC time, estimated from the `Date` headers of its answers.

    A header is at most one second behind the truth and never ahead of it, so the latest of several
    readings is the best. A reading far behind the estimate means that the clock was set back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: datetime | None = None  # server time at monotonic zero
        self._asked = False

    @property
    def asked(self) -> bool:
        """Say whether any answer has come yet, with a `Date` header or without one."""
        return self._asked

    def observe(self, date_header: str | None) -> None:
        """Take one `Date` header into account; a missing or unreadable one changes nothing."""
        self._asked = True
        moment = http_date(date_header)
        if moment is None:
            return
        reading = moment - timedelta(seconds=time.monotonic())
        with self._lock:
            if self._started is None or reading < self._started - _SAME_CLOCK:
                self._started = reading
            else:
                self._started = max(self._started, reading)

    def now(self) -> datetime:
        """Return the server's time, or this machine's while no server has told its own."""
        if self._started is None:
            return datetime.now(UTC)
        return self._started + timedelta(seconds=time.monotonic())


def http_date(text: str | None) -> datetime | None:
    """Return an HTTP date as UTC, None where there is none or it cannot be read."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_instant(text: str) -> datetime:
    """Return an ISO 8601 instant with any offset (`Z`, `+0000`, `-05:00`) as UTC.

    One without an offset is taken as UTC. Raises ValueError when it is not an instant.
    """
    moment = datetime.fromisoformat(text.strip().upper())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def second_text(moment: datetime, *, up: bool = False) -> str:
    """Return `2026-11-01T00:00:00Z`: cut to its whole second, or raised to the next one if `up`."""
    utc = moment.astimezone(UTC)
    whole = utc.replace(microsecond=0)
    if up and whole < utc:
        whole += timedelta(seconds=1)
    return whole.strftime("%Y-%m-%dT%H:%M:%SZ")
