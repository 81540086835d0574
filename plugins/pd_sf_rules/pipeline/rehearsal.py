"""A pass in memory, before any task: what it compiles and reads, processes forked from this one find ready.

Every task is a process of its own, and most of what a short one spends is spent for the first time: each query made
into SQL, each ruleset parsed, each template compiled. LocalExecutor forks its tasks from the scheduler.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

from pd_sf_rules.errors import ConnectionConfigError
from pd_sf_rules.ledger import Ledger, actions, cursors, events, rehearsed
from pd_sf_rules.ledger.address import ledger_url
from pd_sf_rules.model import SALESFORCE, Action, Change, Event
from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.pipeline.commit import commit
from pd_sf_rules.pipeline.looks import look_at
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.pull_salesforce import stream, take_in
from pd_sf_rules.pipeline.pulled import Pulled
from pd_sf_rules.pipeline.record import record_lineage
from pd_sf_rules.pipeline.rulebook import Rulebook, describe_stream, load_rulebook
from pd_sf_rules.pipeline.run import ADDRESS, Direction, Run, utc_now
from pd_sf_rules.pipeline.sync import judge_pending
from pd_sf_rules.planning.kinds import CREATE_INCIDENT, UPDATE_RECORD
from pd_sf_rules.rules.evaluator import compile_rules
from pd_sf_rules.rules.loader import load_folder
from pd_sf_rules.settings import rulesets_folder, usable_integrations

NO_FILE = "sqlite:////rehearsal"
DIRECTIONS: tuple[Direction, ...] = ("salesforce", "pagerduty")
EFFECTS: Mapping[str, Mapping[str, Any]] = {
    CREATE_INCIDENT: {"service": "none", "title": "{{ links.record_url }}"},
    UPDATE_RECORD: {"fields": {"Description": "none"}},
}


def rehearse() -> None:
    """Take one change through the rules in force, on a ledger in memory; nothing is sent, and nothing is kept.

    Where the ledger is no SQLite file its queries are left out: they cannot be rehearsed without their database.
    """
    url = ledger_url(os.environ) or ""
    with rehearsed(url if url.startswith("sqlite:") else NO_FILE) as ledger, _silence():
        for integration in usable_integrations()[0].values():
            with open_run(integration, ledger, connect=_nobody) as run:
                _pass(run, ledger)


def _pass(run: Run, ledger: Ledger) -> None:
    now = utc_now()
    rulebook = _rulebook(run, now)
    name = next(iter(sorted(rulebook.compiled.objects())), "Case")
    look = look_at(run, stream(name), None, now=now, newest=lambda _: None)
    values = dict.fromkeys(rulebook.record_fields(name))
    take_in(run, rulebook, name, [Change(name, "0", now, now, now, "", values)], asked_at=now)
    with ledger.read() as c:
        pending = events.pending_events(c, run.name, SALESFORCE, limit=1)
    counts = {one: judge_pending(run, one) for one in DIRECTIONS}
    with ledger.begin() as c:
        actions.add_actions(c, [_action(run, event, kind) for event in pending for kind in EFFECTS])
    for direction in DIRECTIONS:
        apply(run, direction)
        record_lineage(run, direction, [], counts[direction])
    commit(run, [Pulled(stream(name), look.window, 1)])


def _rulebook(run: Run, now: datetime) -> Rulebook:
    """Load the rules in force, whose fields the org is said to have described already."""
    compiled = compile_rules(load_folder(rulesets_folder())[0])
    objects = {rule.object for ruleset in compiled.rulesets for rule in ruleset.rules}
    with run.ledger.begin() as c:
        for name in objects:
            fields = sorted(compiled.record_fields(name))
            told = {"types": dict.fromkeys(fields, "string"), "asked": fields}
            cursors.start_cursor(c, run.name, describe_stream(name), now, extra=told)
        cursors.start_cursor(c, run.name, ADDRESS, now, extra={"url": "https://none"})
    return load_rulebook(run)


def _action(run: Run, event: Event, kind: str) -> Action:
    return Action(
        id=f"{event.id}:{kind}",
        event_id=event.id,
        integration=run.name,
        ruleset="rehearsal",
        ruleset_version="",
        rule=kind,
        position=0,
        kind=kind,
        params=EFFECTS[kind],
        mode="live",
        object=event.object,
        record_id=event.record_id,
        incident_id=None,
    )


def _nobody(conn_id: str) -> NoReturn:
    raise ConnectionConfigError(conn_id, "is not asked for in a rehearsal.")


@contextmanager
def _silence() -> Iterator[None]:
    """Keep to itself what a rehearsal would say: nothing of it happened."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
