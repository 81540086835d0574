"""The link between a record and an incident, added by the action that made one of the two."""

from sqlalchemy import Connection

from pd_sf_rules.ledger import links
from pd_sf_rules.model import Link
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.run import Run, utc_now


def link_pair(
    c: Connection, run: Run, task: Task, name: str, record_id: str, incident_id: str
) -> None:
    """Link a record of object `name` and an incident in the name of the task's ruleset."""
    links.add_link(c, Link(run.name, name, record_id, incident_id, task.action.ruleset, utc_now()))
