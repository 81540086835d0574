"""Which stretch of time a pull reads. The cursor is the truth; a signal only says "look now"."""

from dataclasses import replace
from datetime import datetime, timedelta

from pd_sf_rules.errors import SettingsError
from pd_sf_rules.model import Window

OVERLAP = timedelta(seconds=600)
"""How far a live pull looks back: Salesforce rows become visible at commit, up to ten minutes after their stamp."""

CLOCK_DOUBT = timedelta(minutes=15)
"""How far a service's stamps may be from the time that it tells, or from this machine's where it tells none."""


def live_window(position: datetime, now: datetime, newest: datetime | None = None) -> Window:
    """Return the window from the cursor's `position` minus the overlap to `now`, the server's clock.

    Where the newest stamp that was seen lies before the cursor, the stamps may simply be behind that clock: the window
    then begins that much earlier, by CLOCK_DOUBT at most.
    """
    position = min(position, now)
    oldest = position - CLOCK_DOUBT
    start = max(oldest, min(position, newest)) if newest is not None else oldest
    return Window(start=start - OVERLAP, end=now)


def reading(window: Window) -> Window:
    """Return what is asked of a service for a live window: its stamps may be ahead of the time that it tells."""
    return replace(window, end=window.end + CLOCK_DOUBT) if window.moves_cursor else window


def first_start(began: datetime, newest: datetime | None) -> datetime:
    """Return the stamp from which on what was never seen is new, when a stream is first looked at.

    `began` is that moment by the server's clock, `newest` the newest stamp it shows then (None: none of late): the
    next thing that happens has this stamp or a later one, whatever the clocks say.
    """
    least = began - CLOCK_DOUBT
    return min(began, max(newest, least) if newest is not None else least)


def given_window(since: datetime, until: datetime | None, now: datetime) -> Window:
    """Return a window a person or a backfill asked for; it never moves the cursor.

    Raises SettingsError when it ends before it starts.
    """
    end = min(until or now, now)
    if end < since:
        raise SettingsError(
            f"The window ends ({end.isoformat()}) before it starts ({since.isoformat()})."
        )
    return Window(start=since, end=end, moves_cursor=False)


def next_position(window: Window, held_back: datetime | None) -> datetime:
    """Return where the cursor goes after `window`: its end, or the oldest stamp that had to be left for later."""
    return window.end if held_back is None else min(window.end, held_back)
