"""What an action does to the world, as far as it can be said without doing it: which events it may cause."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Source
from pd_sf_rules.rules.fields import FieldRef, parse_field
from pd_sf_rules.rules.ruleset import ActionSpec, Condition, Rule
from pd_sf_rules.rules.templates import is_template

_EVENT_OF = {
    "create_incident": "trigger",
    "acknowledge_incident": "acknowledge",
    "resolve_incident": "resolve",
    "reopen_incident": "reopen",
    "set_priority": "priority_change",
    "set_urgency": "urgency_change",
    "reassign_incident": "assign",
    "add_note": "annotate",
    "set_custom_fields": "custom",
}
_STATUS_OF = {
    "acknowledge_incident": "acknowledged",
    "resolve_incident": "resolved",
    "reopen_incident": "triggered",
}
_PARAMETER_OF = {"set_priority": "priority", "set_urgency": "urgency"}
_REPEATS = ("add_note",)


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing an action changes: `target` names it, `value` is what it becomes.

    `known` is False where a template decides the value. `repeats` where doing it again changes something again.
    """

    source: Source
    object: str
    event_type: str
    target: str
    value: Any
    known: bool
    repeats: bool = False

    def facts(self) -> tuple[Condition, ...]:
        """Return what holds for the event this effect causes, as conditions."""
        found = [Condition("event.type", FieldRef("event", "type"), "equals", self.event_type)]
        if self.known and self.target:
            ref = parse_field(self.target, self.object)
            blank = self.value is None or self.value == ""
            operation = "is_blank" if blank else "equals"
            found.append(Condition(self.target, ref, operation, None if blank else self.value))
        return tuple(found)


def effects_of(rule: Rule) -> Iterator[Effect]:
    """Yield the effects of a rule's actions that can come back as an event."""
    for action in rule.actions:
        if action.kind in ("update_record", "create_record"):
            yield from _record_effects(action, rule.object)
        elif action.kind in _EVENT_OF:
            yield _incident_effect(action, rule.object)


def _record_effects(action: ActionSpec, object_name: str) -> Iterator[Effect]:
    written = action.params.get("object", object_name)
    created = action.kind == "create_record"
    repeats = created and action.params["when_linked"] == "create"
    for name, value in action.params["fields"].items():
        target, known = f"{written}.{name}", not _rendered(value)
        event_type = "created" if created else "updated"
        yield Effect(SALESFORCE, written, event_type, target, value, known, repeats)


def _incident_effect(action: ActionSpec, object_name: str) -> Effect:
    event_type = _EVENT_OF[action.kind]
    if action.kind in _STATUS_OF:
        status = _STATUS_OF[action.kind]
        return Effect(PAGERDUTY, object_name, event_type, "incident.status", status, known=True)
    if action.kind in _PARAMETER_OF:
        name = _PARAMETER_OF[action.kind]
        value = action.params[name]
        known = not _rendered(value)
        return Effect(PAGERDUTY, object_name, event_type, f"incident.{name}", value, known)
    again = action.kind in _REPEATS or action.params.get("when_linked") == "any_open"
    return Effect(PAGERDUTY, object_name, event_type, "", None, known=False, repeats=again)


def _rendered(value: Any) -> bool:
    return isinstance(value, str) and is_template(value)
