"""How one integration is and was lately, from the ledger alone: nothing here asks either service."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pd_sf_rules.ledger import Ledger
from pd_sf_rules.ledger.doorbells import Doorbell, newest_doorbell
from pd_sf_rules.ledger.tallies import Slot, tally
from pd_sf_rules.pipeline.budgets import Budget, budgets
from pd_sf_rules.pipeline.status import (
    IntegrationState,
    RulesetState,
    late_streams,
    problems_of,
    ruleset_states,
    state_of,
)
from pd_sf_rules.settings import Integration


@dataclass(frozen=True, slots=True)
class Overview:
    """One integration. `problems` are sentences, the worst first; `slots` the figures of the time asked for."""

    state: IntegrationState
    problems: Sequence[str]
    budgets: Sequence[Budget]
    webhook: Doorbell | None
    slots: Sequence[Slot]
    rulesets: Sequence[RulesetState]

    @property
    def lag(self) -> float | None:
        """Seconds since the stream that is furthest behind was read up to; None before the first run."""
        return max((one.lag for one in self.state.streams), default=None)


def overview(ledger: Ledger, integration: Integration, edges: Sequence[datetime]) -> Overview:
    """Look at one integration; the time between each two of `edges` (UTC, rising) is a slot of the figures."""
    state = state_of(ledger, integration)
    with ledger.read() as c:
        known = budgets(c, integration.name)
        webhook = newest_doorbell(c, integration.name)
        slots = tally(c, integration.name, edges)
    files = [
        one
        for one in ruleset_states(ledger, {integration.name})
        if one.integration in {integration.name, ""}
    ]
    problems = [*late_streams(state), *problems_of(state)]
    problems += [f"{one.path}: {one.said}" for one in files if one.said]
    return Overview(state, problems, known, webhook, slots, files)


def edges_until(now: datetime, slot: timedelta, count: int) -> list[datetime]:
    """Return the edges of `count` slots of that length; the last one, not over yet, ends after `now`.

    Slots begin at whole multiples of their length, so that a figure that was shown does not change later.
    """
    seconds = slot.total_seconds()
    end = (now.timestamp() // seconds + 1) * seconds
    first = end - count * seconds
    return [datetime.fromtimestamp(first + n * seconds, now.tzinfo) for n in range(count + 1)]
