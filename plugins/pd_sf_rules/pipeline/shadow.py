"""What rulesets in shadow mode would have done, beside what the live ones did with the same events."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pd_sf_rules.ledger import Ledger
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.ledger.columns import to_json
from pd_sf_rules.ledger.events import StoredEvent
from pd_sf_rules.pipeline.simulate import recorded
from pd_sf_rules.rules.transcript import heads

Standing = Literal["agree", "differ", "only_shadow", "only_live"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One action that shadow, live, or both planned for one event."""

    standing: Standing
    event: StoredEvent
    shadow: StoredAction | None
    live: StoredAction | None


@dataclass(slots=True)
class ShadowReport:
    """One shadow ruleset: events it judged and matched, and its actions beside the live ones."""

    ruleset: str
    judged: int = 0
    matched: int = 0
    compared: list[Compared] = field(default_factory=list)

    def count(self, standing: Standing) -> int:
        """Return how many actions stand so."""
        return sum(one.standing == standing for one in self.compared)


def shadow_reports(
    ledger: Ledger,
    integration: str,
    *,
    since: datetime,
    until: datetime,
    ruleset: str = "",
    against: str = "",
) -> list[ShadowReport]:
    """Compare each shadow ruleset (or the one named) with the live rulesets (or with `against` alone).

    Where no `against` is given, a live action counts as missing in shadow only if the shadow ruleset has
    actions of that kind.
    """
    reports: dict[str, ShadowReport] = {}
    missing: dict[str, list[Compared]] = {}
    for event, planned in recorded(ledger, integration, since=since, until=until):
        live = [a for a in planned if a.mode == "live" and against in {"", a.ruleset}]
        for name in _shadow_rulesets(event, ruleset):
            report = reports.setdefault(name, ShadowReport(name))
            report.judged += 1
            report.matched += _matched(event, name)
            mine = [a for a in planned if a.mode == "shadow" and a.ruleset == name]
            both, alone = _pair_up(event, mine, live)
            report.compared += both
            missing.setdefault(name, []).extend(alone)
    for name, report in reports.items():
        kinds = {one.shadow.kind for one in report.compared if one.shadow is not None}
        report.compared += [
            one
            for one in missing.get(name, ())
            if against or (one.live is not None and one.live.kind in kinds)
        ]
        report.compared.sort(key=lambda one: (one.event.occurred_at, one.event.seq))
    return [reports[name] for name in sorted(reports)]


def _shadow_rulesets(event: StoredEvent, wanted: str) -> list[str]:
    names = (v.ruleset for v in heads(event.verdicts) if v.mode == "shadow")
    return [name for name in dict.fromkeys(names) if wanted in {"", name}]


def _matched(event: StoredEvent, ruleset: str) -> int:
    return int(any(v.matched and v.ruleset == ruleset for v in heads(event.verdicts)))


def _pair_up(
    event: StoredEvent, shadow: Sequence[StoredAction], live: Sequence[StoredAction]
) -> tuple[list[Compared], list[Compared]]:
    """Return the shadow actions, each with the live one it corresponds to, and the live ones left over."""
    left = list(live)
    found: list[Compared] = []
    for one in shadow:
        same = [a for a in left if a.kind == one.kind]
        twin = next((a for a in same if _spelled(a) == _spelled(one)), next(iter(same), None))
        if twin is None:
            found.append(Compared("only_shadow", event, one, None))
            continue
        left.remove(twin)
        standing: Standing = "agree" if _spelled(twin) == _spelled(one) else "differ"
        found.append(Compared(standing, event, one, twin))
    return found, [Compared("only_live", event, None, a) for a in left]


def _spelled(action: StoredAction) -> Any:
    return to_json(sorted(action.params.items()))
