"""`running_airflow`: an embedded Airflow for as long as a `with` block lasts."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from embedded import database
from embedded.components import Components, LineSink, commands
from embedded.errors import EmbeddedAirflowError
from embedded.home import USERNAME, held, passwords_file, read_secrets
from embedded.rest import AirflowApi
from embedded.tuning import HOST, Folders, Ports, environment

ROOT = Path(__file__).resolve().parent.parent
_NEEDED = ("metadatabase", "scheduler", "triggerer", "dag_processor")


class RunningAirflow(AirflowApi):
    """An embedded Airflow that is up: where it is, how to log in, and its REST API."""

    def __init__(
        self, base_url: str, password: str, home: Path, components: Components, seconds: float
    ) -> None:
        super().__init__(base_url, USERNAME, password)
        self.username = USERNAME
        self.password = password
        self.home = home
        self.startup_seconds = seconds
        self.components = components


@contextlib.contextmanager
def running_airflow(
    home: Path,
    env: Mapping[str, str] | None = None,
    *,
    port: int = 0,
    dags_folder: Path = ROOT / "dags",
    plugins_folder: Path = ROOT / "plugins",
    on_line: LineSink = lambda _component, _line: None,
    timeout: float = 120.0,
) -> Iterator[RunningAirflow]:
    """Run scheduler, triggerer, DAG processor and api-server in `home` until the block ends.

    `env` is added to the environment of this process: connections, PDSF_* and AIRFLOW__* variables.
    `port` 0 takes a free one. `on_line(component, line)` is given every line that a component
    writes; they are also in `home/logs/COMPONENT.log`. Gives the Airflow once all components
    say that they are healthy. When the block ends, every process started here has ended. Raises
    EmbeddedAirflowError when the home or the port is taken, or a component does not come up in
    `timeout` seconds.
    """
    started = time.monotonic()
    home = home.resolve()
    ports = Ports(free_port() if port == 0 else require_free(port), free_port())
    with held(home) as lock:
        secrets = read_secrets(home)
        environ = environment(
            Folders(home, dags_folder.resolve(), plugins_folder.resolve()),
            secrets,
            passwords_file(home, secrets.password),
            ports,
            {**os.environ, **(env or {})},
        )
        database.prepare(home, environ, ROOT / ".run" / "templates")
        components = Components(environ, home / "logs", ROOT, on_line, commands(ports.tasks))
        try:
            components.start(lock=lock)
            url = f"http://{HOST}:{ports.api}"
            with RunningAirflow(url, secrets.password, home, components, 0.0) as airflow:
                _wait_until_healthy(airflow, ports.tasks, timeout)
                airflow.startup_seconds = time.monotonic() - started
                yield airflow
        finally:
            components.stop()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def require_free(port: int) -> int:
    """Return `port`, or raise EmbeddedAirflowError when somebody listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise EmbeddedAirflowError(
                f"Port {port} cannot be used ({error}): choose another one with PORT=..."
            ) from None
    return port


def _answers(task_port: int) -> bool:
    """Whether tasks are answered: the first request takes long, and no task is to wait for it."""
    try:
        httpx.get(f"http://{HOST}:{task_port}/execution/health", timeout=30.0, trust_env=False)
    except httpx.HTTPError:
        return False
    return True


def _wait_until_healthy(airflow: RunningAirflow, task_port: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        airflow.components.require_alive()
        health = airflow.health()
        missing = [name for name in _NEEDED if health.get(name) != "healthy"]
        missing += [] if _answers(task_port) else ["task-server"]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise EmbeddedAirflowError(
                f"Airflow did not come up within {timeout:.0f} s: no sign of {', '.join(missing)}; "
                f"see {airflow.home / 'logs'}."
            )
        time.sleep(0.2)
