"""An incident of ours may show in the log before the answer to its creation is taken in, or after that was lost."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from pd_sf_rules.ledger import actions, links
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.model import Link, LogEntry, Values
from pd_sf_rules.pipeline.effects.sending import DOUBT_MARGIN
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.echo import INCIDENT_KEY_PREFIX
from pd_sf_rules.planning.kinds import CREATE_INCIDENT
from pd_sf_rules.planning.planner import incident_key
from pd_sf_rules.planning.values import instant


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


def _made(action: StoredAction, incident: Values, ahead: timedelta) -> bool:
    """Say whether this creation made the incident: it has its key, and came after the request (servers' clock)."""
    if action.record_id is None or action.sent_at is None:
        return False
    made_at = instant(str(incident.get("created_at") or ""))
    same_key = incident.get("incident_key") == incident_key(action, action.record_id)
    return same_key and made_at is not None and made_at >= action.sent_at + ahead - DOUBT_MARGIN
