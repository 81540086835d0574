"""Both connections tried live, for the summary: one try serves everybody who looks within a few seconds."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pd_sf_rules.pipeline.status import ConnectionState, try_connections
from pd_sf_rules.settings import Integration
from pd_sf_rules.web import opened

FRESH_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Tried:
    """What both services answered, and when."""

    connections: Sequence[ConnectionState]
    at: datetime


_tried: dict[str, tuple[float, Tried]] = {}
_trying: dict[str, threading.Lock] = {}
_guard = threading.Lock()


def tried(integration: Integration) -> Tried:
    """Ask both services, unless somebody did a moment ago; two who ask at once share one answer.

    Takes as long as the services do (a few seconds where one does not answer): call it in a thread of its own.
    Raises the errors of the ledger.
    """
    asked_at = time.monotonic()
    with _guard:
        lock = _trying.setdefault(integration.name, threading.Lock())
    with lock:
        known = _tried.get(integration.name)
        if known is not None and asked_at - known[0] < FRESH_SECONDS:
            return known[1]
        found = Tried(
            try_connections(opened.ledger(), integration, opened.connect), datetime.now(UTC)
        )
        _tried[integration.name] = (time.monotonic(), found)
        return found


def last_tried(integration: Integration) -> Tried | None:
    """Return what the services answered a moment ago, None when nobody asked lately."""
    moment, last = _tried.get(integration.name, (-FRESH_SECONDS, None))
    return last if time.monotonic() - moment < FRESH_SECONDS else None
