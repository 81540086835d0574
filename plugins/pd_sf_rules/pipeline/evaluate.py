"""Pending events meet the rules in force: verdicts and the plan are written in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from pd_sf_rules.ledger import actions, events, links
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Action, Event, Link, Source, Values, Verdict
from pd_sf_rules.pipeline.rulebook import Rulebook
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.planning.planner import plan
from pd_sf_rules.rules.evaluator import Evaluation
from pd_sf_rules.systems.pagerduty.incidents import fetch_incidents
from pd_sf_rules.systems.salesforce.changes import fetch_records

BATCH = 500
LINKED = "linked"
"""Where the detail of a judged PagerDuty event keeps what the rules saw of its linked records, by object."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One event as it was judged, with the plan that follows."""

    event: Event
    said: Evaluation
    actions: Sequence[Action]


def evaluate(run: Run, rulebook: Rulebook, source: Source) -> dict[str, int]:
    """Judge every pending event of one side; return the counts `evaluated`, `matched` and `planned`.

    Raises the errors of the systems where a rule needs the linked other side and it cannot be read: the events
    then stay pending.
    """
    counts = {"evaluated": 0, "matched": 0, "planned": 0}
    while True:
        with run.ledger.read() as c:
            pending = events.pending_events(c, run.name, source, limit=BATCH)
        if not pending:
            return counts
        judged = judge(run, rulebook, pending)
        with run.ledger.begin() as c:
            _write(c, run, judged)
        counts["evaluated"] += len(judged)
        counts["matched"] += sum(bool(one.said.matches) for one in judged)
        counts["planned"] += sum(len(one.actions) for one in judged)


def judge(run: Run, rulebook: Rulebook, pending: Sequence[Event]) -> list[Judged]:
    """Return the verdicts and plans of these events; reads the other side where a rule needs it, writes nothing."""
    with run.ledger.read() as c:
        pairs = _pairs(c, run, pending)
    records = _linked_records(run, rulebook, pending, pairs)
    incidents = _linked_incidents(run, rulebook, pending, pairs)
    completed: list[Event] = []
    linked: list[Mapping[str, Values]] = []
    for bare in pending:
        links_of = pairs.get(bare.id, [])
        of_event = {link.object: records.get(link.record_id, {}) for link in reversed(links_of)}
        completed.append(_completed(bare, links_of, incidents, of_event))
        linked.append(of_event)
    said = rulebook.compiled.evaluate_all(completed, linked)
    return [
        Judged(event, said[at], plan(event, said.matches[at])) for at, event in enumerate(completed)
    ]


def _write(c: Connection, run: Run, judged: Iterable[Judged]) -> None:
    """Write verdicts and plan of each event; where another process judged it first, its plan stands alone."""
    for one in judged:
        if events.mark_evaluated(c, one.event, _worth_keeping(run, one.said), run_id=run.id):
            actions.add_actions(c, one.actions)


def _worth_keeping(run: Run, said: Evaluation) -> Evaluation | Sequence[Verdict]:
    """Leave out, at log level `error`, what rules said that did not match: it is not even worked out."""
    return said.verdicts_of_matches if run.integration.log.level == "error" else said


def _pairs(c: Connection, run: Run, pending: Sequence[Event]) -> dict[str, list[Link]]:
    """Return the links of each event's record or incident, oldest first."""
    records = [e.record_id for e in pending if e.source == SALESFORCE and e.record_id]
    incidents = [e.incident_id for e in pending if e.source == PAGERDUTY and e.incident_id]
    by_record = links.links_of_records(c, run.name, records)
    by_incident = links.links_of_incidents(c, run.name, incidents)
    return {
        e.id: by_record.get(e.record_id or "", [])
        if e.source == SALESFORCE
        else by_incident.get(e.incident_id or "", [])
        for e in pending
    }


def _completed(
    event: Event,
    linked: Sequence[Link],
    incidents: Mapping[str, Values],
    records: Mapping[str, Values],
) -> Event:
    """Return the event with the other side as it was judged: the incident, or `detail["linked"]` by object."""
    made_by = tuple(dict.fromkeys(link.ruleset for link in linked if link.ruleset))
    if event.source == PAGERDUTY:
        seen = {name: dict(values) for name, values in records.items()}
        return replace(event, linked_by=made_by, detail={**event.detail, LINKED: seen})
    if not linked:
        return replace(event, linked_by=made_by)
    found = [incidents[link.incident_id] for link in linked if link.incident_id in incidents]
    return replace(event, linked_by=made_by, incident=_current(found))


def _current(incidents: Sequence[Values]) -> Values:
    """Return the newest open incident of a record, else its newest."""
    is_open = [one for one in incidents if one.get("status") != "resolved"]
    return (is_open or incidents or [{}])[-1]


def _linked_incidents(
    run: Run, rulebook: Rulebook, pending: Sequence[Event], pairs: Mapping[str, Sequence[Link]]
) -> dict[str, Values]:
    wanted = {
        link.incident_id
        for event in pending
        if event.source == SALESFORCE and rulebook.compiled.needs_incident(event.object or "")
        for link in pairs.get(event.id, [])
    }
    if not wanted:
        return {}
    custom = rulebook.compiled.needs_custom_fields()
    return fetch_incidents(run.pagerduty, sorted(wanted), custom_fields=custom)


def _linked_records(
    run: Run, rulebook: Rulebook, pending: Sequence[Event], pairs: Mapping[str, Sequence[Link]]
) -> dict[str, Values]:
    wanted: dict[str, set[str]] = {}
    for event in pending:
        if event.source == PAGERDUTY:
            for link in pairs.get(event.id, []):
                wanted.setdefault(link.object, set()).add(link.record_id)
    records: dict[str, Values] = {}
    for name, ids in wanted.items():
        fields = rulebook.linked_fields(name)
        if fields:
            records |= fetch_records(run.salesforce, name, sorted(ids), fields)
    return records
