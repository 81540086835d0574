"""The questions a sync and its pages ask of the ledger all the time, each as it is asked."""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Connection

from benchmarks.ledger_past import NOW, later
from pd_sf_rules.ledger import (
    actions,
    activity,
    attempts,
    causes,
    events,
    expectations,
    links,
    notes,
    rulesets,
    runs,
    snapshots,
    storms,
    waiting,
)
from pd_sf_rules.ledger.activity import Wanted
from pd_sf_rules.ledger.activity_branches import OUTCOMES, branches, integrations_in, rules_in
from pd_sf_rules.ledger.backlog import queue_of, waits_of
from pd_sf_rules.ledger.hits import hits
from pd_sf_rules.ledger.tallies import tally
from pd_sf_rules.model import Link

LINK = Link("default", "Case", "5007", "P7", "", NOW)
IDS = [f"event-{n}" for n in range(40)]


def _due(c: Connection, after: waiting.Place | None = None) -> object:
    return waiting.due_actions(
        c, "default", "salesforce", now=NOW, eager=True, released=False, after=after, limit=100
    )


HOT: dict[str, Callable[[Connection], object]] = {
    "pending_events": lambda c: events.pending_events(c, "default", "salesforce", limit=100),
    "known_ids": lambda c: events.known_ids(c, IDS),
    "get_events": lambda c: events.get_events(c, IDS),
    "get_event": lambda c: events.get_event(c, "event-7"),
    "events of a record": lambda c: events.find_events(c, record_id="5007", limit=5),
    "events of an incident": lambda c: events.find_events(c, incident_id="P7", limit=5),
    "events of a record in an integration": lambda c: events.find_events(
        c, integration="default", record_id="5007", since=later(5), limit=5
    ),
    "events of an incident in an integration": lambda c: events.find_events(
        c, integration="default", incident_id="P7", limit=5
    ),
    "latest events": lambda c: events.find_events(c, limit=5),
    "latest events of an integration": lambda c: events.find_events(
        c, integration="default", limit=5
    ),
    "events of a window": lambda c: events.find_events(
        c,
        integration="default",
        since=later(100),
        until=later(100) + timedelta(minutes=1),
        limit=100,
        oldest_first=True,
    ),
    "open_actions": lambda c: actions.open_actions(c, "default"),
    "failed actions of a pair": lambda c: actions.open_actions(
        c, "default", about=("5007", {"P7"}), bodies=False
    ),
    "to_try_again": lambda c: waiting.to_try_again(
        c, "default", ["action-1", "action-501"], but="held"
    ),
    "in_flight": lambda c: actions.in_flight(c, "default", kind="create_record", object="Case"),
    "get_actions": lambda c: actions.get_actions(c, [f"action-{n}" for n in range(40)]),
    "claim": lambda c: actions.claim(
        c, ["action-1", "action-501"], owner="me", now=NOW, lease_seconds=60
    ),
    "mark_sent": lambda c: actions.mark_sent(c, "action-1", request={}, now=NOW),
    "record_outcome": lambda c: actions.record_outcome(c, "action-1", state="failed", now=NOW),
    "actions of an event": lambda c: actions.find_actions(c, event_id="event-7"),
    "failed actions": lambda c: actions.find_actions(c, state="failed", limit=5),
    "actions of a record": lambda c: actions.find_actions(c, record_id="5007", limit=5),
    "actions of an incident": lambda c: actions.find_actions(c, incident_id="P7", limit=5),
    "actions of a run": lambda c: actions.find_actions(c, run_id="run-7"),
    "latest actions": lambda c: actions.find_actions(c, integration="default", limit=5),
    "failed for their ruleset's sake": lambda c: actions.open_actions(
        c, "default", state="failed", error_kind="config"
    ),
    "due_actions": _due,
    "due behind a place": lambda c: _due(c, after=(later(5), 5, 0, "x")),
    "open_actions_of": lambda c: waiting.open_actions_of(
        c, "default", records=["5007", "5008"], incidents=["P7", "P8"]
    ),
    "claimants": lambda c: waiting.claimants(c, "default"),
    "next_try": lambda c: waiting.next_try(
        c, "default", "salesforce", now=NOW, but={"unlinked"}, paused={"x"}
    ),
    "due_tries": lambda c: waiting.due_tries(c, "default", now=NOW),
    "count_waiting": lambda c: waiting.count_waiting(c, "default", "salesforce"),
    "counts_of_run": lambda c: waiting.counts_of_run(c, "default", "run-7", "salesforce"),
    "actions_of_run": lambda c: actions.actions_of_run(c, "default", "run-7", limit=201),
    "failed_for_good": lambda c: waiting.failed_for_good(c, "default", "run-7", held="held"),
    "doubtful_actions": lambda c: actions.doubtful_actions(c, "default", kind="create_incident"),
    "went_out_lately": lambda c: storms.went_out_lately(
        c, "default", since=later(15_000), records=["5007"], incidents=["P7"]
    ),
    "held_ids": lambda c: storms.held_ids(c, "default", "x / y", limit=5),
    "held_counts": lambda c: storms.held_counts(c, "default"),
    "links_of_records": lambda c: links.links_of_records(c, "default", ["5007", "5008"]),
    "links_of_incidents": lambda c: links.links_of_incidents(c, "default", ["P7", "P8"]),
    "links of all time": lambda c: links.find_links(c, record_ids=["5007"], incident_ids=["P7"]),
    "seen_as": lambda c: snapshots.seen_as(c, "salesforce", "5007"),
    "actions_of_events": lambda c: actions.actions_of_events(c, IDS),
    "attempts_of": lambda c: attempts.attempts_of(c, ["action-7", "action-8"]),
    "add_link": lambda c: links.add_link(c, LINK),
    "remove_link": lambda c: links.remove_link(c, "default", "Case", "5007", "P7"),
    "get_snapshots": lambda c: snapshots.get_snapshots(
        c, "default", "salesforce", "Case", [f"500{n}" for n in range(40)]
    ),
    "merge_snapshot": lambda c: snapshots.merge_snapshot(
        c, "default", "salesforce", "Case", "5007", {"Status": "Closed"}, now=NOW
    ),
    "open_expectations": lambda c: expectations.open_expectations(
        c, "default", "salesforce", ["500500", "500501"]
    ),
    "consume": lambda c: expectations.consume(c, 1, "event-1"),
    "forget": lambda c: expectations.forget(c, "action-500"),
    "known_notes": lambda c: notes.known_notes(c, "default", "salesforce", ["note-1", "note-2"]),
    "note_digests": lambda c: notes.note_digests(c, "default", "salesforce", "5007"),
    "last_good": lambda c: rulesets.last_good(c, "a.yaml"),
    "text_of": lambda c: rulesets.text_of(c, "0123456789ab"),
    "recent_runs": lambda c: runs.recent_runs(c, integration="default", limit=5),
    "get_run": lambda c: runs.get_run(c, "run-7"),
}
LOG: dict[str, Wanted] = {
    "everything": Wanted(level="debug"),
    "what led to something": Wanted(),
    "errors": Wanted(level="error"),
    "a record": Wanted(records=frozenset({"5007"}), level="debug"),
    "a record's gist": Wanted(records=frozenset({"5007"})),
    "a pair in an integration": Wanted(
        integration="default", records=frozenset({"5007"}), incidents=frozenset({"P7"})
    ),
    "a rule": Wanted(rules=frozenset({("x", "x")})),
    "a window": Wanted(since=later(100), until=later(200)),
    "a source": Wanted(source="pagerduty"),
    **{outcome: Wanted(outcome=outcome, level="debug") for outcome in OUTCOMES},
}


def _log(wanted: Wanted) -> Callable[[Connection], object]:
    place = activity.Place(later(15_000), 2, "action-1")
    return lambda c: activity.page(c, branches(wanted, ["default"]), before=place, limit=5)


HOT |= {f"log of {name}": _log(wanted) for name, wanted in LOG.items()}
HOT |= {"integrations_in": integrations_in, "rules_in": rules_in}
HOT |= {"events of a run": lambda c: events.events_of_run(c, "run-7", limit=100)}
HOT |= {
    "hits": lambda c: hits(c, [("x", "x"), ("y", "y")], [later(19_900)]),
    "tally": lambda c: tally(c, "default", [later(0), later(100), later(200)]),
    "queue_of": lambda c: queue_of(c, "default"),
    "waits_of": lambda c: waits_of(c, "default", but={"unlinked"}, paused={"x"}),
    "page_of_links": lambda c: links.page_of_links(
        c, "default", before=(later(15_000), "5007", "P7"), limit=5
    ),
    "last run of a direction": lambda c: runs.recent_runs(
        c, integration="default", direction="reconcile", limit=5
    ),
}
HOT |= {
    "causes of failure": lambda c: causes.groups(c, "default", with_held=True, looked_for="no"),
    "first of each cause": lambda c: causes.members(c, "default", with_held=True, limit=20),
    "behind a failure": lambda c: causes.behind(c, "default"),
}
