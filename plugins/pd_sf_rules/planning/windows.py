"""Which stretch of time a pull reads. The cursor is the truth; a signal only says "look now"."""

from datetime import datetime, timedelta

from pd_sf_rules.errors import SettingsError
from pd_sf_rules.model import Window

OVERLAP = timedelta(seconds=600)
"""How far a live pull looks back: Salesforce rows become visible at commit, up to ten minutes after their stamp."""


def live_window(position: datetime, now: datetime) -> Window:
    """Return the window from `position` (the cursor) minus the overlap to `now`, the server's clock."""
    return Window(start=min(position, now) - OVERLAP, end=now)


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
