"""Whether an incident's log shows what a request asked for whose answer was lost."""

from pd_sf_rules.ledger import events
from pd_sf_rules.model import PAGERDUTY
from pd_sf_rules.pipeline.expected import awaited
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.pull_pagerduty import event_id
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.planning.echo import match_entry
from pd_sf_rules.systems.pagerduty.changes import log_entries_of


def shown_in_log(run: Run, task: Task, incident_id: str) -> bool:
    """Say whether this action's change was made, though the incident may stand otherwise by now.

    Entries are matched as the pull would match them: what it took in already, and what other actions of ours
    await, is not counted for this one. Raises SyncError when the log cannot be read.
    """
    with run.ledger.read() as c:
        if events.is_echoed(c, run.name, incident_id, task.action.id):
            return True
        waiting = awaited(c, run.name, PAGERDUTY, [incident_id])
    if all(one.action_id != task.action.id for one in waiting):
        return False
    entries = log_entries_of(run.pagerduty, incident_id)
    our_user_id = run.pagerduty.user_id()
    with run.ledger.read() as c:
        known = events.known_ids(c, [event_id(run, entry) for entry in entries])
    for entry in entries:
        if event_id(run, entry) in known:
            continue
        met = match_entry(entry, waiting, our_user_id=our_user_id)
        if met is None:
            continue
        if met.action_id == task.action.id:
            return True
        waiting.remove(met)
    return False
