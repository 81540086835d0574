"""What an action needs before it can go out: its event, its pair, the other side as it is now, its texts rendered."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.errors import RefusedError, RetryableError, SyncError
from pd_sf_rules.ledger import events, links
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.model import SALESFORCE, Action, Event, Link, Values
from pd_sf_rules.pipeline.rulebook import learn_watched
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.planning.kinds import CREATE_INCIDENT, CREATE_RECORD, needs_incident
from pd_sf_rules.rules.templates import names, render_params, template_context
from pd_sf_rules.systems.pagerduty.incidents import fetch_incidents
from pd_sf_rules.systems.salesforce.changes import fetch_records

_log = logging.getLogger(__name__)

RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Task:
    """One claimed action, ready to be carried out.

    `incidents` are the incidents of its pair as they are now (empty unless the action needs them), oldest
    link first; `params` its parameters with every template rendered.
    """

    action: StoredAction
    event: Event
    links: Sequence[Link]
    incidents: Mapping[str, Values]
    params: Mapping[str, Any]

    @property
    def records(self) -> list[tuple[str, str]]:
        """The (object, record id) it writes to: the event's record, or the linked ones of the rule's object."""
        if self.event.source == SALESFORCE and self.event.record_id:
            return [(self.event.object or "", self.event.record_id)]
        wanted = (self.action.object or "").casefold()
        mine = [link for link in self.links if link.object.casefold() == wanted]
        return list(dict.fromkeys((link.object, link.record_id) for link in mine))

    def open_incidents(self) -> list[str]:
        """Return the ids of the pair's incidents that are not resolved."""
        return [i for i, values in self.incidents.items() if values.get("status") != RESOLVED]


def prepare(
    run: Run, claimed: Sequence[StoredAction]
) -> tuple[list[Task], list[tuple[StoredAction, SyncError]]]:
    """Return the tasks that are ready, and the actions that cannot be prepared with the error of each."""
    with run.ledger.read() as c:
        found = _events(c, claimed)
        linked = _links(c, run, claimed, found)
    ready: list[Task] = []
    refused: list[tuple[StoredAction, SyncError]] = []
    incidents: dict[str, Values] = {}
    errors = _read_incidents(run, claimed, linked, incidents)
    for action in claimed:
        ids = _incident_ids(action, linked[action.id])
        unread = next((errors[i] for i in ids if i in errors), None)
        if unread is not None and _wants_incidents(action):
            refused.append((action, unread))
            continue
        try:
            of_pair = {i: incidents[i] for i in ids if i in incidents}
            task = Task(action, found[action.event_id], linked[action.id], of_pair, {})
            ready.append(replace(task, params=_rendered(run, task)))
        except SyncError as error:
            refused.append((action, error))
        except Exception as fault:  # noqa: BLE001  recorded by the caller: the other actions go on
            refused.append((action, our_fault(fault)))
    return ready, refused


class OurFaultError(RetryableError):
    """This program stopped at an error of its own; the next version of it may not."""


def our_fault(error: Exception) -> OurFaultError:
    """Log an error that nobody foresaw, and return what is recorded of it: its kind, not its words."""
    _log.error("An action stopped at an error of this program.", exc_info=error)
    kind = type(error).__name__
    return OurFaultError(f"This program stopped at a {kind}.", hint="The log has the details.")


def _events(c: Connection, claimed: Sequence[StoredAction]) -> dict[str, Event]:
    wanted = {action.event_id for action in claimed}
    found = events.get_events(c, wanted)
    if unknown := sorted(wanted - found.keys()):
        raise LookupError(f"The ledger holds an action of the unknown event {unknown[0]}.")
    return found


def _links(
    c: Connection, run: Run, plans: Sequence[Action], found: Mapping[str, Event]
) -> dict[str, list[Link]]:
    """Return the links of each action's pair that its scope allows, by action id.

    An action that creates one side also sees what else is linked to the other: that is what it asks first.
    """
    by_record = links.links_of_records(c, run.name, [a.record_id for a in plans if a.record_id])
    by_incident = links.links_of_incidents(
        c, run.name, [a.incident_id for a in plans if a.incident_id]
    )
    chosen: dict[str, list[Link]] = {}
    for action in plans:
        from_salesforce = found[action.event_id].source == SALESFORCE
        pair = (
            by_record.get(action.record_id or "", [])
            if from_salesforce
            else by_incident.get(action.incident_id or "", [])
        )
        if action.kind == CREATE_RECORD and from_salesforce:
            beside = links.links_of_incidents(c, run.name, {link.incident_id for link in pair})
            pair = [*pair, *(link for some in beside.values() for link in some)]
        elif action.kind == CREATE_INCIDENT and not from_salesforce:
            beside = links.links_of_records(c, run.name, {link.record_id for link in pair})
            pair = [*pair, *(link for some in beside.values() for link in some)]
        mine = action.scope == "all"
        allowed = [link for link in pair if mine or link.ruleset == action.ruleset]
        chosen[action.id] = list(dict.fromkeys(allowed))
    return chosen


def _incident_ids(action: Action, pair: Sequence[Link]) -> list[str]:
    if action.incident_id and action.kind != CREATE_INCIDENT:
        return [action.incident_id]
    return list(dict.fromkeys(link.incident_id for link in pair))


def _wants_incidents(action: Action) -> bool:
    if needs_incident(action.kind) or action.kind in {CREATE_INCIDENT, CREATE_RECORD}:
        return True
    return any(n.split(".")[0] == "incident" or n == "links.incident_url" for n in _named(action))


def _named(action: Action) -> frozenset[str]:
    return frozenset().union(*(names(text) for text in _texts(action.params)))


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _read_incidents(
    run: Run,
    plans: Sequence[Action],
    linked: Mapping[str, Sequence[Link]],
    incidents: dict[str, Values],
) -> dict[str, SyncError]:
    """Fill `incidents` with the incidents these actions need, as they are now; return what went wrong, by incident."""
    wanting = [action for action in plans if _wants_incidents(action)]
    wanted = {i for action in wanting for i in _incident_ids(action, linked[action.id])}
    custom = any(n.startswith("incident.custom_fields") for a in wanting for n in _named(a))
    if not wanted:
        return {}
    try:
        incidents |= fetch_incidents(run.pagerduty, sorted(wanted), custom_fields=custom)
    except RefusedError:
        # One incident that this user may not see is no reason to leave the others.
        return _read_singly(run, sorted(wanted), incidents, custom=custom)
    except SyncError as error:
        return dict.fromkeys(wanted, error)
    return {}


def _read_singly(
    run: Run, ids: Sequence[str], incidents: dict[str, Values], *, custom: bool
) -> dict[str, SyncError]:
    errors: dict[str, SyncError] = {}
    for one in ids:
        try:
            incidents |= fetch_incidents(run.pagerduty, [one], custom_fields=custom)
        except SyncError as error:
            errors[one] = error
    return errors


def _rendered(run: Run, task: Task) -> Mapping[str, Any]:
    """Render the parameters; raises ConfigError for a template that names what is not there."""
    named = _named(task.action)
    if not named:
        return task.action.params
    event = _with_both_sides(run, task, named)
    records = task.records
    urls = {
        "record_url": run.record_url(*records[0])
        if records and "links.record_url" in named
        else "",
        "incident_url": str(event.incident.get("html_url") or ""),
    }
    rule = {
        "name": task.action.rule,
        "object": task.action.object,
        "ruleset": task.action.ruleset,
        "version": task.action.ruleset_version,
    }
    return render_params(task.action.params, template_context(event, rule=rule, links=urls))


def _with_both_sides(run: Run, task: Task, named: frozenset[str]) -> Event:
    event = task.event
    if event.source == SALESFORCE:
        # Resolved meanwhile, the newest is still the pair's incident: its address must not render as nothing.
        newest = (task.open_incidents() or list(task.incidents))[-1:]
        event = replace(event, incident=task.incidents[newest[0]] if newest else event.incident)
    wanted = {n.removeprefix("record.") for n in named if n.startswith("record.")}
    fresh = sorted(wanted.difference(event.record))
    if not fresh or not task.records:
        return event
    object_name, record_id = task.records[0]
    found = _read_record(run, object_name, record_id, fresh)
    return replace(event, object=object_name, record={**event.record, **found})


def _read_record(run: Run, object_name: str, record_id: str, fields: Sequence[str]) -> Values:
    """Read what the event did not bring: all of a linked record, or a field that only the mended file names.

    A field that the org does not have is left out, so that the template's own error names it.
    """
    gone = dict.fromkeys(fields)  # blank: the record was deleted meanwhile
    try:
        return fetch_records(run.salesforce, object_name, [record_id], fields).get(record_id, gone)
    except RefusedError as error:
        if error.code != "INVALID_FIELD":
            raise
    learn_watched(run)
    known = run.watched.get(object_name, ())
    there = [path for path in fields if path in known]
    if not there or len(there) == len(fields):
        return {}
    return fetch_records(run.salesforce, object_name, [record_id], there).get(record_id, {})
