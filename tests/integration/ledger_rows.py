"""Events and actions for ledger tests, with everything that a test does not care about filled in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.ledger import actions, events
from pd_sf_rules.model import Action, Event

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def later(seconds: float) -> datetime:
    """That many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def an_event(event_id: str = "event-1", **changes: Any) -> Event:
    """A created Case."""
    event = Event(
        id=event_id,
        integration="default",
        source="salesforce",
        type="created",
        occurred_at=NOW,
        agent="Ada",
        object="Case",
        record_id="500000000000001AAA",
    )
    return replace(event, **changes)


def an_action(action_id: str = "action-1", **changes: Any) -> Action:
    """A live create_incident of that Case."""
    action = Action(
        id=action_id,
        event_id="event-1",
        integration="default",
        ruleset="Critical cases",
        ruleset_version="0123456789ab",
        rule="Page support",
        position=0,
        kind="create_incident",
        params={"service": "Support"},
        mode="live",
        object="Case",
        record_id="500000000000001AAA",
        incident_id=None,
    )
    return replace(action, **changes)


def plan(c: Connection, *ids: str) -> list[str]:
    """Put actions of those ids into the outbox, with their event; returns the ids."""
    events.add_event(c, an_event())
    actions.add_actions(c, [an_action(action_id) for action_id in ids], now=NOW)
    return list(ids)
