"""What today's rules want of a pair as it stands, and never did for it."""

from collections.abc import Iterable

from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Event, Link
from pd_sf_rules.pipeline.drift.findings import Finding, Look, Pairs, place
from pd_sf_rules.pipeline.rulebook import Rulebook
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.planning.drift import EVENT_OF_STATUS, unmet
from pd_sf_rules.rules.ruleset import Rule, Ruleset

Matches = Iterable[tuple[Ruleset, Rule]]


def compare_with_rules(look: Look, rulebook: Rulebook, pairs: Pairs) -> None:
    """Report each state that a live rule would have brought about, had it seen the pair come to be as it is.

    Reported only where that rule never acted for the pair, nothing waits and no change was missed: what somebody
    changed afterwards is their decision. Never repaired: nothing says that the rule was in force when it happened.
    """
    busy = look.open_actions() | {i for one in look.findings for i in (one.record, one.incident)}
    for links in pairs.by_record.values():
        link = links[-1]
        if link.record_id in busy or link.incident_id in busy:
            continue
        if link.record_id in look.records and link.incident_id in look.incidents:
            for source in (SALESFORCE, PAGERDUTY):
                _report(look, link, _matches(look, rulebook, link, source))


def _matches(look: Look, rulebook: Rulebook, link: Link, source: str) -> Matches:
    record, incident = look.records[link.record_id], look.incidents[link.incident_id]
    made_by = (link.ruleset,) if link.ruleset else ()
    if source == SALESFORCE:
        event = Event(
            id="reconcile",
            integration=link.integration,
            source=SALESFORCE,
            type="updated",
            occurred_at=utc_now(),
            agent="",
            object=link.object,
            record_id=link.record_id,
            record=record,
            old=dict.fromkeys(record),
            incident=incident,
            linked_by=made_by,
        )
        return rulebook.compiled.evaluate(event).matches
    event = Event(
        id="reconcile",
        integration=link.integration,
        source=PAGERDUTY,
        type=EVENT_OF_STATUS.get(str(incident.get("status")), "other"),
        occurred_at=utc_now(),
        agent="",
        incident_id=link.incident_id,
        incident=incident,
        old_incident=dict.fromkeys(incident),
        linked_by=made_by,
    )
    return rulebook.compiled.evaluate(event, {link.object: record}).matches


def _report(look: Look, link: Link, matches: Matches) -> None:
    record, incident = look.records[link.record_id], look.incidents[link.incident_id]
    for ruleset, rule in matches:
        if ruleset.mode != "live" or rule.object.casefold() != link.object.casefold():
            continue
        wanted = [
            one for spec in rule.actions for one in unmet(spec, record=record, incident=incident)
        ]
        if not wanted or look.has_action(
            (ruleset.name, rule.name), record_id=link.record_id, incident_id=link.incident_id
        ):
            continue
        for name, ours, theirs in wanted:
            look.findings.append(
                Finding(
                    "rule_not_applied",
                    *place(link),
                    field=name,
                    ours=ours,
                    theirs=theirs,
                    rule=f"{ruleset.name} / {rule.name}",
                )
            )
