"""A loaded ruleset, frozen: what the loader makes and the evaluator compiles."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pd_sf_rules.model import Mode, Source
from pd_sf_rules.rules.fields import FieldRef

Scope = Literal["all", "created_by_ruleset"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One leaf: `name` is the field as written, `ref` as parsed. `expected` is None where none is taken."""

    name: str
    ref: FieldRef
    operation: str
    expected: Any
    line: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """`all` or `any` of its members, or `not` its only one."""

    kind: Literal["all", "any", "not"]
    members: "tuple[Condition | Group, ...]"


When = Condition | Group


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One action as written, with the defaults of its parameters filled in. `line` counts from 1."""

    kind: str
    params: Mapping[str, Any] = field(hash=False)
    line: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: when an event of `run_on` fits `when`, do `actions`."""

    name: str
    object: str
    run_on: Source
    scope: Scope
    stop: bool
    when: When
    actions: tuple[ActionSpec, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A file. `version` is the first 12 hex digits of the SHA-256 of `text`."""

    path: str
    name: str
    version: str
    text: str = field(repr=False, hash=False)
    enabled: bool
    integration: str
    mode: Mode
    rules: tuple[Rule, ...] = field(hash=False)


def conditions_of(when: When) -> tuple[Condition, ...]:
    """Return the leaves of a condition tree, in the order written."""
    if isinstance(when, Condition):
        return (when,)
    return tuple(leaf for member in when.members for leaf in conditions_of(member))
