"""A small world for pipeline tests: both simulated systems, rule files, settings and a ledger of the test's own."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import Ledger, actions, events, links, open_ledger
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.ledger.events import StoredEvent
from pd_sf_rules.model import Link
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.run import Direction, Run
from pd_sf_rules.pipeline.sync import PATIENCE_SECONDS, sync
from pd_sf_rules.settings import load_integration
from sandbox.pagerduty import incidents as pagerduty_incidents
from sandbox.pagerduty import notes as pagerduty_notes
from sandbox.pagerduty import rendering
from sandbox.pagerduty.people import Person
from sandbox.traffic import Exchange
from sandbox.world import World

ROOT = Path(__file__).resolve().parents[2]
DIRECTIONS: tuple[Direction, ...] = ("salesforce", "pagerduty", "notes")
OUR_PAGERDUTY_USER = "PUSYNC1"
OUR_NAME = "Salesforce Sync"
OUR_SALESFORCE_USER = "pagerduty-sync@acme.example"

HIGH = {"field": "Case.Priority", "operation": "equals", "value": "High"}
CREATED = {"field": "event.type", "operation": "equals", "value": "created"}
PAGE: dict[str, Any] = {
    "create_incident": {"service": "Support P1", "title": "{{ record.Subject }}"}
}


def became(name: str, value: Any) -> dict[str, Any]:
    """A condition: the field changed to that value."""
    return {"field": name, "operation": "changed_to", "value": value}


def event_is(word: str) -> dict[str, Any]:
    """A condition on the event's type."""
    return {"field": "event.type", "operation": "equals", "value": word}


def rule(name: str, when: Any, *doing: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A rule of a ruleset file, on Case and from Salesforce unless said otherwise."""
    return {
        "name": name,
        "object": "Case",
        "run_on": "salesforce",
        "when": when,
        "actions": [dict(one) for one in doing],
    } | more


def mirror(name: str, when: Any, *doing: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A rule that PagerDuty's log entries run."""
    return rule(name, when, *doing, **{"run_on": "pagerduty", **more})


BEHIND = timedelta(hours=6)
"""How far the simulated systems' clock is behind this machine's, so that a test can let hours pass."""

PAGE_HIGH = rule("Page", HIGH, PAGE)
PAGE_NEW = rule("Page", {"all": [HIGH, CREATED]}, PAGE)


@dataclass(slots=True)
class Clock:
    """The simulated systems' clock: it starts behind the machine's, and a test lets time pass."""

    ahead: timedelta = timedelta()

    def pass_(self, **span: float) -> None:
        """Let that much time pass (`minutes=5`)."""
        self.ahead += timedelta(**span)

    def __call__(self) -> datetime:
        """Now, in UTC."""
        return datetime.now(UTC) + self.ahead


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass over the directions told: a lineage each, and the errors that stopped a direction."""

    runs: Sequence[dict[str, Any]]
    errors: Sequence[SyncError]

    def count(self, what: str) -> int:
        """The sum of one of the counts."""
        return sum(one["counts"][what] for one in self.runs)


@dataclass(slots=True)
class PipelineWorld:
    """One integration between the two simulated systems; `sync` makes a pass over it."""

    sandbox: World
    clock: Clock
    home: Path
    ledger_url: str
    patience: float = PATIENCE_SECONDS
    _ledger: Ledger | None = field(default=None, repr=False)
    _kept: tuple[Any, Run] | None = field(default=None, repr=False)

    @property
    def ledger(self) -> Ledger:
        """The ledger, opened at first use."""
        if self._ledger is None:
            self._ledger = open_ledger(self.ledger_url)
        return self._ledger

    def close(self) -> None:
        """Close the ledger and the clients that were opened."""
        if self._kept is not None:
            self._kept[1].close()
            self._kept = None
        if self._ledger is not None:
            self._ledger.close()

    def forget_ledger(self) -> None:
        """Open the ledger anew at the next use."""
        self.close()
        self._ledger = None

    # what the person who runs it writes

    def rules(self, *rules: Mapping[str, Any], file: str = "a.yaml", **head: Any) -> Path:
        """Write a ruleset file, switched on."""
        data = {"version": 1, "name": f"Rules of {file}", "enabled": True} | head
        return self.rules_text(yaml.safe_dump(data | {"rules": list(rules)}), file)

    def rules_text(self, text: str, file: str = "a.yaml") -> Path:
        """Write a ruleset file as it stands."""
        path = self.home / "rulesets" / file
        path.write_text(text)
        return path

    def settings(self, **settings: Any) -> None:
        """Write the integration file."""
        text = yaml.safe_dump({"name": "default"} | settings)
        (self.home / "integrations" / "default.yaml").write_text(text)

    def cross_comments(self, *, to_pagerduty: bool = True, to_salesforce: Any = "internal") -> None:
        """Switch comments and notes on."""
        self.settings(
            comments={
                "salesforce_to_pagerduty": to_pagerduty,
                "pagerduty_to_salesforce": to_salesforce,
            }
        )

    # passes

    def run(self) -> Run:
        """A run of the integration, to be closed by the caller."""
        return open_run(load_integration("default"), self.ledger)

    def sync(self, *directions: Direction) -> Pass:
        """One pass over these directions (default: all that are switched on), as `pdsf sync` makes it."""
        runs, errors = [], []
        for direction in directions or self._switched_on():
            with self._logged_in() as run:
                told, error = sync(run, direction, patience=self.patience)
            runs.append(told)
            if error is not None:
                errors.append(error)
        return Pass(runs, errors)

    @contextmanager
    def _logged_in(self) -> Iterator[Run]:
        """A run of its own whose clients are those of the pass before, unless time passed or connections changed.

        Logging in costs more than all the rest of a quiet pass. Threads get clients of their own.
        """
        fresh = self.run()
        if threading.current_thread() is not threading.main_thread():
            with fresh:
                yield fresh
            return
        state = (self.clock.ahead, *(os.environ[name] for name in self.sandbox.connections))
        if self._kept is not None and self._kept[0] == state:
            last = self._kept[1]
            fresh._salesforce, fresh._pagerduty = last._salesforce, last._pagerduty
        elif self._kept is not None:
            self._kept[1].close()
        self._kept = (state, fresh)
        yield fresh

    def _switched_on(self) -> tuple[Direction, ...]:
        comments = load_integration("default").comments
        crossing = comments.salesforce_to_pagerduty or comments.pagerduty_to_salesforce
        return DIRECTIONS if crossing else DIRECTIONS[:2]

    def hurry(self) -> None:
        """From now on a pass waits for no next try."""
        self.patience = 0.0

    def settle(self, passes: int = 2) -> Pass:
        """Some passes, the last of which must find nothing to do and write nothing."""
        for _ in range(passes - 1):
            self.sync()
        with self.silence():
            last = self.sync()
        assert [e for e in self.events("evaluated") if e.agent == OUR_NAME] == []
        return last

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Assert that nothing is written to either system inside the block."""
        before = self.sandbox.traffic.last_number()
        yield
        written = self.writes(after=before)
        assert written == [], [(one.method, one.path, one.body) for one in written]

    def start_process(self, *arguments: str) -> subprocess.Popen[str]:
        """`python -m pd_sf_rules sync ...` as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "pd_sf_rules", "sync", *arguments],
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'plugins'}"},
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    # acting

    def case(self, subject: str = "Database is down", **fields: Any) -> str:
        """A person creates a Case, High unless said otherwise."""
        values = {"Subject": subject, "Priority": "High", "Status": "New", "Origin": "Web"}
        return self.sandbox.salesforce.create("Case", values | fields)

    def edit(self, record_id: str, **fields: Any) -> None:
        """A person edits a record."""
        self.sandbox.salesforce.update(record_id, fields)

    def ana(self) -> Person:
        """The person on call for Support P1, at PagerDuty's website."""
        return self.sandbox.person("Ana Lopez")

    def paged(self, *rules: Mapping[str, Any], **fields: Any) -> tuple[str, str]:
        """A Case with its incident: (record id, incident id); `rules` are in force beside the paging one."""
        self.rules(PAGE_NEW, *rules)
        self.sync()
        case_id = self.case(**fields)
        self.sync()
        (link,) = self.links_of(case_id)
        return case_id, link.incident_id

    def link(self, record_id: str, incident_id: str, object_name: str = "Case") -> None:
        """Somebody links a record and an incident by hand."""
        link = Link("default", object_name, record_id, incident_id, "", datetime.now(UTC))
        with self.ledger.begin() as c:
            links.add_link(c, link)

    # looking

    def record(self, record_id: str) -> dict[str, Any]:
        """A record as it is now."""
        found = self.sandbox.salesforce.record(record_id)
        assert found is not None
        return found

    def cases(self) -> list[dict[str, Any]]:
        """All Cases."""
        return self.sandbox.salesforce.records("Case")

    def comments(self, case_id: str | None = None) -> list[dict[str, Any]]:
        """The comments (of a Case), oldest first."""
        found = self.sandbox.salesforce.records("CaseComment")
        return [one for one in found if case_id in {None, one["ParentId"]}]

    def incidents(self) -> list[dict[str, Any]]:
        """All incidents, oldest first."""
        state = self.sandbox.pagerduty
        search = pagerduty_incidents.Search(order=(("number", "ASC"),))
        docs = pagerduty_incidents.search(state, search, 0, 10_000)
        return [rendering.incident(state, doc) for doc in docs]

    def incident(self, incident_id: str) -> dict[str, Any]:
        """One incident as it is now."""
        return next(one for one in self.incidents() if one["id"] == incident_id)

    def stored_incident(self, incident_id: str) -> dict[str, Any]:
        """One incident as the simulated PagerDuty keeps it."""
        return dict(pagerduty_incidents.get(self.sandbox.pagerduty, incident_id))

    def notes(self, incident_id: str) -> list[str]:
        """The notes of an incident, oldest first."""
        found = pagerduty_notes.of_incident(self.sandbox.pagerduty, incident_id)
        return [str(one["content"]) for one in reversed(found)]

    def holders(self, incident_id: str) -> list[str]:
        """The ids of those an incident is assigned to."""
        return [one["assignee"]["id"] for one in self.incident(incident_id)["assignments"]]

    def writes(
        self, system: str | None = None, *, after: int = 0, path: str = ""
    ) -> list[Exchange]:
        """The write requests received."""
        found = self.sandbox.traffic.requests(system, writes_only=True, after=after)
        return [one for one in found if path in one.path]

    def actions(self, kind: str | None = None) -> list[StoredAction]:
        """The actions in the ledger, in the order of their events."""
        with self.ledger.read() as c:
            found = actions.find_actions(c, limit=100_000)
        found.sort(key=lambda one: (one.event_occurred_at, one.event_seq, one.position))
        return [one for one in found if kind in {None, one.kind}]

    def action(self, kind: str) -> StoredAction:
        """The one action of that kind."""
        (found,) = self.actions(kind)
        return found

    def events(self, state: str | None = None) -> list[StoredEvent]:
        """The events in the ledger, oldest first."""
        with self.ledger.read() as c:
            found = events.find_events(c, limit=100_000, oldest_first=True)
        return [one for one in found if state in {None, one.state}]

    def links(self) -> list[Link]:
        """The links in force."""
        with self.ledger.read() as c:
            return links.all_links(c, "default")

    def links_of(self, record_id: str) -> list[Link]:
        """The links of a record, oldest first."""
        return [one for one in self.links() if one.record_id == record_id]

    def fault(self, kind: str, system: str, method: str, path: str, **more: Any) -> int:
        """Plan one fault of the network or the servers."""
        return self.sandbox.faults.plan(kind, system=system, method=method, path=path, **more)

    def hits(self, fault_id: int) -> int:
        """How many calls a fault hit so far."""
        return int(
            next(one["hits"] for one in self.sandbox.faults.faults() if one["id"] == fault_id)
        )

    def wait_for_hit(self, fault_id: int, times: int = 1) -> None:
        """Wait until a fault hit a call."""
        until = time.monotonic() + 60
        while self.hits(fault_id) < times:
            assert time.monotonic() < until, "the fault never hit"
            time.sleep(0.01)


@contextmanager
def opened_world(
    sandbox: World, clock: Clock, home: Path, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PipelineWorld]:
    """A freshly reset sandbox and an empty home, named in the environment for the length of the block."""
    clock.ahead = -BEHIND
    sandbox.reset()
    for name in ("rulesets", "integrations"):
        (home / name).mkdir()
    monkeypatch.setenv("PDSF_RULESETS_DIR", str(home / "rulesets"))
    monkeypatch.setenv("PDSF_INTEGRATIONS_DIR", str(home / "integrations"))
    monkeypatch.setenv("PDSF_LEDGER_URL", ledger_url)
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    for name, value in sandbox.connections.items():
        monkeypatch.setenv(name, value)
    world = PipelineWorld(sandbox, clock, home, ledger_url)
    try:
        yield world
    finally:
        world.close()
