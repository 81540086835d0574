"""The distributed set of the compose file on this machine: real PostgreSQL and Redis, Celery, two workers."""

import contextlib
import json
import os
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from demo.setting import prepare
from embedded.rest import AirflowApi, wait_until
from embedded.running import free_port
from sandbox.postgres import PostgresServer
from sandbox.world import World
from tests.topology.compose import Service, read_services
from tests.topology.containers import ROOT, Containers, containers, quoted, with_options

COMPONENTS = ("airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
WORKERS = ("worker-1", "worker-2")
HEALTHY = ("metadatabase", "scheduler", "triggerer", "dag_processor")
PATIENT = 180.0
"""Seconds to wait for what takes a few on an idle machine."""


@dataclass(slots=True)
class Distributed:
    """The running set."""

    airflow: AirflowApi
    services: Mapping[str, Service]
    running: Containers
    ledger_url: str
    """Where this process finds the ledger that the workers share."""

    def start_workers(self, *names: str) -> None:
        """Start workers and wait until Celery hears each."""
        for name in names:
            self.running.start(
                self.services["airflow-worker"],
                name,
                more=("--celery-hostname", f"{name}@%h"),
                environ={"AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port())},
            )
        for name in names:
            wait_until(partial(self._is_ready, name), what=f"{name} to be ready", timeout=PATIENT)

    def _is_ready(self, name: str) -> bool | None:
        assert self.running.ended() == {}
        return " ready." in self.running.log(name) or None


@contextlib.contextmanager
def running_distributed(
    folder: Path, postgres: PostgresServer, sandboxes: Mapping[str, World]
) -> Iterator[Distributed]:
    """Run the services of docker-compose.yaml, profile demo, with two workers; relays are not needed on one machine.

    `sandboxes` holds the accounts of each integration, the first of them `default`.
    """
    variables = _variables()
    services = read_services(ROOT / "docker-compose.yaml", variables)
    ports = {"api": free_port(), "redis": free_port()}
    places = _places(folder, ports, postgres)
    _fill_home(folder, sandboxes)
    with containers(places, folder / "logs-of-services") as running:
        _start_stores(services, running, variables, postgres, folder, ports["redis"])
        running.run(_airflow(services["airflow-init"]), seconds=PATIENT)
        _import_connections(_airflow(services["demo-connections"]), running, sandboxes, folder)
        running.start(
            _airflow(services["airflow-apiserver"]),
            environ={"AIRFLOW__API__PORT": str(ports["api"])},
        )
        for name in COMPONENTS:
            running.start(_airflow(services[name]), environ=_own_ports())
        known = {name: _airflow(service) for name, service in services.items()}
        url = f"http://127.0.0.1:{ports['api']}"
        with AirflowApi(url, "admin", variables["AIRFLOW_ADMIN_PASSWORD"]) as airflow:
            ledger = running.here(services["airflow-worker"].environment["PDSF_LEDGER_URL"])
            distributed = Distributed(airflow, known, running, ledger)
            distributed.start_workers(*WORKERS)
            wait_until(lambda: _is_healthy(distributed), what="every component", timeout=PATIENT)
            yield distributed


def _variables() -> dict[str, str]:
    """Secrets as `.env` would hold them, new for each run."""
    names = (
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "AIRFLOW_ADMIN_PASSWORD",
        "AIRFLOW_JWT_SECRET",
        "AIRFLOW_API_SECRET_KEY",
    )
    return {name: secrets.token_hex(24) for name in names} | {
        "AIRFLOW_FERNET_KEY": urlsafe_b64encode(os.urandom(32)).decode()
    }


def _places(folder: Path, ports: Mapping[str, int], postgres: PostgresServer) -> dict[str, str]:
    return {
        "airflow-apiserver:8080": f"127.0.0.1:{ports['api']}",
        "@postgres/": f"@127.0.0.1:{postgres.port}/",
        "@redis:6379/": f"@127.0.0.1:{ports['redis']}/",
        "/tmp/passwords.json": str(folder / "passwords.json"),
        "/tmp/connections.json": str(folder / "connections.json"),
        "/opt/airflow": str(folder / "airflow"),
    }


def _fill_home(folder: Path, integrations: Iterable[str]) -> None:
    """Lay out `/opt/airflow` as the Dockerfile does; each integration has the examples, switched on."""
    home = folder / "airflow"
    home.mkdir()
    for name in ("dags", "plugins", "sandbox", "docker"):
        (home / name).symlink_to(ROOT / name)
    (home / "config").symlink_to(ROOT / "embedded" / "local_settings")
    (home / "sandbox-state").mkdir()
    prepare(home / "include")
    for name in integrations:
        if name != "default":
            _add_integration(home / "include", name)


def _add_integration(include: Path, name: str) -> None:
    """Add a pair of accounts with connections and rulesets of its own."""
    conn_ids = "".join(f"{side}_conn_id: {side}_{name}\n" for side in ("salesforce", "pagerduty"))
    integrations, rulesets = include / "integrations", include / "rulesets"
    usual = (integrations / "default.yaml").read_text()
    (integrations / f"{name}.yaml").write_text(usual.replace("default", name) + conn_ids)
    for path in list(rulesets.glob("*.yaml")):
        belongs = f"\nintegration: {name}\nname: {name} "
        (rulesets / f"{name}-{path.name}").write_text(
            path.read_text().replace("\nname: ", belongs, 1)
        )


def _airflow(service: Service) -> Service:
    """Add what the image itself sets."""
    image = dict(re.findall(r"(\w+)=(/opt/airflow/\S+)", (ROOT / "Dockerfile").read_text()))
    own = {"AIRFLOW_HOME": "/opt/airflow", "PYTHONUNBUFFERED": "1"}
    return Service(
        service.name, service.command, {**own, **image, **service.environment}, service.healthcheck
    )


def _own_ports() -> dict[str, str]:
    """Ports that each container has to itself, and processes of one machine do not."""
    return {
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
    }


def _start_stores(
    services: Mapping[str, Service],
    running: Containers,
    variables: Mapping[str, str],
    postgres: PostgresServer,
    folder: Path,
    redis_port: int,
) -> None:
    """Set PostgreSQL up as its image does with this environment and this script; start Redis by its command."""
    environment = services["postgres"].environment
    user = environment["POSTGRES_USER"]
    postgres.execute(
        f"CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{environment['POSTGRES_PASSWORD']}'",
        f"CREATE DATABASE {environment['POSTGRES_DB']} OWNER {user}",
        (ROOT / "docker" / "ledger.sql").read_text(encoding="utf-8"),
    )
    store = folder / "redis"
    store.mkdir()
    options = f"--port {redis_port} --bind 127.0.0.1 --dir {quoted(store)}"
    running.start(with_options(services["redis"], options))


def _import_connections(
    service: Service, running: Containers, sandboxes: Mapping[str, World], folder: Path
) -> None:
    """Give Airflow the accounts as the profile `demo` does, by the file that a sandbox leaves when it is ready."""
    ready = folder / "airflow" / "sandbox-state" / "ready.json"
    connections = {
        variable.replace("DEFAULT", name.upper()): value
        for name, sandbox in sandboxes.items()
        for variable, value in sandbox.connections.items()
    }
    ready.write_text(json.dumps({"connections": connections}))
    running.run(service, seconds=PATIENT)


def _is_healthy(distributed: Distributed) -> bool | None:
    assert distributed.running.ended() == {}
    health = distributed.airflow.health()
    return all(health.get(name) == "healthy" for name in HEALTHY) or None
