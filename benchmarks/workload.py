"""One seeded workload of rules and events that every contender judges: same rules, same answers."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pd_sf_rules.model import Event
from pd_sf_rules.rules.loader import load_text
from pd_sf_rules.rules.ruleset import Ruleset

FIELDS = 30
WORDS = (
    "alpha",
    "bravo",
    "charlie",
    "delta",
    "echo",
    "foxtrot",
    "golf",
    "hotel",
    "india",
    "juliet",
)
NUMBERS = 1000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition in terms that every engine has: plain lower-case text and numbers, never null."""

    field: str
    operation: str
    value: Any


@dataclass(frozen=True, slots=True)
class Workload:
    """Rules of three conditions that must all hold, and the records they judge."""

    rules: Sequence[Sequence[Condition]]
    records: Sequence[Row]

    def ruleset(self) -> Ruleset:
        """Return the rules as this product's own file."""
        lines = ["version: 1", "name: Workload", "enabled: true", "rules:"]
        for number, conditions in enumerate(self.rules):
            lines += [
                f"  - name: Rule {number}",
                "    object: Case",
                "    run_on: salesforce",
                "    when:",
                "      all:",
                *(_line(condition) for condition in conditions),
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
                object="Case",
                record_id=str(number),
                record=record,
                old=record,
            )
            for number, record in enumerate(self.records)
        ]


def workload(rules: int, records: int, *, seed: int = 1) -> Workload:
    """Make `rules` rules and `records` records; the same seed makes the same."""
    chance = random.Random(seed)
    return Workload(
        [[_condition(chance) for _ in range(3)] for _ in range(rules)],
        [_record(chance) for _ in range(records)],
    )


def _record(chance: random.Random) -> Row:
    row: Row = {f"T{n}": " ".join(chance.choices(WORDS, k=2)) for n in range(FIELDS // 2)}
    return row | {f"N{n}": chance.randrange(NUMBERS) for n in range(FIELDS // 2)}


def _condition(chance: random.Random) -> Condition:
    kind = chance.choices(
        ("equals", "in", "contains", "starts_with", "greater_than"), (42, 14, 20, 8, 16)
    )[0]
    if kind == "greater_than":
        return Condition(f"N{chance.randrange(FIELDS // 2)}", kind, chance.randrange(NUMBERS))
    name = f"T{chance.randrange(FIELDS // 2)}"
    if kind == "equals":
        return Condition(name, kind, " ".join(chance.choices(WORDS, k=2)))
    if kind == "in":
        return Condition(name, kind, [" ".join(chance.choices(WORDS, k=2)) for _ in range(20)])
    return Condition(name, kind, chance.choice(WORDS))


def _line(condition: Condition) -> str:
    value = condition.value
    shown = f"[{', '.join(value)}]" if isinstance(value, list) else value
    return f"        - {{ field: Case.{condition.field}, operation: {condition.operation}, value: {shown} }}"
