"""The last step: cursors move, once everything read up to there is recorded and was tried."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection

from pd_sf_rules.ledger import cursors
from pd_sf_rules.pipeline.looks import NEWEST
from pd_sf_rules.pipeline.pulled import Pulled
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.planning.windows import next_position


def commit(run: Run, pulled: Iterable[Pulled]) -> dict[str, str]:
    """Move the cursor of each live pull to the end of its window; return the new positions by stream, ISO 8601.

    A backfill's or hand-given window leaves its cursor alone. A cursor never moves back.
    """
    moved: dict[str, str] = {}
    with run.ledger.begin() as c:
        for one in pulled:
            if one.window.moves_cursor:
                to = next_position(one.window, one.held_back)
                cursors.move_cursor(c, run.name, one.stream, to, extra=_seen(c, run, one))
                moved[one.stream] = to.isoformat()
    return moved


def _seen(c: Connection, run: Run, one: Pulled) -> dict[str, str]:
    """Return what is kept beside the position: the newest stamp that was ever seen."""
    cursor = cursors.get_cursor(c, run.name, one.stream)
    before = cursor.extra.get(NEWEST) if cursor else None
    stamps = [one.newest, datetime.fromisoformat(before) if before else None]
    newest = max((stamp for stamp in stamps if stamp is not None), default=None)
    return {NEWEST: newest.isoformat()} if newest else {}
