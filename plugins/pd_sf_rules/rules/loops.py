"""Rules that can feed each other: what one writes is an event that makes the other act, and so on round."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pd_sf_rules.model import SALESFORCE
from pd_sf_rules.rules.contradictions import why_never
from pd_sf_rules.rules.effects import Effect, effects_of
from pd_sf_rules.rules.operations import OPERATIONS
from pd_sf_rules.rules.ruleset import Group, Rule, Ruleset, conditions_of

Place = tuple[int, int]
"""A rule by the positions of its ruleset and of itself."""


@dataclass(frozen=True, slots=True)
class Loop:
    """Rules in the order in which they feed each other, by place; the last one feeds the first."""

    places: tuple[Place, ...]


def loops(rulesets: Sequence[Ruleset]) -> Iterator[Loop]:
    """Yield the shortest loop through each group of rules that can go on feeding each other."""
    rules = {
        (at, index): rule
        for at, ruleset in enumerate(rulesets)
        for index, rule in enumerate(ruleset.rules)
    }
    edges = _edges(rulesets, rules)
    reported: set[Place] = set()
    for start in rules:
        if start in reported:
            continue
        ring = _shortest_ring(start, edges)
        if ring and not _settles(
            [effect for step in _steps(ring) for effect in edges[step[0]][step[1]]]
        ):
            reported |= set(ring)
            yield Loop(ring)


def _edges(
    rulesets: Sequence[Ruleset], rules: dict[Place, Rule]
) -> dict[Place, dict[Place, list[Effect]]]:
    """Return for each rule the rules it can set off, and by which effects."""
    edges: dict[Place, dict[Place, list[Effect]]] = {place: {} for place in rules}
    for place, rule in rules.items():
        effects = list(effects_of(rule))
        for other, fed in rules.items():
            if rulesets[place[0]].integration != rulesets[other[0]].integration:
                continue
            setting_off = [effect for effect in effects if _sets_off(effect, fed)]
            if setting_off:
                edges[place][other] = setting_off
    return edges


def _sets_off(effect: Effect, rule: Rule) -> bool:
    """Tell whether the event of an effect may fit a rule."""
    if rule.run_on != effect.source:
        return False
    if effect.source == SALESFORCE and (
        rule.object != effect.object or not _looks_at(rule, effect)
    ):
        return False
    return not why_never(Group("all", (*effect.facts(), rule.when)), rule.run_on)


def _looks_at(rule: Rule, effect: Effect) -> bool:
    """Tell whether a rule would notice the write: a change it asks for, else any field it tests."""
    if effect.event_type == "created":
        return True
    conditions = conditions_of(rule.when)
    changes = [each for each in conditions if OPERATIONS[each.operation].needs_old]
    return any(each.name == effect.target for each in changes or conditions)


def _shortest_ring(
    start: Place, edges: dict[Place, dict[Place, list[Effect]]]
) -> tuple[Place, ...]:
    """Return the shortest way from a rule back to itself, empty if there is none."""
    ways: list[tuple[Place, ...]] = [(start,)]
    seen = set()
    for way in ways:
        for following in edges[way[-1]]:
            if following == start:
                return way
            if following not in seen:
                seen.add(following)
                ways.append((*way, following))
    return ()


def _steps(ring: tuple[Place, ...]) -> Iterator[tuple[Place, Place]]:
    yield from zip(ring, (*ring[1:], ring[0]), strict=True)


def _settles(effects: Sequence[Effect]) -> bool:
    """Tell whether going round changes nothing any more: every target is always given one and the same value."""
    given: dict[str, set[str]] = {}
    for effect in effects:
        if effect.event_type == "created" and not effect.repeats:
            continue  # one record for a pair, and no second one
        if effect.repeats or (effect.target and not effect.known):
            return False
        given.setdefault(effect.target, set()).add(str(effect.value).casefold())
    return all(len(values) == 1 for values in given.values())
