"""One seeded workload of rules and events that every contender judges: same rules, same answers."""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pd_sf_rules.model import Event
from pd_sf_rules.rules.loader import load_text
from pd_sf_rules.rules.ruleset import Ruleset

PICKLISTS, PHRASES, TEXTS, NUMBERS = 12, 4, 2, 12
"""The 30 fields of an event: a few values each; two words; a sentence that never comes twice; a number."""

OLD = "old_"
"""What stands before the name of a field for its earlier value, in the rows that other engines judge."""

_WORDS = [first + second for first in ("ba", "de", "ki", "lo", "mu") for second in
          ("bra", "den", "fol", "gin", "hop", "jat", "kel", "lum", "mor", "nix", "pax", "rod", "sun",
           "tav", "vex", "wim", "yor", "zed", "arc", "elm")]  # fmt: skip
_BIGGEST = 1000
_CHANGED = 0.1
_ANY = 0.12
_OPERATIONS = {
    "equals": 42, "contains": 14, "greater_than": 12, "changed": 9, "in": 8, "not_equals": 6,
    "starts_with": 5, "changed_to": 4,
}  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition in terms that every engine has: plain lower-case text and numbers, never null."""

    field: str
    operation: str
    value: Any


@dataclass(frozen=True, slots=True)
class BenchRule:
    """A rule on records of one object: all, or any, of its conditions hold."""

    object: str
    kind: Literal["all", "any"]
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A changed record: its values, and those before the change."""

    object: str
    now: Row
    old: Row


@dataclass(frozen=True, slots=True)
class Workload:
    """Rules of three conditions each, and the records they judge."""

    rules: Sequence[BenchRule]
    records: Sequence[Record]
    objects: Sequence[str]

    def ruleset(self) -> Ruleset:
        """Return the rules as this product's own file."""
        lines = ["version: 1", "name: Workload", "enabled: true", "rules:"]
        for number, rule in enumerate(self.rules):
            lines += [
                f"  - name: Rule {number}",
                f"    object: {rule.object}",
                "    run_on: salesforce",
                "    when:",
                f"      {rule.kind}:",
                *(_line(rule.object, condition) for condition in rule.conditions),
                "    actions:",
                "      - create_incident: { service: S, title: T }",
            ]
        ruleset, diagnostics = load_text("\n".join(lines) + "\n", "workload.yaml")
        if ruleset is None:
            raise ValueError(f"the workload is no valid ruleset: {diagnostics[0]}")
        return ruleset

    def events(self) -> list[Event]:
        """Return the records as events of this product."""
        at = datetime(2026, 1, 1, tzinfo=UTC)
        return [
            Event(
                id=str(number),
                integration="default",
                source="salesforce",
                type="updated",
                occurred_at=at,
                agent="",
                object=record.object,
                record_id=str(number),
                record=record.now,
                old=record.old,
            )
            for number, record in enumerate(self.records)
        ]

    def by_object(self) -> Mapping[str, list[tuple[int, BenchRule]]]:
        """Return the rules of each object with their numbers: an engine is handed only those that can match."""
        found: dict[str, list[tuple[int, BenchRule]]] = {}
        for number, rule in enumerate(self.rules):
            found.setdefault(rule.object, []).append((number, rule))
        return found


def fields_of(rules: Iterable[BenchRule]) -> list[str]:
    """Return the names of the fields that rules test, with OLD before those whose earlier value counts."""
    names: dict[str, None] = {}
    for rule in rules:
        for condition in rule.conditions:
            names[condition.field] = None
            if condition.operation in ("changed", "changed_to"):
                names[OLD + condition.field] = None
    return list(names)


def workload(rules: int, records: int, *, objects: int = 1, seed: int = 1) -> Workload:
    """Make `rules` rules and `records` records over so many objects; the same seed makes the same."""
    chance = random.Random(seed)
    names = [f"Object{number}__c" for number in range(objects)]
    return Workload(
        [_rule(chance, chance.choice(names)) for _ in range(rules)],
        [_record(chance, chance.choice(names)) for _ in range(records)],
        names,
    )


def _value(chance: random.Random, name: str) -> Any:
    if name.startswith("N"):
        return chance.randrange(_BIGGEST)
    if name.startswith("P"):  # the first values of a picklist are the frequent ones
        at = int(name[1:])
        return _WORDS[at * 5 + min(chance.randrange(20), chance.randrange(20))]
    return " ".join(chance.choices(_WORDS, k=2 if name.startswith("D") else 9))


_FIELDS = [
    f"{letter}{number}"
    for letter, many in (("P", PICKLISTS), ("D", PHRASES), ("S", TEXTS), ("N", NUMBERS))
    for number in range(many)
]


def _record(chance: random.Random, name: str) -> Record:
    now = {field: _value(chance, field) for field in _FIELDS}
    before = {
        field: _value(chance, field) if chance.random() < _CHANGED else value
        for field, value in now.items()
    }
    return Record(name, now, json.loads(json.dumps(before)))  # equal, but not the same objects


def _rule(chance: random.Random, name: str) -> BenchRule:
    kind: Literal["all", "any"] = "any" if chance.random() < _ANY else "all"
    return BenchRule(name, kind, tuple(_condition(chance, rare=kind == "any") for _ in range(3)))


def _condition(chance: random.Random, *, rare: bool) -> Condition:
    """Return a condition; a rare one seldom holds, for rules of which any is enough."""
    operation = chance.choices(list(_OPERATIONS), list(_OPERATIONS.values()))[0]
    if operation == "greater_than":
        least = _BIGGEST * 9 // 10 if rare else 0
        return Condition(
            f"N{chance.randrange(NUMBERS)}", operation, chance.randrange(least, _BIGGEST)
        )
    if operation in ("contains", "starts_with"):
        field = chance.choice([f"D{n}" for n in range(PHRASES)] + [f"S{n}" for n in range(TEXTS)])
        return Condition(field, operation, chance.choice(_WORDS))
    if rare or chance.random() < 0.15:
        field = f"D{chance.randrange(PHRASES)}"
        operation = "equals" if operation in ("not_equals", "changed") else operation
    else:
        field = f"P{chance.randrange(PICKLISTS)}"
    if operation == "in":
        return Condition(field, operation, sorted({_value(chance, field) for _ in range(4)}))
    return Condition(field, operation, None if operation == "changed" else _value(chance, field))


def _line(name: str, condition: Condition) -> str:
    value = condition.value
    shown = f"[{', '.join(value)}]" if isinstance(value, list) else value
    given = "" if value is None else f", value: {shown}"
    return (
        f"        - {{ field: {name}.{condition.field}, operation: {condition.operation}{given} }}"
    )
