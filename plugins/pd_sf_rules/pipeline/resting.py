"""What is left alone for a while: requests that a server limits, and a service that is out of reach.

A limit is kept in the ledger, so that one refusal serves all workers. An outage each pass finds out by itself, with
a few tries: then it leaves the rest as it is, instead of waiting for a thousand time-outs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pd_sf_rules.ledger import waiting
from pd_sf_rules.ledger.waiting import Waiting
from pd_sf_rules.pipeline import budgets, outcomes
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.breaker import APPROVED
from pd_sf_rules.planning.kinds import requests_of

LONGEST_REST = 60.0
"""Most seconds that a pass leaves a service alone which did not answer."""

UNLIMITED = 1_000_000
RELEASE = "release"


@dataclass(slots=True)
class Rests:
    """The requests (see kinds.requests_of) that one pass leaves alone, and until when.

    `of_release` says that what a person let through waits for the API's next minute.
    """

    run: Run
    of_release: bool = False
    _until: dict[str, datetime] = field(default_factory=dict)
    _troubles: dict[str, int] = field(default_factory=dict)
    _limited: dict[str, datetime] = field(default_factory=dict)
    _told: dict[str, datetime] = field(default_factory=dict)

    def now(self) -> set[str]:
        """Return what is to be left alone at this moment."""
        with self.run.ledger.read() as c:
            self._limited = budgets.limited(c, self.run.name)
        now = utc_now()
        resting = [*self._until.items(), *self._limited.items()]
        self._told = {name: until for name, until in resting if until > now}
        return set(self._told)

    def ends(self) -> list[float]:
        """Return in how many seconds each rest ends: not above 0 where it ended since `now` was asked."""
        now = utc_now()
        ends = {*self._until.values(), *self._limited.values()}
        told = set(self._told.values())
        return [
            (until - now).total_seconds() for until in ends | told if until > now or until in told
        ]

    def allowance(self) -> int:
        """Return how many requests what a person let through may take now: the reserve is kept for news."""
        usage = self.run.pagerduty.usage()
        resets_in = self.run.pagerduty.session().seconds_to_reset()
        if usage.used is None or not usage.allowed or resets_in <= 0:
            return UNLIMITED
        kept = usage.allowed * self.run.integration.limits.api_reserve_percent / 100
        left = int(usage.allowed - usage.used - kept)
        if left > 0:
            return left
        self.of_release = True
        self._until[RELEASE] = utc_now() + timedelta(seconds=resets_in)
        return 0

    def learn(self, tried: Sequence[Waiting]) -> None:
        """Take to heart how these attempts ended."""
        with self.run.ledger.read() as c:
            ended = waiting.get_waiting(c, [one.id for one in tried])
        groups: dict[str, list[Waiting]] = {}
        for one in (one for one in ended if not _is_untried(one)):
            groups.setdefault(requests_of(one.kind), []).append(one)
        for name, some in groups.items():
            limits = [one.retry_at for one in some if _is_limited(one) and one.retry_at]
            if limits:
                budgets.limit(self.run.ledger, self.run.name, name, max(limits))
            elif all(_is_troubled(one) for one in some):
                self._troubles[name] = self._troubles.get(name, 0) + 1
                rest = min(2.0 ** (self._troubles[name] - 1), LONGEST_REST)
                self._until[name] = utc_now() + timedelta(seconds=rest)
            else:
                self._troubles.pop(name, None)
                if name in self._limited:
                    budgets.lift(self.run.ledger, self.run.name, name)


def _is_untried(one: Waiting) -> bool:
    return one.state == "pending" and one.error_kind in {"", APPROVED}


def _is_limited(one: Waiting) -> bool:
    return one.state == "pending" and one.error_kind == outcomes.RATE_LIMITED


def _is_troubled(one: Waiting) -> bool:
    return one.state == "pending" and one.error_kind in {outcomes.TRANSIENT, outcomes.UNCERTAIN}
