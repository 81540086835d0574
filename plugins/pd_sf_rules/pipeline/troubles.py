"""What failed or waits, grouped by what is wrong, so that a person mends one cause and not a hundred actions."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pd_sf_rules.ledger import Ledger, actions, expectations
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.ledger.storms import HELD, storm_of
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.planning.values import digest

FIXES = {
    outcomes.REFUSED: "Mend the rule or the record, then `pdsf replay --action ID` (or --failed).",
    outcomes.CONFIG: "Mend the ruleset file: the next sync tries it again with the mended rule.",
    outcomes.CONNECTION: "Mend the connection (`pdsf status` tests it): it is tried again by itself.",
    outcomes.RATE_LIMITED: "The server asked for a pause: it is tried again by itself.",
    outcomes.UNCERTAIN: "The answer was lost: it is looked up, then tried again, by itself.",
    outcomes.TRANSIENT: "It is tried again by itself.",
    HELD: "Decide: `pdsf errors --release STORM`, `--summary STORM` (one incident for all) or `--drop STORM`.",
}
LOOK = "Look at it, then `pdsf replay --action ID` or `pdsf errors --discard ID`."
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Actions with one cause: the same action of one rule, refused in the same words.

    `fix` says what to do; `next_try` is the earliest time of a next try, None where there is none by itself.
    `behind` counts the actions of the same events and rules that wait for these; `storm` names what a breaker holds.
    `key` names the cause: the same as long as it is the same.
    """

    error_kind: str
    kind: str
    ruleset: str
    rule: str
    words: str
    fix: str
    actions: Sequence[StoredAction]
    behind: int
    storm: str = ""
    key: str = ""

    @property
    def integration(self) -> str:
        """The integration whose actions these are."""
        return self.actions[0].integration

    @property
    def failed(self) -> int:
        """How many are failed for good; what a breaker holds is not."""
        return sum(one.state == "failed" for one in self.actions if not self.storm)

    @property
    def held(self) -> int:
        """How many a breaker holds until a person decides."""
        return len(self.actions) if self.storm else 0

    @property
    def next_try(self) -> datetime | None:
        """When the first of them is tried again by itself."""
        times = [one.retry_at for one in self.actions if one.state != "failed" and one.retry_at]
        return min(times, default=None)


def troubles(
    ledger: Ledger, integrations: Iterable[str], *, with_held: bool = True
) -> list[Trouble]:
    """Return the causes for which live actions failed or wait for their next try, those that failed first.

    Without `with_held` what a breaker holds (thousands, perhaps) is left unread.
    """
    groups: dict[tuple[str, ...], list[StoredAction]] = {}
    waiting: dict[tuple[str, ...], int] = {}
    for name in integrations:
        with ledger.read() as c:
            found = actions.open_actions(c, name, but=None if with_held else HELD)
        for one in found:
            if one.message or one.state == "failed":
                groups.setdefault(_cause(one), []).append(one)
            elif one.state == "pending":
                key = (one.event_id, one.ruleset, one.rule)
                waiting[key] = waiting.get(key, 0) + 1
    told = [_trouble(digest(*cause)[:16], group, waiting) for cause, group in groups.items()]
    return sorted(told, key=lambda one: (-one.failed, one.actions[0].event_occurred_at))


def _cause(action: StoredAction) -> tuple[str, ...]:
    words = action.message
    for name in (action.id, action.record_id, action.incident_id, action.event_id):
        words = words.replace(name, "…") if name else words
    return (
        action.integration,
        action.error_kind,
        action.kind,
        action.ruleset,
        action.rule,
        _NUMBERS.sub("#", words),
    )


def _trouble(
    key: str, group: Sequence[StoredAction], waiting: dict[tuple[str, ...], int]
) -> Trouble:
    first = group[0]
    behind = {(one.event_id, one.ruleset, one.rule) for one in group}
    return Trouble(
        error_kind=first.error_kind,
        kind=first.kind,
        ruleset=first.ruleset,
        rule=first.rule,
        words=first.message,
        fix=LOOK
        if first.in_doubt and first.state == "failed"
        else FIXES.get(first.error_kind, LOOK),
        actions=group,
        behind=sum(waiting.get(key, 0) for key in behind),
        storm=storm_of(first) if first.error_kind == HELD else "",
        key=key,
    )


def discard(ledger: Ledger, ids: Iterable[str], *, reason: str) -> set[str]:
    """Give up failed or waiting actions: they are skipped for the reason given. The ids that were comes back."""
    gone: set[str] = set()
    with ledger.begin() as c:
        for action_id, action in actions.get_actions(c, ids).items():
            if action.state in {"failed", "pending"} and actions.record_outcome(
                c, action_id, state="skipped", now=utc_now(), message=reason
            ):
                expectations.forget(c, action_id)
                gone.add(action_id)
    return gone
