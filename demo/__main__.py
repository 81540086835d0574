"""`make demo`: play the story through a real Airflow, show each step, and exit 0 only if every effect was seen."""

import argparse
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from demo.screen import BOLD, DIM, GREEN, RED, Screen, Seen
from demo.setting import ROOT, prepare
from demo.story import STORY, Stage, Step
from embedded.errors import EmbeddedAirflowError
from embedded.running import RunningAirflow, running_airflow
from sandbox.running import running_sandbox
from sandbox.world import World

DAGS = ("salesforce_to_pagerduty", "pagerduty_to_salesforce", "note_sync")
FOLDER = ROOT / ".run" / "demo"
EFFECT_SECONDS = 60.0
QUIET_SECONDS = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Play; return 0 when all was seen, 1 otherwise, 130 when it was interrupted."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    screen = Screen()
    try:
        return _play(screen, keep=options.keep, port=options.port)
    except KeyboardInterrupt:
        screen.say("stopped: nothing is left running")
        return 130
    except EmbeddedAirflowError as error:
        screen.say(str(error), RED)
        return 1


def _play(screen: Screen, *, keep: bool, port: int) -> int:
    settings = prepare(FOLDER)
    with running_sandbox(FOLDER / "sandbox") as world:
        screen.say("A simulated Salesforce and PagerDuty are up. Starting Airflow ...", DIM)
        env = {**world.connections, **settings}
        with running_airflow(FOLDER / "airflow", env, port=port, on_line=_unheard) as airflow:
            world.airflow_url = airflow.base_url
            screen.say(f"Airflow is up: {airflow.base_url}", DIM)
            _start_syncing(airflow)
            screen.say("The three sync DAGs are on and have taken their silent baseline.", DIM)
            stage = Stage(world)
            calls = len(world.traffic.requests())
            seen = [row for step in STORY for row in _perform(screen, stage, step)]
            seen.append(_quiet(screen, world))
            screen.table(seen)
            _tell_the_rest(screen, airflow, len(world.traffic.requests()) - calls)
            if keep:
                _stay(screen, airflow, world)
    missing = [row for row in seen if row.seconds is None]
    if missing:
        screen.say(f"{len(missing)} effect(s) were not seen. Logs: {_logs()}", RED)
        return 1
    screen.say(f"All {len(seen)} effects were seen on both sides.", GREEN)
    return 0


def _start_syncing(airflow: RunningAirflow) -> None:
    """Switch the DAGs on and wait for the first run that a watcher of each rang for: the silent baseline is taken."""
    for dag_id in DAGS:
        airflow.unpause(dag_id)
    for dag_id in DAGS:
        deadline = time.monotonic() + EFFECT_SECONDS
        while not any(_was_rung(run) for run in airflow.runs(dag_id)):
            if time.monotonic() > deadline:
                raise EmbeddedAirflowError(f"{dag_id} had no successful run. Logs: {_logs()}")
            time.sleep(0.5)


def _was_rung(run: Mapping[str, Any]) -> bool:
    return bool(run["run_type"] == "asset_triggered" and run["state"] == "success")


def _perform(screen: Screen, stage: Stage, step: Step) -> list[Seen]:
    screen.say(step.says, BOLD)
    started = time.monotonic()
    step.act(stage)
    rows: list[Seen] = []
    for effect, is_seen in step.sees.items():
        deadline = started + EFFECT_SECONDS
        came = is_seen(stage)
        while not came and time.monotonic() < deadline:
            time.sleep(0.05)
            came = is_seen(stage)
        rows.append(Seen(step.says, effect, time.monotonic() - started if came else None))
        screen.effect(rows[-1])
        if not came:
            break
    return rows


def _quiet(screen: Screen, world: World) -> Seen:
    """Wait until the last effects have settled, then count the writes of ten seconds: an echo would be one."""
    screen.say(f"Nobody does anything for {QUIET_SECONDS:.0f} seconds", BOLD)
    _settle(world)
    before = len(world.traffic.requests(writes_only=True))
    time.sleep(QUIET_SECONDS)
    writes = len(world.traffic.requests(writes_only=True)) - before
    row = Seen(
        "Silence",
        "Nothing is written to either side: no echo",
        QUIET_SECONDS if not writes else None,
    )
    screen.effect(row)
    return row


def _settle(world: World) -> None:
    """Return after three seconds without a write, or after a minute."""
    deadline = time.monotonic() + EFFECT_SECONDS
    count, since = -1, time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < 3:
        now = len(world.traffic.requests(writes_only=True))
        if now != count:
            count, since = now, time.monotonic()
        time.sleep(0.1)


def _tell_the_rest(screen: Screen, airflow: RunningAirflow, calls: int) -> None:
    runs = sum(len(airflow.runs(dag_id)) for dag_id in DAGS)
    screen.say(
        f"{runs} DAG runs; {calls} API calls to both sides, one a second and side being the watching."
    )
    screen.say(
        "Where to look: each run's last task holds its lineage (XCom); Assets show the watchers."
    )
    screen.say(
        f"The ledger: {FOLDER / 'ledger.db'}  (pdsf explain --record ID tells the story of a Case)"
    )


def _stay(screen: Screen, airflow: RunningAirflow, world: World) -> None:
    screen.say("")
    screen.say(
        f"Airflow     {airflow.base_url}   user {airflow.username}   password {airflow.password}",
        BOLD,
    )
    screen.say(f"Pages       {airflow.base_url}/pd-sf-rules/activity   what the sync does", BOLD)
    screen.say(f"Both sides  {world.control_url}   play them by hand", BOLD)
    screen.say("Ctrl-C stops everything.")
    while True:
        airflow.components.restart_ended()
        time.sleep(0.5)


def _logs() -> Path:
    return FOLDER / "airflow" / "logs"


def _unheard(_component: str, _line: str) -> None:
    """Leave the components' lines to their log files."""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument("--port", type=int, default=0, help="Airflow's port (default: a free one)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
