"""The lineage of a run, put together from what the ledger holds under its id."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pd_sf_rules.ledger import actions, links, runs
from pd_sf_rules.lineage import CAP, HELD, lineage
from pd_sf_rules.pipeline.outcomes import UNLINKED
from pd_sf_rules.pipeline.pulled import Pulled
from pd_sf_rules.pipeline.run import Direction, Run, utc_now


def record_lineage(
    run: Run,
    direction: Direction,
    pulled: Sequence[Pulled],
    evaluated: Mapping[str, int],
    *,
    started_at: datetime | None = None,
) -> dict[str, Any]:
    """Return the lineage object of this run and keep it in the ledger."""
    with run.ledger.read() as c:
        touched = actions.find_actions(c, integration=run.name, run_id=run.id, limit=1_000_000)
    touched.sort(key=lambda a: (a.event_occurred_at, a.event_seq, a.position))
    states = [action.state for action in touched]
    counts = {
        "pulled": sum(one.new for one in pulled),
        "evaluated": evaluated.get("evaluated", 0),
        "matched": evaluated.get("matched", 0),
        "applied": states.count("applied"),
        "skipped": states.count("skipped"),
        "failed": sum(_has_failed(action) for action in touched),
        "held": sum(action.error_kind == HELD for action in touched),
    }
    window = _span(pulled)
    told = lineage(
        run_id=run.id,
        integration=run.name,
        direction=direction,
        window=window,
        counts=counts,
        actions=_paired(run, touched[:CAP]) + touched[CAP:],
    )
    with run.ledger.begin() as c:
        runs.save_run(
            c,
            runs.Run(
                run_id=run.id,
                integration=run.name,
                direction=direction,
                window_start=window[0] if window else None,
                window_end=window[1] if window else None,
                lineage=told,
                started_at=started_at or utc_now(),
                finished_at=utc_now(),
            ),
        )
    return told


def _paired(run: Run, touched: Sequence[actions.StoredAction]) -> list[actions.StoredAction]:
    """Return the actions with both sides of their pair: the event named one, the link knows the other."""
    with run.ledger.read() as c:
        of_record = links.links_of_records(
            c, run.name, {a.record_id for a in touched if a.record_id}
        )
        of_incident = links.links_of_incidents(
            c, run.name, {a.incident_id for a in touched if a.incident_id}
        )
    paired = []
    for action in touched:
        by_record = of_record.get(action.record_id or "", ())
        by_incident = of_incident.get(action.incident_id or "", ())
        record = action.record_id or next((link.record_id for link in by_incident), None)
        incident = action.incident_id or next((link.incident_id for link in by_record[::-1]), None)
        paired.append(replace(action, record_id=record, incident_id=incident))
    return paired


def _has_failed(action: actions.StoredAction) -> bool:
    """Say whether the last attempt failed; a text that waits for its pair has not."""
    tried = action.state == "failed" or (action.state in {"pending", "claimed"} and action.message)
    return bool(tried) and action.error_kind not in {UNLINKED, HELD}


def _span(pulled: Sequence[Pulled]) -> tuple[datetime, datetime] | None:
    if not pulled:
        return None
    return min(p.window.start for p in pulled), max(p.window.end for p in pulled)
