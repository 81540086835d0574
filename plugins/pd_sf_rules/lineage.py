"""One JSON object a run: what was read, decided and done, by which version of which rule."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

CAP = 200
"""Most actions one lineage lists; all of them are in the ledger under the run id."""

LONGEST = 200
"""Most characters of a name that a rule file or a server gave: a lineage travels through XCom, and stays small."""

HELD = "held"
"""The error kind of an action that a breaker holds until a person decides."""


class DoneAction(Protocol):
    """What lineage tells of an action."""

    @property
    def event_id(self) -> str: ...
    @property
    def record_id(self) -> str | None: ...
    @property
    def incident_id(self) -> str | None: ...
    @property
    def ruleset(self) -> str: ...
    @property
    def ruleset_version(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def target(self) -> str | None: ...
    @property
    def attempt(self) -> int: ...
    @property
    def error_kind(self) -> str: ...


def lineage(
    *,
    run_id: str,
    integration: str,
    direction: str,
    window: tuple[datetime, datetime] | None,
    counts: Mapping[str, int],
    actions: Sequence[DoneAction],
    dry_run: bool = False,
) -> dict[str, Any]:
    """Return the lineage object of interfaces.md. It names ids, rules and outcomes, and holds no field of a record."""
    start, end = window if window else (None, None)
    return {
        "run_id": run_id,
        "integration": integration,
        "direction": direction,
        "dry_run": dry_run,
        "window": {
            "start": start.isoformat() if start else None,
            "end": end.isoformat() if end else None,
        },
        "counts": dict(counts),
        "actions": [_told(action) for action in actions[:CAP]],
        "truncated": len(actions) > CAP,
    }


def _told(action: DoneAction) -> dict[str, Any]:
    return {
        "event": action.event_id,
        "record": action.record_id,
        "incident": action.incident_id,
        "ruleset": action.ruleset[:LONGEST],
        "ruleset_version": action.ruleset_version,
        "rule": action.rule[:LONGEST],
        "action": action.kind,
        "outcome": "held" if action.error_kind == HELD else action.state,
        "target": action.target[:LONGEST] if action.target else action.target,
        "attempt": action.attempt,
    }
