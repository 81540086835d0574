"""How long a watcher waits between two looks: longer in quiet hours, after a long calm, and on a scarce allowance."""

import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pd_sf_rules.settings import Integration, QuietHours

CALM = timedelta(minutes=10)
"""After so long without any news the looks come half as often, after twice as long a quarter as often, and so on."""

LONGEST_SECONDS = 300.0
"""The longest interval that a scarce allowance stretches to: paging goes on, on what is left."""

STEPS = 3
"""How often the interval doubles as the reserve of the allowance melts: at all of it, a half, a quarter."""


def interval(
    integration: Integration,
    poll_seconds: float,
    *,
    now: datetime,
    calm: timedelta,
    left_percent: float | None,
) -> float:
    """Return the seconds until the next look, `poll_seconds` at least.

    `calm` is how long nothing happened, `left_percent` what is left of a daily allowance (None: not told).
    """
    seconds = poll_seconds
    quiet = integration.quiet_hours
    if quiet is not None and is_quiet(quiet, now):
        seconds = max(seconds, quiet.poll_seconds)
    if integration.idle_poll_seconds is not None and calm >= CALM:
        slower: float = poll_seconds * 2.0 ** (1 + math.floor(math.log2(calm / CALM)))
        seconds = max(seconds, min(slower, integration.idle_poll_seconds))
    reserve = integration.limits.api_reserve_percent
    if left_percent is None or left_percent >= reserve:
        return seconds
    doubled = sum(left_percent < reserve / 2**step for step in range(STEPS))
    scarce: float = min(seconds * 2.0**doubled, LONGEST_SECONDS)
    return max(seconds, scarce)


def is_quiet(quiet: QuietHours, now: datetime) -> bool:
    """Say whether an instant lies in the quiet hours, by the clock of their time zone; they may reach over midnight."""
    local = now.astimezone(ZoneInfo(quiet.timezone))
    minute = local.hour * 60 + local.minute
    if quiet.begins <= quiet.ends:
        return quiet.begins <= minute < quiet.ends
    return minute >= quiet.begins or minute < quiet.ends
