"""Drift: every linked pair compared on both sides with what the ledger last knew, reported, repaired if told to.

Repairs write nothing by themselves: a missed change goes through the inbox, the rules and the outbox like any other.
"""

from collections import Counter
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pd_sf_rules.ledger import cursors, links, runs
from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.pipeline.budgets import shed
from pd_sf_rules.pipeline.drift.findings import LISTED, Look, Pairs
from pd_sf_rules.pipeline.drift.incidents import compare_incidents
from pd_sf_rules.pipeline.drift.notes import compare_comments, compare_notes
from pd_sf_rules.pipeline.drift.records import compare_records
from pd_sf_rules.pipeline.drift.rules import compare_with_rules
from pd_sf_rules.pipeline.rulebook import load_rulebook
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.pipeline.sync import PATIENCE_SECONDS, judge_pending

STREAM = "reconcile"
MAX_CALLS = 500


def reconcile(run: Run, *, repair: bool = False, max_calls: int = MAX_CALLS) -> dict[str, Any]:
    """Compare all linked pairs; return the report, and keep it in the ledger under the run id.

    The report: `counts` (pairs, findings, repaired, calls, and each kind), `findings` (drift/findings.py; at most
    200), `complete` (False where `max_calls` or the API reserve ended it), `skipped` (why nothing was compared),
    `applied` (counts by direction, of what repairs set going). Raises the errors of the systems.
    """
    started_at = utc_now()
    why = shed(run.ledger, run.integration)
    look = Look(run, repair, max_calls)
    pairs = _pairs(run)
    if why or not pairs.by_record:
        return _keep(look, pairs, started_at, applied={}, skipped=why)
    rulebook = load_rulebook(run)
    compare_records(look, rulebook, pairs)
    compare_incidents(look, pairs)
    compare_with_rules(look, rulebook, pairs)
    compare_comments(look, pairs)
    _move_on(run, compare_notes(look, pairs, after=_left_off(run)))
    return _keep(look, pairs, started_at, applied=_carry_out(look), skipped="")


def _pairs(run: Run) -> Pairs:
    pairs = Pairs()
    with run.ledger.read() as c:
        for link in links.all_links(c, run.name):
            pairs.add(link)
    return pairs


def _carry_out(look: Look) -> dict[str, dict[str, int]]:
    """Judge what repairs put into the inbox, and carry out what follows."""
    applied: dict[str, dict[str, int]] = {}
    for direction in look.directions():
        judge_pending(look.run, direction)
        applied[direction] = apply(look.run, direction, patience=PATIENCE_SECONDS)
    return applied


def _left_off(run: Run) -> str:
    """Return the incident behind which the last look at notes had to stop, "" when it came to the end."""
    with run.ledger.read() as c:
        cursor = cursors.get_cursor(c, run.name, STREAM)
    return str(cursor.extra.get("notes_after", "")) if cursor else ""


def _move_on(run: Run, notes_after: str) -> None:
    now = utc_now()
    with run.ledger.begin() as c:
        cursors.start_cursor(c, run.name, STREAM, now)
        cursors.move_cursor(c, run.name, STREAM, now, extra={"notes_after": notes_after})


def _keep(
    look: Look,
    pairs: Pairs,
    started_at: datetime,
    *,
    applied: dict[str, dict[str, int]],
    skipped: str,
) -> dict[str, Any]:
    run, found = look.run, look.findings
    report: dict[str, Any] = {
        "run_id": run.id,
        "integration": run.name,
        "direction": STREAM,
        "repair": look.repair,
        "complete": look.complete and not skipped,
        "skipped": skipped,
        "counts": {
            "pairs": sum(len(some) for some in pairs.by_record.values()),
            "findings": len(found),
            "repaired": sum(one.repaired for one in found),
            "calls": look.calls,
            **Counter(str(one.kind) for one in found),
        },
        "findings": [asdict(one) for one in found[:LISTED]],
        "truncated": len(found) > LISTED,
        "applied": applied,
    }
    with run.ledger.begin() as c:
        runs.save_run(
            c,
            runs.Run(
                run_id=run.id,
                integration=run.name,
                direction=STREAM,
                window_start=None,
                window_end=None,
                lineage=report,
                started_at=started_at,
                finished_at=utc_now(),
            ),
        )
    return report
