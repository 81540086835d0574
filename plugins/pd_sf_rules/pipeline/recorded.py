"""Which fields a rule needs that an event was recorded without: no rule named them then."""

from collections.abc import Iterator, Sequence

from pd_sf_rules.ledger.events import StoredEvent
from pd_sf_rules.model import SALESFORCE, ConditionTrace, Values
from pd_sf_rules.pipeline.evaluate import LINKED
from pd_sf_rules.rules.fields import CUSTOM_FIELDS
from pd_sf_rules.rules.ruleset import Condition, Rule, When


def unrecorded(event: StoredEvent, rule: Rule, traces: Sequence[ConditionTrace]) -> list[str]:
    """Return the fields without which nobody can say whether the rule fits; [] where it is decided all the same.

    `traces` are the rule's conditions as judged with what was recorded, in the order written.
    """
    if not traces:
        return []  # not considered: an earlier rule said stop
    missing: list[str] = []
    decided = _decided(event, rule, rule.when, iter(traces), missing)
    return [] if decided is not None else list(dict.fromkeys(missing))


def _decided(
    event: StoredEvent,
    rule: Rule,
    when: When,
    traces: Iterator[ConditionTrace],
    missing: list[str],
) -> bool | None:
    """Judge a condition tree with three values: None where an unrecorded field decides."""
    if isinstance(when, Condition):
        trace = next(traces)
        if _is_recorded(event, rule, when):
            return trace.held
        missing.append(when.name)
        return None
    told = [_decided(event, rule, member, traces, missing) for member in when.members]
    if when.kind == "not":
        return None if told[0] is None else not told[0]
    stops = when.kind == "any"
    if stops in told:
        return stops
    return None if None in told else not stops


def _is_recorded(event: StoredEvent, rule: Rule, condition: Condition) -> bool:
    side, path = condition.ref.side, condition.ref.path
    if side == "event":
        return True
    own = SALESFORCE if side == "record" else "pagerduty"
    if event.source == own:
        values = event.record if side == "record" else event.incident
        return path in values or (side == "incident" and not path.startswith(CUSTOM_FIELDS))
    other = event.incident if side == "incident" else _linked(event, rule.object)
    return path in other if other is not None and other else not _was_linked(event, rule, side)


def _linked(event: StoredEvent, object_name: str) -> Values | None:
    linked = event.detail.get(LINKED)
    return linked.get(object_name) if isinstance(linked, dict) else None


def _was_linked(event: StoredEvent, rule: Rule, side: str) -> bool:
    """Say whether there was another side whose values are not known; where none was, its fields are blank."""
    linked = event.detail.get(LINKED)
    if side == "record" and isinstance(linked, dict):
        return rule.object in linked
    return bool(event.linked_by)
