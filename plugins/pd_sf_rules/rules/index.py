"""Which rules of a bucket an event fits, found by a few look-ups instead of one test per condition.

One bit stands for one rule. Fields have tables from their value to the mask of the rules that survive it, and an
event is one AND per table. A rule of the `all` kind loses its bit when a condition fails; a rule of the `any` kind
enters upside down: it loses its bit when a condition holds, and is turned over at the end. What the tables leave
over is tested for the conditions that are in none of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pd_sf_rules.model import Event, Values
from pd_sf_rules.rules.compiled import (
    PLACE,
    CompiledRule,
    Holds,
    Leaf,
    Part,
    Subject,
    some,
    subject_of,
)
from pd_sf_rules.rules.fields import FieldRef, event_value
from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN, Takes
from pd_sf_rules.rules.tables import ChangeTable, LevelTable, Test

_COSTLY = ("matches", "not_matches")
"""Judged only for rules that nothing else rules out."""

_FEW = 4
"""Fewer rules are tested one after the other."""

_REMEMBERED = 512

_WORTH: Mapping[Takes, float] = {"text": 2.5, "ordered": 0.8}
_LEAST = 0.3
"""How many rules a table has to rule out, because it costs about as much as testing them.

Texts in which a part is looked for, and numbers, are seldom the same twice, so that little is remembered of them.
"""

_LIKELY: Mapping[str, float] = {
    "equals": 0.1, "in": 0.2, "contains": 0.1, "starts_with": 0.1, "ends_with": 0.1, "includes": 0.2,
    "is_blank": 0.3, "is_not_blank": 0.7, "changed": 0.1, "changed_to": 0.02, "changed_from": 0.02,
    "increased": 0.05, "decreased": 0.05, "not_equals": 0.9, "not_in": 0.8, "not_contains": 0.9,
    "excludes": 0.8,
}  # fmt: skip
"""How often a condition holds, where nothing better is known: it decides what is looked at first, not the answer."""

Field = tuple[str, FieldRef]
"""A field of a bucket: the object of the rules that test it, and the field."""


@dataclass(frozen=True, slots=True)
class _Side:
    """The tables over one side of what the rules of an object see, by path: the look-up of remembered masks first."""

    about: str
    place: int
    tables: tuple[tuple[str, Callable[[Any], int | None], LevelTable, ChangeTable | None], ...]


_Entry = tuple[CompiledRule, str, tuple[Holds, ...], int]
"""A rule, its object, the tests that no table makes, and its bit where one of its conditions is enough."""


class BucketIndex:
    """The rules of one bucket, and the tables that choose among them."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self.rules = rules
        self._everybody = (1 << len(rules)) - 1
        self._mark = 1 << len(rules)
        self._turned = self._open = 0
        self._entries: list[_Entry] = []
        self._remembered: dict[int, list[_Entry]] = {}
        chosen = _chosen(rules)
        tests: dict[tuple[str, int], dict[str, list[Test]]] = {}
        for at, rule in enumerate(rules):
            bit = 1 << (
                len(rules) - 1 - at
            )  # the first rule's bit is the highest: masks read in order
            tabled, rest = _split(rule, chosen)
            turned = bit if tabled and rule.any_of else 0
            open_bit = turned if rest else 0
            self._turned |= turned
            self._open |= open_bit
            self._entries.append((rule, rule.rule.object, rest, open_bit))
            for part, leaf in tabled:
                about, ref = _field(rule, leaf)
                of_side = tests.setdefault((about, PLACE[ref.side]), {})
                test = Test(leaf, bit, keeps=rule.any_of is part.negated)
                of_side.setdefault(ref.path, []).append(test)
        self._sides = [
            _side(about, place, held, self._everybody) for (about, place), held in tests.items()
        ]
        self._objects = list(dict.fromkeys(rule.rule.object for rule in rules))

    def fitting(self, event: Event, linked: Mapping[str, Values]) -> list[CompiledRule]:
        """Return the rules whose conditions hold, in order."""
        subjects: dict[str, Subject] = {}
        for name in self._objects:
            subjects[name] = subject_of(event, linked, name)
        mask = self._everybody
        for side in self._sides:
            subject, place = subjects[side.about], side.place
            get = partial(event_value, event) if place == PLACE["event"] else subject[place].get
            for path, remembered, table, changes in side.tables:
                value = get(path)
                try:
                    known = remembered(value)
                except TypeError:  # a list, which no dict can hold
                    known = None
                mask &= table.survivors(value) if known is None else known
                if changes is not None:
                    old = subject[place + 1].get(path, UNKNOWN)
                    same = old is UNKNOWN or (old == value and old.__class__ is value.__class__)
                    mask &= changes.unchanged if same else changes.survivors(value, old)
        candidates = (mask ^ self._turned) | (mask & self._open)
        return self._confirmed(candidates, mask, subjects) if candidates else []

    def _confirmed(
        self, candidates: int, mask: int, subjects: Mapping[str, Subject]
    ) -> list[CompiledRule]:
        """Return the candidates whose conditions in no table hold as well; where one is enough, the mask may tell."""
        found: list[CompiledRule] = []
        for rule, about, rest, open_bit in self._entries_of(candidates):
            if not open_bit or mask & open_bit:
                subject = subjects[about]
                for holds in rest:
                    if not holds(subject):
                        break
                else:
                    found.append(rule)
            else:
                found.append(rule)
        return found

    def _entries_of(self, candidates: int) -> list[_Entry]:
        """Return the entries of the rules of a mask, in order; those of the first masks are remembered."""
        entries = self._remembered.get(candidates)
        if entries is None:
            digits = bin(candidates | self._mark)  # "0b1", then a digit for each rule
            entries = []
            at = digits.find("1", 3)
            while at >= 0:
                entries.append(self._entries[at - 3])
                at = digits.find("1", at + 1)
            if len(self._remembered) < _REMEMBERED:
                self._remembered[candidates] = entries
        return entries


def _side(about: str, place: int, tests: Mapping[str, Sequence[Test]], everybody: int) -> _Side:
    """Return the tables of the tests of each path."""
    tables = []
    for path, held in tests.items():
        level = LevelTable([test for test in held if not _on_change(test.leaf)], everybody)
        on_change = [test for test in held if _on_change(test.leaf)]
        change = ChangeTable(on_change, everybody) if on_change else None
        tables.append((path, level.remembered.get, level, change))
    return _Side(about, place, tuple(tables))


def _split(
    rule: CompiledRule, chosen: Mapping[Field, None]
) -> tuple[list[tuple[Part, Leaf]], tuple[Holds, ...]]:
    """Return the conditions of a rule that the chosen tables decide, and the tests of the others, in a good order.

    Of a rule of the `any` kind the others are one test.
    """
    tabled = [(part, leaf) for part, leaf in _tabled(rule) if _field(rule, leaf) in chosen]
    decided = {id(part) for part, _leaf in tabled}
    others = sorted((part for part in rule.parts if id(part) not in decided), key=_chance)
    tests = tuple(part.holds for part in others)
    return tabled, (some(tests),) if rule.any_of and tests else tests


def _tabled(rule: CompiledRule) -> list[tuple[Part, Leaf]]:
    """Return the parts that a table can decide."""
    return [
        (part, part.leaf)
        for part in rule.parts
        if part.leaf is not None and part.leaf.condition.operation not in _COSTLY
    ]


def _chosen(rules: Sequence[CompiledRule]) -> dict[Field, None]:
    """Return the fields that are worth a table: each must save more than it costs.

    A table saves a part of the test of a rule of the `any` kind, whatever the values.
    """
    if len(rules) < _FEW:
        return {}
    fields: dict[Field, dict[int, float]] = {}  # the chance that a rule survives the field's table
    worth: dict[Field, float] = {}
    for at, rule in enumerate(rules):
        tabled = _tabled(rule)
        for part, leaf in tabled:
            field = _field(rule, leaf)
            costs = _WORTH.get(OPERATIONS[leaf.condition.operation].takes, _LEAST)
            worth[field] = max(worth.get(field, _LEAST), costs)
            chance = 1 - 1 / len(rule.parts) if rule.any_of else _chance(part)
            by_rule = fields.setdefault(field, {})
            by_rule[at] = by_rule.get(at, 1.0) * chance
    survive = [1.0] * len(rules)
    chosen: dict[Field, None] = {}

    def saving(field: Field) -> float:
        ruled_out = sum(survive[at] * (1 - chance) for at, chance in fields[field].items())
        return ruled_out - worth[field]

    while fields:
        best = max(fields, key=saving)
        if saving(best) <= 0:
            break
        chosen[best] = None
        for at, chance in fields.pop(best).items():
            survive[at] *= chance
    return chosen


def _field(rule: CompiledRule, leaf: Leaf) -> Field:
    return rule.rule.object, leaf.condition.ref


def _chance(part: Part) -> float:
    """Return how likely a part is to hold."""
    if part.leaf is None:
        return 0.6
    likely = _LIKELY.get(part.leaf.condition.operation, 0.5)
    return 1 - likely if part.negated else likely


def _on_change(leaf: Leaf) -> bool:
    return OPERATIONS[leaf.condition.operation].needs_old
