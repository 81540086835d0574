"""Rules that can feed each other: what one writes is an event that makes the other act, and so on round."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pd_sf_rules.model import SALESFORCE
from pd_sf_rules.rules.contradictions import why_never
from pd_sf_rules.rules.effects import Effect, effects_of
from pd_sf_rules.rules.operations import OPERATIONS
from pd_sf_rules.rules.ruleset import Group, Rule, Ruleset, conditions_of

Place = tuple[int, int]
"""A rule by the positions of its ruleset and of itself."""

Edges = dict[Place, dict[Place, list[Effect]]]

_STARTS = 50
"""From so many rules of a group a loop is looked for; groups that large have other troubles."""


@dataclass(frozen=True, slots=True)
class Loop:
    """Rules in the order in which they feed each other, by place; the last one feeds the first."""

    places: tuple[Place, ...]


def loops(rulesets: Sequence[Ruleset]) -> Iterator[Loop]:
    """Yield a loop for each group of rules that can go on feeding each other: the shortest one found first."""
    rules = {
        (at, index): rule
        for at, ruleset in enumerate(rulesets)
        for index, rule in enumerate(ruleset.rules)
    }
    edges = _edges(rulesets, rules)
    for group in _rings(edges):
        for start in group[:_STARTS]:
            ring = _shortest_ring(start, edges)
            steps = zip(ring, (*ring[1:], ring[0]), strict=True) if ring else ()
            if ring and not _settles([each for one, other in steps for each in edges[one][other]]):
                yield Loop(ring)
                break


def _edges(rulesets: Sequence[Ruleset], rules: dict[Place, Rule]) -> Edges:
    """Return for each rule the rules it can set off, and by which effects."""
    edges: Edges = {place: {} for place in rules}
    fed: dict[tuple[str, Effect], list[Place]] = {}
    for place, rule in rules.items():
        integration = rulesets[place[0]].integration
        for effect in effects_of(rule):
            if (integration, effect) not in fed:
                fed[integration, effect] = [
                    other
                    for other, each in rules.items()
                    if rulesets[other[0]].integration == integration and _sets_off(effect, each)
                ]
            for other in fed[integration, effect]:
                edges[place].setdefault(other, []).append(effect)
    return edges


def _rings(edges: Edges) -> Iterator[list[Place]]:
    """Yield the groups of rules in which each one leads back to itself, in the order of their first rules."""
    remaining = dict.fromkeys(edges)
    backwards: dict[Place, list[Place]] = {place: [] for place in edges}
    for place, following in edges.items():
        for other in following:
            backwards[other].append(place)
    while remaining:
        start = next(iter(remaining))
        ahead = _reached(start, edges, remaining)
        group = [place for place in _reached(start, backwards, remaining) if place in ahead]
        if len(group) > 1 or start in edges[start]:
            yield sorted(group)
        for place in group:
            del remaining[place]


def _reached(
    start: Place, edges: Mapping[Place, Iterable[Place]], within: Mapping[Place, None]
) -> dict[Place, None]:
    """Return the places that can be reached from one, itself included, going through these only."""
    found = {start: None}
    waiting = [start]
    while waiting:
        for following in edges[waiting.pop()]:
            if following in within and following not in found:
                found[following] = None
                waiting.append(following)
    return found


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


def _shortest_ring(start: Place, edges: Edges) -> tuple[Place, ...]:
    """Return the shortest way from a rule back to itself, empty if there is none."""
    came_from: dict[Place, Place] = {}
    waiting = deque([start])
    while waiting:
        place = waiting.popleft()
        for following in edges[place]:
            if following == start:
                return _way(start, place, came_from)
            if following not in came_from:
                came_from[following] = place
                waiting.append(following)
    return ()


def _way(start: Place, end: Place, came_from: Mapping[Place, Place]) -> tuple[Place, ...]:
    """Return the places from start to end."""
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return tuple(reversed(way))


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
