"""Which fields the rules need from each side: what a pull asks for, and nothing more."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pd_sf_rules.model import PAGERDUTY, SALESFORCE
from pd_sf_rules.rules import templates
from pd_sf_rules.rules.fields import CUSTOM_FIELDS
from pd_sf_rules.rules.ruleset import ActionSpec, Rule, Ruleset, conditions_of

Paths = dict[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Needs:
    """Field paths by object (without the object's name), and what the incident side must bring."""

    watched_objects: frozenset[str]
    record_fields: Paths
    watched_fields: Paths
    linked_fields: Paths
    incident_objects: frozenset[str]
    custom_fields: bool


def needs_of(rulesets: Iterable[Ruleset]) -> Needs:
    """Return what the rules of these rulesets need."""
    rules = [rule for ruleset in rulesets for rule in ruleset.rules]
    watching = [rule for rule in rules if rule.run_on == SALESFORCE]
    mirroring = [rule for rule in rules if rule.run_on == PAGERDUTY]
    return Needs(
        watched_objects=frozenset(rule.object for rule in watching),
        record_fields=_by_object([*_named(rules), *_written(rules)]),
        watched_fields=_by_object([*_named(watching), *_written(watching)]),
        linked_fields=_by_object(_named(mirroring)),
        incident_objects=frozenset(rule.object for rule in watching if _tests_incident(rule)),
        custom_fields=any(_names_custom_field(rule) for rule in rules),
    )


def _by_object(pairs: Iterable[tuple[str, str]]) -> Paths:
    gathered: dict[str, set[str]] = {}
    for object_name, path in pairs:
        gathered.setdefault(object_name, set()).add(path)
    return {object_name: frozenset(paths) for object_name, paths in gathered.items()}


def _named(rules: Iterable[Rule]) -> Iterator[tuple[str, str]]:
    """Yield (object, path) for each record field that a condition or a template of the rules names."""
    for rule in rules:
        for condition in conditions_of(rule.when):
            if condition.ref.side == "record":
                yield rule.object, condition.ref.path
        heads = ("record", "old") if rule.run_on == SALESFORCE else ("record",)
        for name in template_names(rule):
            head, _, path = name.partition(".")
            if head in heads and path:
                yield rule.object, path


def _written(rules: Iterable[Rule]) -> Iterator[tuple[str, str]]:
    """Yield (object, field) for each field an action writes: a snapshot must hold it to know our own write."""
    for rule in rules:
        for action in rule.actions:
            for name in written_fields(action):
                yield action.params.get("object", rule.object), name


def written_fields(action: ActionSpec) -> tuple[str, ...]:
    """Return the record fields that an action writes."""
    if action.kind in ("update_record", "create_record"):
        return tuple(action.params["fields"])
    return ()


def template_names(rule: Rule) -> frozenset[str]:
    """Return the dotted names that the templates of a rule use."""
    return frozenset(
        name
        for action in rule.actions
        for text in _texts(action.params)
        for name in templates.names(text)
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _tests_incident(rule: Rule) -> bool:
    return any(condition.ref.side == "incident" for condition in conditions_of(rule.when))


def _names_custom_field(rule: Rule) -> bool:
    custom = f"incident.{CUSTOM_FIELDS}"
    conditions = any(condition.name.startswith(custom) for condition in conditions_of(rule.when))
    old = f"old.{CUSTOM_FIELDS}"
    return conditions or any(name.startswith((custom, old)) for name in template_names(rule))
