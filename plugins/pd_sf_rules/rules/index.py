"""Which rules of a bucket an event fits, found by a few look-ups instead of one test per condition.

One bit stands for one rule. Fields have tables from their value to the mask of the rules that survive it, and an
event is one AND per table. A rule of the `all` kind loses its bit when a condition fails; a rule of the `any` kind
enters upside down: it loses its bit when a condition holds, and is turned over at the end. What the tables leave
over is tested for the conditions that are in none of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pd_sf_rules.model import Event, Values, Verdict
from pd_sf_rules.rules.compiled import (
    PLACE,
    CompiledRule,
    Holds,
    Leaf,
    Part,
    Subject,
    some,
    subjects_of,
)
from pd_sf_rules.rules.fields import FieldRef
from pd_sf_rules.rules.observer import Observer
from pd_sf_rules.rules.operations import OPERATIONS, Takes
from pd_sf_rules.rules.reasons import HOLDS
from pd_sf_rules.rules.sides import Places, Sides
from pd_sf_rules.rules.tables import Test, looks_for_part, must_be_there

_COSTLY = ("matches", "not_matches")
"""Judged only for rules that nothing else rules out."""

_FEW = 4
"""Fewer rules are tested one after the other."""

_REMEMBERED = 512

_WORTH: Mapping[Takes, float] = {"text": 2.0, "ordered": 0.8}
_CHANGE, _LEAST = 0.6, 0.3
"""How many rules a table has to rule out, because it costs about as much as testing them.

Texts in which a part is looked for, and numbers, are seldom the same twice, and are judged each time; a change needs
two values.
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


Entry = tuple[CompiledRule, int, tuple[Holds, ...], int]
"""A rule, the place of its object, the tests that no table makes, its bit where one of its conditions is enough."""


class BucketIndex:
    """The rules of one bucket, and the tables that choose among them.

    `free` says that no rule of it stops others, or asks which ruleset made a pair.
    """

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self.rules = rules
        self.free = not any(each.rule.stop or each.rule.scope != "all" for each in rules)
        self._everybody = (1 << len(rules)) - 1
        self._mark = 1 << len(rules)
        self._turned = self._open = 0
        self._entries: list[Entry] = []
        self._remembered: dict[int, list[Entry]] = {}
        self._objects = list(dict.fromkeys(rule.rule.object for rule in rules))
        chosen = _chosen(rules)
        tests: Places = {}
        for at, rule in enumerate(rules):
            bit = self._mark >> (at + 1)  # the first rule's bit is the highest: masks read in order
            about = self._objects.index(rule.rule.object)
            tabled, rest = _split(rule, chosen)
            turned = bit if tabled and rule.any_of else 0
            open_bit = turned if rest else 0
            self._turned |= turned
            self._open |= open_bit
            self._entries.append((rule, about, rest, open_bit))
            for part, leaf in tabled:
                ref = leaf.condition.ref
                of_side = tests.setdefault((about, PLACE[ref.side]), {})
                test = Test(leaf, bit, keeps=_keeps(rule, part))
                of_side.setdefault(ref.path, []).append(test)
        self._sides = Sides(tests, self._everybody)
        self._observer: Observer | None = None

    @property
    def observer(self) -> Observer:
        """What tells of every condition whether it held; made when it is first asked for."""
        if self._observer is None:
            self._observer = Observer(self.rules, self._objects)
        return self._observer

    def subjects(
        self, events: Sequence[Event], linked: Sequence[Mapping[str, Values]]
    ) -> list[list[Subject]]:
        """Return for each object what its rules see of each event; `linked` are the records of each."""
        return [subjects_of(events, linked, name) for name in self._objects]

    def fitting(self, subjects: Sequence[Sequence[Subject]]) -> list[list[CompiledRule]]:
        """Return for each event the rules whose conditions hold, in order.

        Events are judged field by field: a table is at hand when the next event needs it.
        """
        masks = self._sides.survivors(self._everybody, subjects, len(subjects[0]))
        turned, is_open = self._turned, self._open
        return [
            self._confirmed(candidates, mask, seen)
            if (candidates := (mask ^ turned) | (mask & is_open))
            else []
            for mask, seen in zip(masks, zip(*subjects, strict=True), strict=True)
        ]

    def verdicts(
        self, matched: Iterable[CompiledRule], subjects: Sequence[Subject]
    ) -> Iterator[Verdict]:
        """Yield what rules say that matched an event; `subjects` are what the rules of each object see of it."""
        for each in matched:
            subject = subjects[self._objects.index(each.rule.object)]
            traces = tuple([leaf.trace(subject) for leaf in each.leaves])
            of = each.ruleset
            yield Verdict(of.name, of.version, of.mode, each.rule.name, True, HOLDS, traces)

    def _confirmed(
        self, candidates: int, mask: int, subjects: Sequence[Subject]
    ) -> list[CompiledRule]:
        """Return the candidates whose conditions in no table hold as well; where one is enough, the mask may tell."""
        found: list[CompiledRule] = []
        for rule, about, rest, open_bit in self._entries_of(candidates):
            if rest and (not open_bit or mask & open_bit):
                subject = subjects[about]
                for holds in rest:
                    if not holds(subject):
                        break
                else:
                    found.append(rule)
            else:
                found.append(rule)
        return found

    def _entries_of(self, candidates: int) -> list[Entry]:
        """Return the entries of the rules of a mask, in order; those of the first masks are remembered."""
        entries = self._remembered.get(candidates)
        if entries is None:
            entries = []
            at = -1
            digits = bin(candidates | self._mark)[3:]  # after "0b1" a digit for each rule
            for gap in digits.split("1")[:-1]:
                at += len(gap) + 1
                entries.append(self._entries[at])
            if len(self._remembered) < _REMEMBERED:
                self._remembered[candidates] = entries
        return entries


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
    """Return the parts that a table can decide, as far as they get on with each other in one."""
    tabled: list[tuple[Part, Leaf]] = []
    sought: dict[Field, bool] = {}
    for part in rule.parts:
        leaf = part.leaf
        if leaf is None or leaf.condition.operation in _COSTLY:
            continue
        if looks_for_part(leaf):
            field = _field(rule, leaf)
            alone = must_be_there(leaf, keeps=_keeps(rule, part))
            if field in sought and (alone or sought[field]):
                continue
            sought[field] = alone
        tabled.append((part, leaf))
    return tabled


def _keeps(rule: CompiledRule, part: Part) -> bool:
    """Tell whether a rule keeps its bit where the condition of a part holds, not where it does not."""
    return rule.any_of is part.negated


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
            operation = OPERATIONS[leaf.condition.operation]
            costs = _CHANGE if operation.needs_old else _WORTH.get(operation.takes, _LEAST)
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
