"""How fast actions are carried out: beside what PagerDuty's limit allows, and beside a loop over the official clients.

`python -m benchmarks.throughput` prints it. The simulated services run in a process of their own, on loopback.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
from simple_salesforce.api import SFType

from benchmarks.table import Line
from pd_sf_rules.ledger import Ledger, open_ledger
from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.pipeline.sync import judge_pending, pull, sync
from pd_sf_rules.settings import load_integration

ROOT = Path(__file__).resolve().parents[1]
LIMIT, WINDOW = 80, 4
"""PagerDuty's minute in small: 80 requests in 4 seconds, somewhat more than its 960 in 60."""

LATENCY = 0.05
LIMITED, SINGLES, MIXED, LOOPED = 330, 300, 200, 20
"""Incidents made under the limit, incidents and then Cases of the mix without it, Cases of the plain loop."""

SETTINGS = """name: default
limits: { incidents_per_rule: { count: 0, minutes: 10 }, incidents: { count: 0, minutes: 10 } }
"""
PAGE = "create_incident: { service: Support P1, title: '{{ record.Subject }}' }"
NOTE = "add_note: { content: 'From Salesforce: {{ record.Subject }}' }"
WRITE = "update_record: { fields: { Status: Escalated } }"
RULES = """version: 1
name: Throughput
enabled: true
rules:
  - name: Page
    object: Case
    run_on: salesforce
    when: {{ all: [ {{ field: event.type, operation: equals, value: created }},
                    {{ field: Case.Priority, operation: equals, value: High }} ] }}
    actions: [{actions}]
"""
CASE = {"Subject": "Database is down", "Priority": "High", "Status": "New", "Origin": "Web"}
WORKER = """
from pd_sf_rules.ledger import open_ledger
from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.settings import load_integration
import os
ledger = open_ledger(os.environ["PDSF_LEDGER_URL"])
with open_run(load_integration("default"), ledger) as run:
    print("ready", flush=True)
    input()
    while apply(run, "salesforce", patience=60)["waiting"]:
        pass
"""


@dataclass(frozen=True, slots=True)
class _Bench:
    """A sandbox by its control API, an integration and its ledger."""

    control: httpx2.Client
    home: Path
    ledger: Ledger

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST to the control API."""
        return self.control.post(path, json=body).raise_for_status().json()

    def requests(self, after: int = 0) -> list[dict[str, Any]]:
        """The requests that PagerDuty received after a number, oldest first."""
        query: dict[str, str | int] = {"system": "pagerduty", "after": after}
        told = self.control.get("/requests", params=query).raise_for_status().json()
        return list(told["requests"])

    def last(self) -> int:
        """The number of the newest request."""
        query = {"count_only": 1}
        return int(self.control.get("/requests", params=query).raise_for_status().json()["last"])

    def rules(self, *actions: str) -> None:
        """Put the one rule in force, with these actions."""
        text = RULES.format(actions=", ".join(f"{{{one}}}" for one in actions))
        (self.home / "rulesets" / "a.yaml").write_text(text)

    def planned(self, cases: int, *actions: str) -> None:
        """Make Cases, and leave what the rule wants done about them in the outbox."""
        self.rules(*actions)
        for at in range(cases):
            fields = CASE | {"Subject": f"Database {at} is down"}
            self.put("/salesforce/records", {"object": "Case", "fields": fields})
        with self.run() as run:
            pull(run, "salesforce")
            judge_pending(run, "salesforce")

    def run(self) -> Run:
        """A run of the integration."""
        return open_run(load_integration("default"), self.ledger)


@contextmanager
def _bench() -> Iterator[_Bench]:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        ready = home / "ready.json"
        command = [sys.executable, "-m", "sandbox", "--ready-file", str(ready)]
        served = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            told = _waited_for(ready, served)
            for folder in ("rulesets", "integrations"):
                (home / folder).mkdir()
            (home / "integrations" / "default.yaml").write_text(SETTINGS)
            variables = {
                "PDSF_RULESETS_DIR": str(home / "rulesets"),
                "PDSF_INTEGRATIONS_DIR": str(home / "integrations"),
                "PDSF_LEDGER_URL": f"sqlite:///{home}/ledger.db",
                "AIRFLOW_HOME": str(home),
                **told["connections"],
            }
            ledger = open_ledger(variables["PDSF_LEDGER_URL"])
            with (
                patch.dict(os.environ, variables),
                httpx2.Client(base_url=told["control_url"], timeout=60) as control,
            ):
                bench = _Bench(control, home, ledger)
                bench.put("/pagerduty/settings", {"per_minute": 0, "per_operation": {}})
                bench.rules(PAGE)
                with bench.run() as run:
                    sync(run, "salesforce")
                # What is stamped in the second of the first look was there before it.
                time.sleep(1.1)
                yield bench
            ledger.close()
        finally:
            served.terminate()
            served.wait(30)


def _waited_for(ready: Path, served: subprocess.Popen[bytes]) -> dict[str, Any]:
    until = time.monotonic() + 60
    while not ready.exists():
        if served.poll() is not None or time.monotonic() > until:
            raise RuntimeError("the sandbox did not start")
        time.sleep(0.05)
    return dict(json.loads(ready.read_text()))


@dataclass(frozen=True, slots=True)
class Limited:
    """Whole windows of the limit: the share of the allowance that was used, and of requests that were refused."""

    workers: int
    used: float
    refused: float


def under_the_limit(b: _Bench, workers: int) -> Limited:
    """Let this many processes that share the ledger make incidents while PagerDuty limits their one key."""
    b.planned(LIMITED, PAGE)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "plugins")}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env=environment,
            stdin=-1,
            stdout=-1,
            stderr=None,
            text=True,
        )
        for _ in range(workers)
    ]
    for one in started:
        assert one.stdout is not None
        one.stdout.readline()
    before = b.last()
    b.put("/pagerduty/settings", {"per_minute": LIMIT, "window_seconds": WINDOW})
    for one in started:
        one.communicate("\n", timeout=120)
    b.put("/pagerduty/settings", {"per_minute": 0, "window_seconds": 60})
    made = b.requests(before)
    passed = Counter(int(one["at"] // WINDOW) for one in made if one["status"] != 429)
    whole = range(
        min(passed) + 1, max(passed)
    )  # of the first and the last window only a part was in use
    used = sum(passed[at] for at in whole) / (LIMIT * len(whole))
    return Limited(workers, used, sum(one["status"] == 429 for one in made) / len(made))


def ours(b: _Bench, cases: int, *actions: str) -> float:
    """Return how many actions a second one worker carries out when each answer takes LATENCY."""
    b.planned(cases, *actions)
    with _slow(b), b.run() as run:
        run.pagerduty.server_now()
        started = time.perf_counter()
        told = apply(run, "salesforce", patience=30)
        took = time.perf_counter() - started
    if told["applied"] != cases * len(actions):
        raise RuntimeError(f"not all was applied: {told}")
    return cases * len(actions) / took


def loop(b: _Bench, cases: int) -> float:
    """Return how many actions a second people's own script makes: a call for each, one after the other."""
    made = [
        b.put("/salesforce/records", {"object": "Case", "fields": CASE | {"Priority": "Low"}})["id"]
        for _ in range(cases)
    ]
    with _slow(b), b.run() as run:
        service = run.lookups.service("Support P1")
        pagerduty, cases_of = run.pagerduty.session(), _cases(run)
        started = time.perf_counter()
        for case_id in made:
            body = {
                "type": "incident",
                "title": CASE["Subject"],
                "service": {"id": service, "type": "service_reference"},
            }
            incident = pagerduty.rpost("incidents", json=body)
            cases_of.update(case_id, {"Status": "Escalated"})
            path = f"incidents/{incident['id']}/notes"
            pagerduty.rpost(path, json={"content": "From Salesforce"})
        return 3 * cases / (time.perf_counter() - started)


def _cases(run: Run) -> SFType:
    """Return simple-salesforce's own way to Cases."""
    found = getattr(run.salesforce.direct(), "Case")  # noqa: B009 - it is made up at run time
    assert isinstance(found, SFType)
    return found


@contextmanager
def _slow(b: _Bench) -> Iterator[None]:
    """Let every answer of both services take LATENCY longer."""
    fault = b.put("/faults", {"kind": "slow", "times": None, "seconds": LATENCY})
    try:
        yield
    finally:
        b.control.delete("/faults", params={"id": fault["id"]}).raise_for_status()


def measure() -> list[Line]:
    """Return the shares of the allowance, and actions a second beside the loop's."""
    lines: list[Line] = []
    with _bench() as b:
        for workers in (1, 3):
            told = under_the_limit(b, workers)
            group = "PagerDuty's limit, as its share that was used (1.00x: all)"
            what = (
                f"{workers} worker{'s' if workers > 1 else ''}, {told.refused:.1%} refused with 429"
            )
            lines.append(Line(group, what, told.used * LIMIT / WINDOW, told.used, "calls/s"))
    with _bench() as b:
        group = f"{LATENCY * 1000:.0f} ms an answer"
        plain = loop(b, LOOPED)
        lines.append(Line(group, "a plain loop over the official clients", plain, 1.0, "acts/s"))
        alone = ours(b, SINGLES, PAGE)
        lines.append(Line(group, "incidents only", alone, alone / plain, "acts/s"))
        mixed = ours(b, MIXED, PAGE, WRITE, NOTE)
        what = "incidents, writes to their Cases, notes"
        lines.append(Line(group, what, mixed, mixed / plain, "acts/s"))
    if any(not math.isfinite(line.times) for line in lines):
        raise RuntimeError("nothing was measured")
    return lines


if __name__ == "__main__":
    from benchmarks.table import show

    show("Throughput", measure())
