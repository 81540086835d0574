"""API calls of one pass, against the fewest that the two services' own bulk requests allow for the same work.

`python -m benchmarks.calls` prints them; `-v` also which calls they were. Both services are simulated on loopback.
"""

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.here import home_of
from benchmarks.table import Line
from pd_sf_rules.ledger import Ledger, links, open_ledger
from pd_sf_rules.model import Link
from pd_sf_rules.pipeline.opening import connect_from_environment, open_run
from pd_sf_rules.pipeline.run import Direction
from pd_sf_rules.pipeline.sync import sync
from pd_sf_rules.settings import load_integration
from pd_sf_rules.triggers.poll import Poll
from sandbox.running import running_sandbox
from sandbox.world import World

ROWS, PAGE, UPDATES, WRITES = 2_000, 100, 250, 200
"""Rows of a query and of a list, incidents of a bulk update, records of a collections call: the services' own sizes."""

LIMITS = "limits: { incidents_per_rule: { count: 0, minutes: 10 }, incidents: { count: 0, minutes: 10 } }"
COMMENTS = "comments: { salesforce_to_pagerduty: true, pagerduty_to_salesforce: internal }"
CASE = {"Subject": "Database is down", "Priority": "Medium", "Status": "New", "Origin": "Web"}
SIDES: Sequence[Direction] = ("salesforce", "pagerduty")
HEAD = "version: 1\nname: Calls\nenabled: true\nrules:\n"
PEOPLE = ("ana.lopez@acme.example", "salesforce-sync@acme.example")


@dataclass(slots=True)
class _Bench:
    """One integration between the two simulated services, whose clock is set."""

    world: World
    home: Path
    ledger: Ledger
    ahead: list[timedelta] = field(default_factory=list)
    seen: dict[str, Counter[str]] = field(default_factory=dict)

    def rules(self, *rules: str) -> None:
        """Put these rules in force, and let time pass: what was before them is not read again."""
        (self.home / "rulesets" / "a.yaml").write_text(
            HEAD + "".join(f"  - {one}\n" for one in rules)
        )

    def sync(self, direction: Direction) -> int:
        """One pass; its calls."""
        before = self.world.traffic.last_number()
        with open_run(load_integration("default"), self.ledger) as run:
            told, error = sync(run, direction)
        if error is not None or told["counts"]["failed"]:
            raise RuntimeError(f"{direction}: {error or told['counts']}")
        return self.calls(before)

    def calls(self, before: int) -> int:
        """Return how many calls came since, logins left out, and keep which they were."""
        made = Counter(
            f"{one.system} {one.method} {_shape(one.path)}"
            for one in self.world.traffic.requests(after=before)
            if "/oauth2/" not in one.path
        )
        self.seen["last"] = made
        return made.total()

    def later(self) -> None:
        """Let an hour pass: nothing of before is within the pulls' overlap."""
        self.ahead.append(timedelta(hours=1))

    def pairs(self, number: int) -> list[tuple[str, str]]:
        """Cases with an open incident each, linked, all of it seen before; (Case, incident)."""
        ana, made = self.world.person("Ana Lopez"), []
        for at in range(number):
            case_id = self.world.salesforce.create("Case", CASE)
            made.append((case_id, ana.create_incident("Support P1", f"Incident {at}")["id"]))
        with self.ledger.begin() as c:
            for case_id, incident_id in made:
                links.add_link(
                    c, Link("default", "Case", case_id, incident_id, "", datetime.now(UTC))
                )
        for direction in SIDES:
            self.sync(direction)
        self.later()
        for direction in SIDES:
            self.sync(direction)
        return made


@contextmanager
def bench() -> Iterator[_Bench]:
    """A fresh sandbox, its clock hours behind so that hours can pass, and an empty ledger."""
    ahead = [timedelta(hours=-24)]
    with (
        running_sandbox(clock=lambda: datetime.now(UTC) + sum(ahead, timedelta())) as world,
        home_of(world, settings=f"name: default\n{LIMITS}\n{COMMENTS}\n") as home,
    ):
        world.pagerduty.limits.per_minute = 0
        world.pagerduty.limits.per_operation = {}
        ledger = open_ledger(f"sqlite:///{home}/ledger.db")
        try:
            yield _Bench(world, home, ledger, ahead)
        finally:
            ledger.close()


@dataclass(frozen=True, slots=True)
class Mix:
    """What a pass was to do, the calls it took, and the fewest it could take. `made` names the calls."""

    what: str
    calls: int
    fewest: int
    made: Counter[str]


def new_incidents(b: _Bench, changed: int, matching: int) -> Iterator[Mix]:
    """Changed Cases of which some page."""
    b.rules(
        "{ name: Page, object: Case, run_on: salesforce,"
        " when: { field: Case.Priority, operation: equals, value: High },"
        " actions: [{ create_incident: { service: Support P1, title: '{{ record.Subject }}' } }] }"
    )
    b.sync("salesforce")
    for at in range(changed):
        high = at * matching % changed < matching
        b.world.salesforce.create("Case", CASE | ({"Priority": "High"} if high else {}))
    # Reading what changed, the name of the service, a request for each incident.
    fewest = _pages(changed, ROWS) + 1 + matching
    yield _mix(b, f"{changed:,} changed Cases, {matching:,} new incidents", "salesforce", fewest)


def incident_updates(b: _Bench, changed: int, linked: int) -> Iterator[Mix]:
    """Changed Cases of which some have an incident: a quarter each acknowledges, resolves, prioritises, reassigns."""
    b.rules(
        _on_status("Working", "acknowledge_incident: {}"),
        _on_status("Closed", "resolve_incident: {}"),
        _on_status("Escalated", "set_priority: { priority: P1 }"),
        _on_status("On Hold", f"reassign_incident: {{ users: [{PEOPLE[1]}] }}"),
    )
    pairs = b.pairs(linked)
    others = [b.world.salesforce.create("Case", CASE) for _ in range(changed - linked)]
    b.sync("salesforce")
    b.later()
    for direction in SIDES:
        b.sync(direction)
    words = ("Working", "Closed", "Escalated", "On Hold")
    for at, (case_id, _) in enumerate(pairs):
        b.world.salesforce.update(case_id, {"Status": words[at % 4]})
    for case_id in others:
        b.world.salesforce.update(case_id, {"Subject": "Database is still down"})
    acknowledged = math.ceil(linked / 4)
    # Reading what changed; priority, person and our own user by name; how the incidents stand; the updates, and giving
    # back to the people on call what an acknowledgement takes from them.
    fewest = _pages(changed, ROWS) + 3 + _pages(linked, PAGE)
    fewest += _pages(linked, UPDATES) + _pages(acknowledged, UPDATES)
    yield _mix(b, f"{changed:,} changed Cases, {linked:,} incident updates", "salesforce", fewest)
    # Our own updates come back: the log, and who we are (which tells the time as well).
    yield _mix(b, "their log, nothing to do", "pagerduty", _entries_pages(b) + 1)


def record_writes(b: _Bench, linked: int) -> Iterator[Mix]:
    """Incidents that people acknowledge; each Case gets a status."""
    b.rules(
        "{ name: Mirror, object: Case, run_on: pagerduty,"
        " when: { field: event.type, operation: equals, value: acknowledge },"
        " actions: [{ update_record: { fields: { Status: Working } } }] }",
        _on_status("Nothing", "resolve_incident: {}"),
    )
    pairs = b.pairs(linked)
    ana = b.world.person("Ana Lopez")
    for _, incident_id in pairs:
        ana.acknowledge(incident_id)
    fewest = _entries_pages(b) + 1 + _pages(linked, WRITES)
    yield _mix(
        b, f"{linked:,} acknowledged incidents, {linked:,} record writes", "pagerduty", fewest
    )
    yield _mix(b, "their rows, nothing to do", "salesforce", _pages(linked, ROWS))


def crossing_texts(b: _Bench, number: int) -> Iterator[Mix]:
    """Comments that become notes, and notes that become comments."""
    pairs = b.pairs(number)
    b.sync("notes")
    b.later()
    b.sync("notes")
    for at, (case_id, _) in enumerate(pairs):
        b.world.salesforce.comment(case_id, f"Comment {at}")
    # The comments and the log (for notes), how the incidents stand, a request for each note; who we are, twice.
    fewest = 1 + _entries_pages(b) + _pages(number, PAGE) + number
    yield _mix(b, f"{number:,} comments become notes", "notes", fewest)
    # The comments of before, and the log that now shows our notes.
    b.later()
    yield _mix(b, "an hour later, our notes are in the log", "notes", 1 + _entries_pages(b, 75) + 1)
    ana = b.world.person("Ana Lopez")
    for at, (_, incident_id) in enumerate(pairs):
        ana.add_note(incident_id, f"Note {at}")
    # PagerDuty tells a note's id for one incident at a time.
    fewest = 1 + _entries_pages(b) + 1 + number + _pages(number, WRITES)
    yield _mix(b, f"{number:,} notes become comments", "notes", fewest)


def idle(b: _Bench, looks: int) -> Iterator[Mix]:
    """Watchers while nothing happens, with rules on many objects."""
    objects = ("Case", "Opportunity", "Account", "Contact", "Asset", "Task", "User", "Outage__c")
    b.rules(
        *(
            f"{{ name: {one}, object: {one}, run_on: salesforce, when: {{ field: {one}.Id, operation: changed }},"
            " actions: [{ create_incident: { service: Support P1, title: T } }] }"
            for one in objects
        )
    )
    polls = [
        Poll(system, "default", connect_from_environment) for system in ("salesforce", "pagerduty")
    ]
    for poll in polls:
        poll.look()
    before = b.world.traffic.last_number()
    for _ in range(looks):
        for poll in polls:
            poll.look()
    made = b.calls(before)
    for poll in polls:
        poll.close()
    what = f"{looks} idle looks at both accounts, {len(objects) + 1} objects"
    yield Mix(what, made, 2 * looks, b.seen["last"])


def _mix(b: _Bench, what: str, direction: Direction, fewest: int) -> Mix:
    return Mix(what, b.sync(direction), fewest, b.seen["last"])


def _on_status(status: str, action: str) -> str:
    return (
        f"{{ name: {status}, object: Case, run_on: salesforce, when: {{ field: Case.Status, operation: changed_to,"
        f" value: {status} }}, actions: [{{ {action} }}] }}"
    )


def _entries_pages(b: _Bench, minutes: int = 30) -> int:
    """Return how many pages the log entries of the last minutes are."""
    since = (b.world.pagerduty.now() - timedelta(minutes=minutes)).isoformat()
    sql = "SELECT COUNT(*) FROM log_entries WHERE created_at >= ?"
    return _pages(int(b.world.pagerduty.store.scalar(sql, (since,))), PAGE)


def _pages(rows: int, size: int) -> int:
    return max(math.ceil(rows / size), 1)


def _shape(path: str) -> str:
    """Return a path without the ids in it."""
    return re.sub(r"/(?=[A-Za-z]*\d)[A-Za-z0-9]{6,}", "/*", path)


MIXES: Sequence[tuple[Callable[..., Iterator[Mix]], tuple[int, ...]]] = (
    (new_incidents, (5_000, 600)),
    (incident_updates, (2_000, 500)),
    (record_writes, (1_000,)),
    (crossing_texts, (300,)),
    (idle, (50,)),
)


def mixes() -> Iterator[Mix]:
    """Play every mix in a world of its own."""
    for play, sizes in MIXES:
        with bench() as b:
            yield from play(b, *sizes)


def measure() -> list[Line]:
    """Return, for each mix, the calls and how many times the fewest possible they are."""
    return [
        Line(
            "calls of a pass, and how many times the fewest",
            one.what,
            one.calls,
            one.calls / one.fewest,
            "calls",
        )
        for one in mixes()
    ]


if __name__ == "__main__":
    for one in mixes():
        sys.stdout.write(
            f"{one.calls / one.fewest:5.2f}x {one.calls:6d} of {one.fewest:6d}  {one.what}\n"
        )
        if "-v" in sys.argv[1:]:
            sys.stdout.write(
                "".join(f"         {n:5d} {name}\n" for name, n in one.made.most_common())
            )
        sys.stdout.flush()
