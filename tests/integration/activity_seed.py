"""A ledger with a long past, made quickly: events of both sides, what rules said, what was done and answered."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert

from pd_sf_rules.ledger import Ledger
from pd_sf_rules.ledger.tables import actions, attempts, events
from tests.integration.ledger_rows import NOW

BATCH = 5000
RULES = [(f"Ruleset {n % 5}", f"Rule {n}") for n in range(20)]
BUSY = ("Ruleset 0", "Rule 0")
RARE = ("Ruleset 4", "Rule 19")


def seed(
    ledger: Ledger,
    count: int,
    *,
    integration: str = "default",
    start: datetime = NOW,
    first: int = 0,
) -> None:
    """Write `count` events, a second apart; one in ten matches a rule, one in a thousand fails for good.

    `first` is the number of the first one, where others were written before.
    """
    for at in range(first, first + count, BATCH):
        numbers = range(at, min(at + BATCH, first + count))
        with ledger.begin() as c:
            _write(c, integration, start, numbers)


def matches(n: int) -> bool:
    """Whether event number n matches a rule."""
    return n % 10 == 3


def _write(c: Connection, integration: str, start: datetime, numbers: range) -> None:
    c.execute(insert(events), [_event(integration, start, n) for n in numbers])
    hits = [n for n in numbers if matches(n)]
    if hits:
        c.execute(insert(actions), [_action(integration, start, n) for n in hits])
        tried = [one for n in hits for one in _attempts(integration, start, n)]
        c.execute(insert(attempts), tried)


def rule_of(n: int) -> tuple[str, str]:
    """Which rule matches event number n: the rare one almost never, the busy one half of the time."""
    if n % 50_000 == 3:
        return RARE
    return BUSY if n % 20 == 3 else RULES[1 + (n // 10) % 18]


def _event(integration: str, start: datetime, n: int) -> dict[str, Any]:
    at = start + timedelta(seconds=n)
    salesforce = n % 2 == 1
    hit = rule_of(n) if matches(n) else None
    state = "echo" if n % 7 == 0 else "evaluated"
    values = {"Priority": "High", "Status": "Escalated", "Subject": f"Case number {n} is on fire"}
    return {
        "id": f"{'' if salesforce else 'pagerduty:'}{integration}-{n}",
        "integration": integration,
        "source": "salesforce" if salesforce else "pagerduty",
        "type": "updated" if salesforce else "acknowledge",
        "object": "Case" if salesforce else None,
        "record_id": record_of(n) if salesforce else None,
        "incident_id": None if salesforce else f"P{n % 4000}",
        "occurred_at": at - timedelta(seconds=1),
        "agent": "Ada",
        "payload": {
            "record": values if salesforce else {},
            "old": {**values, "Priority": "Low"} if salesforce else {},
            "incident": {} if salesforce else {"status": "acknowledged", "title": f"Incident {n}"},
            "old_incident": {},
            "detail": {},
            "linked_by": [],
        },
        "state": "evaluated" if hit else state,
        "verdicts": list(_verdicts(hit)) if hit or state == "evaluated" else None,
        "matched": f"{hit[0]} / {hit[1]}" if hit else "" if state == "evaluated" else None,
        "run_id": f"salesforce_to_pagerduty/run-{n // 50}",
        "received_at": at,
        "evaluated_at": at + timedelta(milliseconds=200) if hit or state == "evaluated" else None,
    }


def record_of(n: int) -> str:
    """The record of event number n."""
    return f"500{n % 4000:012d}AAA"


def _verdicts(hit: tuple[str, str] | None) -> Iterator[dict[str, Any]]:
    for ruleset, rule in RULES[:6]:
        yield {
            "ruleset": ruleset,
            "ruleset_version": "0123456789ab",
            "mode": "live",
            "rule": rule,
            "matched": (ruleset, rule) == hit,
            "reason": "Priority is High, which is not Low.",
            "conditions": [
                {"field": "Case.Priority", "operation": "equals", "expected": "Low", "value": "High",
                 "old": "Low", "held": False, "note": ""}
            ],
        }  # fmt: skip


def _action(integration: str, start: datetime, n: int) -> dict[str, Any]:
    event = _event(integration, start, n)
    ruleset, rule = rule_of(n)
    failed = n % 1000 == 503
    return {
        "id": f"{integration}-action-{n}",
        "event_id": event["id"],
        "event_occurred_at": event["occurred_at"],
        "event_seq": n,
        "ordinal": 0,
        "integration": integration,
        "ruleset": ruleset,
        "ruleset_version": "0123456789ab",
        "rule": rule,
        "position": 0,
        "kind": "create_incident",
        "params": {"service": "Support"},
        "mode": "live",
        "object": event["object"],
        "record_id": event["record_id"],
        "incident_id": event["incident_id"],
        "scope": "all",
        "state": "failed" if failed else "applied",
        "attempt": 1,
        "target": None if failed else f"P{n % 4000}",
        "message": f"PagerDuty refused number {n}: Title is cursed." if failed else "",
        "error_kind": "refused" if failed else "",
        "run_id": event["run_id"],
        "created_at": event["evaluated_at"],
        "updated_at": event["evaluated_at"],
        "sent_in_claim": False,
    }


def _attempts(integration: str, start: datetime, n: int) -> Iterator[dict[str, Any]]:
    action = _action(integration, start, n)
    ended = action["created_at"] + timedelta(milliseconds=300)
    yield {
        "action_id": action["id"],
        "attempt": 1,
        "state": action["state"],
        "message": action["message"],
        "error_kind": action["error_kind"],
        "target": action["target"],
        "request": {"title": f"Case {n}", "service": "PSVC1"},
        "answer": {"id": f"P{n}"},
        "run_id": action["run_id"],
        "sent_at": action["created_at"],
        "ended_at": ended,
        "integration": integration,
        "ruleset": action["ruleset"],
        "rule": action["rule"],
    }
