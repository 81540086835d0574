"""Verdicts in, plan out: the ordered actions of every rule that matched one event."""

from collections.abc import Iterable, Sequence

from pd_sf_rules.model import Action, Event
from pd_sf_rules.planning.echo import INCIDENT_KEY_PREFIX
from pd_sf_rules.planning.values import digest
from pd_sf_rules.rules.ruleset import Rule, Ruleset

NOTE_SYNC = "note sync"


def plan(event: Event, matches: Iterable[tuple[Ruleset, Rule]]) -> tuple[Action, ...]:
    """Return the actions of the matched rules, in the order written.

    The same event and the same rules give the same ids, so planning again adds nothing.
    """
    return tuple(
        Action(
            id=digest(event.id, ruleset.name, rule.name, position),
            event_id=event.id,
            integration=event.integration,
            ruleset=ruleset.name,
            ruleset_version=ruleset.version,
            rule=rule.name,
            position=position,
            kind=spec.kind,
            params=spec.params,
            mode=ruleset.mode,
            object=rule.object,
            record_id=event.record_id,
            incident_id=event.incident_id,
            scope=rule.scope,
        )
        for ruleset, rule in matches
        for position, spec in enumerate(rule.actions)
    )


def plan_copy(event: Event, kind: str) -> Sequence[Action]:
    """Return the one action that carries a comment or a note to the other side."""
    return (
        Action(
            id=digest(event.id, NOTE_SYNC, kind, 0),
            event_id=event.id,
            integration=event.integration,
            ruleset=NOTE_SYNC,
            ruleset_version="",
            rule=kind.replace("_", " "),
            position=0,
            kind=kind,
            params={},
            mode="live",
            object=event.object,
            record_id=event.record_id,
            incident_id=event.incident_id,
        ),
    )


def incident_key(action: Action, record_id: str) -> str:
    """Return the key under which PagerDuty refuses a second open incident for the same record and service.

    It depends on the record alone, so that not even a lost ledger pages twice; an action that may create
    beside an open incident (`when_linked: any_open`) has a key of its own.
    """
    key = f"{INCIDENT_KEY_PREFIX}{action.integration}-{record_id}"
    if action.params.get("when_linked") == "any_open":
        key += f"-{action.id[:8]}"
    return key
