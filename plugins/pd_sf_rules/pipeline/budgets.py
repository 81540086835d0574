"""API allowances, shared by all workers through the ledger: a reserve is kept for paging, the rest waits."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import Ledger, cursors
from pd_sf_rules.model import ApiUsage
from pd_sf_rules.settings import Integration
from pd_sf_rules.systems.clock import parse_instant

_log = logging.getLogger(__name__)

STREAM = "usage:"
LIMITED = "limited:"
LONGEST_LIMIT = timedelta(minutes=15)
"""Longest wait for a daily allowance that is used up: nothing tells when it clears."""

BELIEVED = {"salesforce": timedelta(hours=1), "pagerduty": timedelta(minutes=1)}
"""How long a server's figure is believed: a daily allowance moves slowly, PagerDuty counts by the minute."""

NAMES = {"salesforce": "Salesforce", "pagerduty": "PagerDuty"}


@dataclass(frozen=True, slots=True)
class Budget:
    """What a server said last: `used` of `allowed` calls, at `at` by this machine's clock."""

    system: str
    used: int
    allowed: int
    at: datetime

    @property
    def left_percent(self) -> float:
        """How much of the allowance is left, 0 to 100."""
        return max(100.0 * (self.allowed - self.used) / self.allowed, 0.0)


def remember(ledger: Ledger, integration: str, usage: Mapping[str, ApiUsage]) -> None:
    """Keep the servers' own figures, for every worker to see; a ledger that cannot take them is only logged."""
    told = {name: one for name, one in usage.items() if one.used is not None and one.allowed}
    if not told:
        return
    now = datetime.now(UTC)
    try:
        with ledger.begin() as c:
            for system, one in told.items():
                stream = f"{STREAM}{system}"
                kept = cursors.start_cursor(c, integration, stream, now)
                extra = {"used": one.used, "allowed": one.allowed}
                cursors.move_cursor(c, integration, stream, max(now, kept.position), extra=extra)
    except SyncError as error:
        _log.warning("The API usage could not be kept: %s", error)


def budgets(c: Connection, integration: str) -> list[Budget]:
    """Return what the servers said last of their allowances, by system; one that never told is absent."""
    found: list[Budget] = []
    for system in sorted(BELIEVED):
        kept = cursors.get_cursor(c, integration, f"{STREAM}{system}")
        if kept is not None and kept.extra.get("allowed"):
            used, allowed = int(kept.extra["used"]), int(kept.extra["allowed"])
            found.append(Budget(system, used, allowed, kept.position))
    return found


def shed(ledger: Ledger, integration: Integration) -> str:
    """Return why what can wait is to wait now, "" when there is more than the reserve of every allowance.

    One sentence, for the log of the step that is left out. A figure that has grown old says nothing.
    """
    reserve = integration.limits.api_reserve_percent
    now = datetime.now(UTC)
    with ledger.read() as c:
        known = budgets(c, integration.name)
    for one in known:
        fresh = now - one.at < BELIEVED[one.system]
        if fresh and one.left_percent < reserve:
            return (
                f"{NAMES[one.system]} has {one.used} of {one.allowed} API calls used: the last {reserve:g} % "
                "are kept for paging. Notes and drift checks wait, and are caught up later."
            )
    return ""


def limit(ledger: Ledger, integration: str, requests: str, until: datetime) -> None:
    """Let these requests (see kinds.requests_of) rest until then, in every worker: the server refuses them all.

    Salesforce tells no time: each further refusal, without a success between, doubles the wait.
    """
    now = datetime.now(UTC)
    stream = f"{LIMITED}{requests}"
    with ledger.begin() as c:
        kept = cursors.start_cursor(c, integration, stream, now)
        times = int(kept.extra.get("times", 0)) + 1
        if requests == "salesforce":
            until = now + min((until - now) * 2 ** min(times - 1, 16), LONGEST_LIMIT)
        extra = {"until": until.isoformat(), "times": times}
        cursors.move_cursor(c, integration, stream, max(now, kept.position), extra=extra)
    _log.warning("%s: no further requests until %s.", requests, until.isoformat("T", "seconds"))


def limited(c: Connection, integration: str) -> dict[str, datetime]:
    """Return until when requests rest, or rested, since they last succeeded."""
    return {
        one.stream.removeprefix(LIMITED): parse_instant(one.extra["until"])
        for one in cursors.all_cursors(c, integration)
        if one.stream.startswith(LIMITED) and one.extra.get("until")
    }


def lift(ledger: Ledger, integration: str, requests: str) -> None:
    """Forget that these requests were limited: one of them succeeded."""
    now = datetime.now(UTC)
    stream = f"{LIMITED}{requests}"
    with ledger.begin() as c:
        kept = cursors.start_cursor(c, integration, stream, now)
        cursors.move_cursor(c, integration, stream, max(now, kept.position), extra={})
