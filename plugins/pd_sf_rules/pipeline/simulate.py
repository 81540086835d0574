"""A draft ruleset over recorded events: what it would have done, beside what was done. Nothing is asked or written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from pd_sf_rules.ledger import Ledger, actions, cursors, events
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.ledger.columns import as_json
from pd_sf_rules.ledger.events import StoredEvent
from pd_sf_rules.model import Action, Verdict
from pd_sf_rules.pipeline.evaluate import LINKED
from pd_sf_rules.pipeline.recorded import unrecorded
from pd_sf_rules.planning.planner import plan
from pd_sf_rules.rules.evaluator import CompiledRules, compile_rules
from pd_sf_rules.rules.ruleset import Rule, Ruleset
from pd_sf_rules.rules.template_errors import TemplateError
from pd_sf_rules.rules.templates import render_params, template_context
from pd_sf_rules.rules.transcript import heads

PAGE = 500
Outcome = Literal["same", "changed", "new", "gone", "undecided"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One rule at one event where it fires now, fired then, or cannot be judged.

    `planned` is what the draft would do (texts rendered as far as the ledger knows the values), `done` what the
    rule of that name really did. `missing` are the fields that were not recorded, for `undecided`.
    """

    outcome: Outcome
    event: StoredEvent
    rule: str
    reason: str
    planned: Sequence[Action] = ()
    done: Sequence[StoredAction] = ()
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Simulation:
    """`judged` events of the draft's integration, and every difference; `against` is the ruleset compared with.

    `forgotten_until` is the instant up to which events of the time asked for were pruned, None where none were.
    """

    draft: Ruleset
    against: str
    since: datetime
    until: datetime
    judged: int
    differences: Sequence[Difference]
    forgotten_until: datetime | None = None

    def count(self, rule: str, *outcomes: Outcome) -> int:
        """Return how often a rule has one of these outcomes."""
        return sum(one.rule == rule and one.outcome in outcomes for one in self.differences)


def simulate(
    ledger: Ledger, draft: Ruleset, *, since: datetime, until: datetime, against: str = ""
) -> Simulation:
    """Judge every recorded event between the two instants by the draft, enabled or not.

    `against` names the ruleset whose recorded doings are compared; default: the one of the draft's name.
    """
    enabled = replace(draft, enabled=True)
    compiled = compile_rules([enabled], known_types(ledger, draft.integration))
    rules = {rule.name: rule for rule in draft.rules}
    name = against or draft.name
    judged = 0
    found: list[Difference] = []
    for event, done in recorded(ledger, draft.integration, since=since, until=until):
        judged += 1
        mine = [action for action in done if action.ruleset == name]
        found += _compared(compiled, enabled, rules, event, name, mine)
    gone = forgotten_until(ledger, draft.integration, since)
    return Simulation(draft, name, since, until, judged, found, gone)


def forgotten_until(ledger: Ledger, integration: str, since: datetime) -> datetime | None:
    """Return the instant up to which events from `since` on may be missing, being pruned; None where none are."""
    with ledger.read() as c:
        kept = events.kept_since(c, integration)
    return kept if kept is not None and kept >= since else None


def recorded(
    ledger: Ledger, integration: str, *, since: datetime, until: datetime
) -> Iterator[tuple[StoredEvent, list[StoredAction]]]:
    """Yield each judged event with the actions planned for it, oldest first."""
    last: StoredEvent | None = None
    while True:
        with ledger.read() as c:
            page = events.judged_events(
                c, integration, since=since, until=until, after=last, limit=PAGE
            )
            planned = actions.actions_of_events(c, [event.id for event in page])
        for event in page:
            yield event, planned.get(event.id, [])
        if len(page) < PAGE:
            return
        last = page[-1]


def known_types(ledger: Ledger, integration: str) -> dict[str, Mapping[str, str]]:
    """Return the field types that the sync learned last, by object."""
    with ledger.read() as c:
        known = cursors.all_cursors(c, integration)
    return {
        one.stream.removeprefix("describe:"): one.extra.get("types") or {}
        for one in known
        if one.stream.startswith("describe:")
    }


def _compared(
    compiled: CompiledRules,
    draft: Ruleset,
    rules: Mapping[str, Rule],
    event: StoredEvent,
    against: str,
    done: Sequence[StoredAction],
) -> Iterator[Difference]:
    """Yield the differences of one event, rule by rule."""
    evaluation = compiled.evaluate(event, event.detail.get(LINKED) or {})
    planned = plan(event, evaluation.matches)
    verdicts = evaluation.verdicts
    then = {v.rule for v in heads(event.verdicts) if v.ruleset == against and v.matched}
    for verdict in verdicts:
        name = verdict.rule
        mine = [_rendered(event, draft, one) for one in planned if one.rule == name]
        theirs = [one for one in done if one.rule == name]
        missing = unrecorded(event, rules[name], verdict.conditions)
        if missing:
            reason = f"Not recorded then: {', '.join(missing)}."
            yield Difference("undecided", event, name, reason, mine, theirs, missing)
        elif verdict.matched or name in then:
            outcome = _outcome(
                verdict, [one for one in planned if one.rule == name], theirs, name in then
            )
            yield Difference(outcome, event, name, verdict.reason, mine, theirs)
    for name in sorted(then - {verdict.rule for verdict in verdicts}):
        theirs = [one for one in done if one.rule == name]
        yield Difference("gone", event, name, "The draft has no such rule.", (), theirs)


def _outcome(
    verdict: Verdict,
    planned: Sequence[Action],
    done: Sequence[StoredAction],
    fired: bool,  # noqa: FBT001 - whether the recorded rule fired
) -> Outcome:
    if not verdict.matched:
        return "gone"
    if not fired:
        return "new"
    return "same" if _spelled(planned) == _spelled(done) else "changed"


def _spelled(planned: Sequence[Action]) -> list[tuple[str, Any]]:
    ordered = sorted(planned, key=lambda one: one.position)
    return [(one.kind, as_json(one.params)) for one in ordered]


def _rendered(event: StoredEvent, draft: Ruleset, action: Action) -> Action:
    """Return the action with its texts rendered; as written where a template names what was not recorded."""
    rule = {
        "name": action.rule,
        "object": action.object,
        "ruleset": draft.name,
        "version": draft.version,
    }
    urls = {"record_url": "", "incident_url": str(event.incident.get("html_url") or "")}
    linked = event.detail.get(LINKED) or {}
    seen = event if event.record else replace(event, record=linked.get(action.object or "", {}))
    try:
        params = render_params(action.params, template_context(seen, rule=rule, links=urls))
    except TemplateError:
        return action
    return replace(action, params=params)
