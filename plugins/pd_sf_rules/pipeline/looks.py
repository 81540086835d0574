"""Where a look at a stream begins, what of it counts, and what is old at a first start."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import cursors
from pd_sf_rules.model import Window
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.planning.windows import first_start, live_window

EVERYTHING = datetime.max.replace(tzinfo=UTC)
_log = logging.getLogger(__name__)

NEWEST, BEGUN = "newest", "begun"


@dataclass(frozen=True, slots=True)
class Look:
    """What to read of a stream; what happened before `started_at` never counts.

    `old_until`: what was never seen and is stamped up to there was there before the sync. None: nothing is.
    """

    window: Window
    started_at: datetime
    old_until: datetime | None = None

    def is_old(self, stamp: datetime) -> bool:
        """Say whether something that was never seen before was there when the stream was first looked at."""
        return self.old_until is not None and stamp <= self.old_until


def look_at(
    run: Run,
    stream: str,
    given: Window | None,
    *,
    now: datetime,
    newest: Callable[[datetime], datetime | None],
    start: bool = True,
) -> Look:
    """Return how to look at a stream now; `start` begins its cursor where there is none.

    `now` is the server's clock; `newest` returns the newest stamp at or after an instant that the server shows.
    Until a first look is through (its cursor moved), what was there at its beginning stays old.
    """
    if given is not None:
        window = Window(given.start, min(given.end, now), moves_cursor=False)
        return Look(window, given.start)
    with run.ledger.read() as c:
        cursor = cursors.get_cursor(c, run.name, stream)
    if cursor is not None:
        seen = _instant(cursor.extra.get(NEWEST))
        old = _instant(cursor.extra.get(BEGUN))
        return Look(live_window(cursor.position, now, seen), cursor.started_at, old)
    began = run.integration.start_at(now)
    if run.integration.start_from != "now":
        return _begin(run, stream, Look(live_window(began, now), began), {}, start=start)
    try:
        there = newest(first_start(began, None))
    except SyncError as error:
        # What happens from now on counts, though the first look may fail; then the server's clock has to be believed.
        _log.warning("The newest stamp of %s is not told: %s", stream, error)
        there = began
    look = Look(live_window(began, now), first_start(began, there), EVERYTHING)
    begun = max(there, look.started_at) if there else look.started_at
    return _begin(run, stream, look, {BEGUN: begun.isoformat()}, start=start)


def _begin(run: Run, stream: str, look: Look, extra: dict[str, str], *, start: bool) -> Look:
    if start:
        began = run.integration.start_at(look.window.end)
        with run.ledger.begin() as c:
            cursors.start_cursor(
                c, run.name, stream, began, started_at=look.started_at, extra=extra
            )
    return look


def _instant(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
