"""What our own writes will look like when the other side shows them to us."""

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.ledger import expectations
from pd_sf_rules.model import Source
from pd_sf_rules.planning.echo import Expected


def announce(
    c: Connection,
    integration: str,
    system: Source,
    target_id: str,
    effects: Mapping[str, Any],
    *,
    action_id: str,
    now: datetime,
) -> None:
    """Write down what a write will cause, before it goes out; `now` is the clock of `system`."""
    texts = {effect: json.dumps(value) for effect, value in effects.items()}
    expectations.expect(c, integration, system, target_id, texts, action_id=action_id, now=now)


def awaited(
    c: Connection, integration: str, system: Source, target_ids: Collection[str]
) -> list[Expected]:
    """Return the announced effects on these targets that have not been seen yet."""
    return [
        Expected(e.id, e.target_id, e.effect, json.loads(e.value), e.action_id, e.expected_at)
        for e in expectations.open_expectations(c, integration, system, target_ids)
    ]
