"""The lineage of a run, put together from what the ledger holds under its id."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pd_sf_rules.ledger import actions, links, runs, waiting
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
        ended = waiting.counts_of_run(c, run.name, run.id)
        touched = actions.actions_of_run(c, run.name, run.id, limit=CAP + 1)
    counts = {
        "pulled": sum(one.new for one in pulled),
        "evaluated": evaluated.get("evaluated", 0),
        "matched": evaluated.get("matched", 0),
        "applied": _sum(ended, lambda state, *_: state == "applied"),
        "skipped": _sum(ended, lambda state, *_: state == "skipped"),
        "failed": _sum(ended, _has_failed),
        "held": _sum(ended, lambda _, kind, __: kind == HELD),
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


def _sum(ended: Mapping[tuple[str, str, bool], int], fits: Callable[[str, str, bool], bool]) -> int:
    return sum(number for (state, kind, said), number in ended.items() if fits(state, kind, said))


def _has_failed(state: str, kind: str, said: bool) -> bool:  # noqa: FBT001 - whether there is a message
    """Say whether the last attempt failed; a text that waits for its pair has not."""
    tried = state == "failed" or (state in {"pending", "claimed"} and said)
    return tried and kind not in {UNLINKED, HELD}


def _span(pulled: Sequence[Pulled]) -> tuple[datetime, datetime] | None:
    if not pulled:
        return None
    return min(p.window.start for p in pulled), max(p.window.end for p in pulled)
