"""Incidents that have just come to be: ours before the answer to their creation, others before the log tells it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from pd_sf_rules.ledger import actions, events, links
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.model import Link, LogEntry, Values
from pd_sf_rules.pipeline.effects.sending import DOUBT_MARGIN
from pd_sf_rules.pipeline.looks import Look
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.echo import INCIDENT_KEY_PREFIX
from pd_sf_rules.planning.kinds import CREATE_INCIDENT
from pd_sf_rules.planning.planner import incident_key
from pd_sf_rules.planning.values import instant
from pd_sf_rules.planning.windows import CLOCK_DOUBT, OVERLAP


def link_newborns(
    c: Connection, run: Run, entries: Sequence[LogEntry], *, server_now: datetime
) -> None:
    """Link the incidents of these entries that a creation under way, or in doubt, has made, by their key.

    Without it what people do to such an incident would find no record. The creation learns that it is done.
    """
    ours = {
        one.incident_id: one.incident
        for one in entries
        if str(one.incident.get("incident_key") or "").startswith(INCIDENT_KEY_PREFIX)
    }
    unlinked = set(ours) - links.links_of_incidents(c, run.name, ours).keys()
    if not unlinked:
        return
    waiting = [
        action
        for action in actions.doubtful_actions(c, run.name, kind=CREATE_INCIDENT)
        if not action.answer
    ]
    ahead = server_now - utc_now()
    for incident_id in sorted(unlinked):
        maker = next((a for a in waiting if _made(a, ours[incident_id], ahead)), None)
        if maker is not None:
            link = Link(
                run.name,
                maker.object or "",
                maker.record_id or "",
                incident_id,
                maker.ruleset,
                utc_now(),
            )
            links.add_link(c, link)
            actions.note_progress(c, maker.id, answer={"done": [incident_id]})
            waiting.remove(maker)


def too_early(
    c: Connection,
    run: Run,
    fresh: Sequence[LogEntry],
    at: Look,
    entries: Sequence[LogEntry],
) -> set[str]:
    """Return the ids of those fresh entries that the log shows before the one of their incident's creation.

    What that one causes (a record, say) has to be there first, so they are left for a later look: for as long as the
    log may show it late. An incident that is linked, or was there before the sync, needs nothing of it.
    """
    since = max(at.started_at, at.window.end - OVERLAP - CLOCK_DOUBT)
    young = {
        one.incident_id
        for one in fresh
        if at.window.moves_cursor
        and not at.is_old(one.created_at)
        and one.created_at > at.window.end - OVERLAP
        and (made := instant(str(one.incident.get("created_at") or ""))) is not None
        and made >= since
    }
    young -= {one.incident_id for one in entries if one.type == "trigger"}
    if not young:
        return set()
    young -= events.incidents_with(c, run.name, young, "trigger")
    young -= links.links_of_incidents(c, run.name, young).keys()
    return {one.id for one in fresh if one.incident_id in young}


def _made(action: StoredAction, incident: Values, ahead: timedelta) -> bool:
    """Say whether this creation made the incident: it has its key, and came after the request (servers' clock)."""
    if action.record_id is None or action.sent_at is None:
        return False
    made_at = instant(str(incident.get("created_at") or ""))
    same_key = incident.get("incident_key") == incident_key(action, action.record_id)
    return same_key and made_at is not None and made_at >= action.sent_at + ahead - DOUBT_MARGIN
