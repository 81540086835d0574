"""`make up`: an embedded Airflow in the foreground, until Ctrl-C or TERM."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from embedded.errors import EmbeddedAirflowError
from embedded.running import ROOT, RunningAirflow, running_airflow
from pd_sf_rules.dotenv import env_file, read_dotenv
from pd_sf_rules.errors import SettingsError

_SHORT = {
    "api-server": "api",
    "task-server": "tasks",
    "scheduler": "scheduler",
    "dag-processor": "dags",
    "triggerer": "triggers",
}
_output = threading.Lock()


def say(prefix: str, line: str) -> None:
    """One line on standard output, whichever thread it comes from."""
    with _output:
        sys.stdout.write(f"{_SHORT.get(prefix, prefix):<9} | {line}\n")
        sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop: 0 when it was, 1 after one sentence saying why it could not run."""
    options = _parser().parse_args(argv)
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if not stop.is_set():
            stop.set()
            raise _Stopped

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    try:
        env = {**read_dotenv(env_file(ROOT, os.environ)), **os.environ}
        with running_airflow(
            options.home,
            env,
            port=options.port,
            dags_folder=options.dags,
            on_line=_quiet if options.quiet else say,
        ) as airflow:
            _announce(airflow)
            while not stop.wait(0.5):
                airflow.components.restart_ended()
    except _Stopped:
        say("up", "stopped: no process of this Airflow is left")
    except (EmbeddedAirflowError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


class _Stopped(Exception):  # noqa: N818  # not an error: somebody asked for it
    pass


def _announce(airflow: RunningAirflow) -> None:
    for line in (
        "",
        f"Airflow is up after {airflow.startup_seconds:.0f} s: {airflow.base_url}",
        f"user {airflow.username}, password {airflow.password}   (kept in {airflow.home / 'passwords.json'})",
        "DAGs start paused: switch on those you want. Ctrl-C stops everything.",
        "",
    ):
        say("up", line)


def _quiet(_component: str, _line: str) -> None:
    """Keep the lines of the components in their log files only."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m embedded", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="port on 127.0.0.1 (default: 8080)")
    parser.add_argument(
        "--home",
        type=Path,
        default=ROOT / ".run" / "airflow",
        help="folder for database, logs and secrets (default: .run/airflow)",
    )
    parser.add_argument(
        "--dags", type=Path, default=ROOT / "dags", help="DAGs folder (default: dags)"
    )
    parser.add_argument("--quiet", action="store_true", help="logs into HOME/logs only")
    return parser


if __name__ == "__main__":
    sys.exit(main())
