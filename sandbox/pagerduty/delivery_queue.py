"""What waits to be delivered to webhook subscribers, and what may go wrong with it on the way."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.pagerduty.shapes import Doc

if TYPE_CHECKING:
    from sandbox.pagerduty.state import PagerDutyState

DISABLED_SECONDS = 24 * 3600


@dataclass(slots=True)
class DeliveryFaults:
    """Oddities of webhook deliveries, as probabilities between 0 and 1.

    `drop`: never sent. `double`: sent twice under one webhook id. `late`: sent up to `late_seconds` later, and
    waited for by nobody, so that it comes out of order.
    """

    drop: float = 0.0
    double: float = 0.0
    late: float = 0.0
    late_seconds: float = 2.0
    seed: int = 0
    rng: random.Random = field(default_factory=random.Random, repr=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)


def put(
    state: "PagerDutyState",
    subscription: Mapping[str, Any],
    resource_id: str,
    event: Mapping[str, Any],
) -> None:
    """Queue one event for one subscription; it waits for earlier ones about the same resource."""
    faults, now = state.delivery_faults, state.clock().timestamp()
    body = json.dumps({"event": event}, separators=(",", ":"), ensure_ascii=False)
    webhook_id = state.new_id("W", 26)
    lost = faults.rng.random() < faults.drop
    late = faults.rng.random() < faults.late
    due_at = now + (faults.rng.uniform(0, faults.late_seconds) if late else 0)
    for copy in range(2 if faults.rng.random() < faults.double else 1):
        line = f"{resource_id}#{webhook_id}#{copy}" if late else resource_id
        state.store.execute(
            "INSERT INTO deliveries (subscription_id, resource_id, webhook_id, body, due_at, created_at, state)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                subscription["id"],
                line,
                webhook_id,
                body,
                due_at,
                now,
                "lost" if lost else "waiting",
            ),
        )
    state.wake()


def disable(state: "PagerDutyState", subscription: Doc) -> None:
    """Switch a subscription off for 24 hours and throw its queue away: what three drops in a row bring."""
    until = state.clock().timestamp() + DISABLED_SECONDS
    state.store.set_meta(f"disabled:{subscription['id']}", str(until))
    subscription["delivery_method"]["temporarily_disabled"] = True
    state.store.put("webhook_subscription", subscription)
    state.store.execute(
        "UPDATE deliveries SET state = 'dropped', answer = 'subscription disabled'"
        " WHERE subscription_id = ? AND state = 'waiting'",
        (subscription["id"],),
    )


def is_disabled(state: "PagerDutyState", subscription: Mapping[str, Any]) -> bool:
    """Say whether a subscription is switched off still."""
    until = float(state.store.meta(f"disabled:{subscription['id']}") or 0)
    off = subscription["delivery_method"]["temporarily_disabled"] is True
    return off and state.clock().timestamp() < until
