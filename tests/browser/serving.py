"""Airflow's own api-server over a small world: real login, real permissions, our pages; four people may sign in."""

import hmac
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from embedded import database
from embedded.running import free_port
from pd_sf_rules.ledger import Ledger, open_ledger
from sandbox.world import World

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 240
SECRET_KEY = "only-for-tests"
PEOPLE = {"admin": "admin", "manager": "op", "user": "user", "auditor": "viewer"}
"""Name: role of Airflow's simple auth manager. They are the original product's four roles."""


@dataclass
class Site:
    """The running server, and the files and the ledger it serves."""

    url: str
    home: Path
    sandbox: World
    passwords: Mapping[str, str] = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    """Where the pipeline finds this world: folders, ledger, connections."""
    pid: int = 0
    """The server's process."""
    _clients: dict[str, httpx.Client] = field(default_factory=dict, repr=False)

    @property
    def pages(self) -> str:
        """Where our pages begin, with a slash at the end."""
        return f"{self.url}/pd-sf-rules/"

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger that the server reads, opened in this process too."""
        return open_ledger(f"sqlite:///{self.ledger_file}")

    def client(self, person: str = "") -> httpx.Client:
        """An HTTP client of our pages: signed in with the UI's cookie, or a stranger for ""."""
        if person not in self._clients:
            cookies = {"_token": self.token(person)} if person else {}
            self._clients[person] = httpx.Client(base_url=self.pages, cookies=cookies, timeout=30)
        return self._clients[person]

    def token(self, person: str) -> str:
        """The person's JWT, as Airflow's login gives it."""
        secret = {"username": person, "password": self.passwords[person]}
        answer = httpx.post(f"{self.url}/auth/token", json=secret, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    @staticmethod
    def own_token(person: str) -> str:
        """A token as only the server makes it: HMAC of the person's name and the day with Airflow's secret key."""
        text = f"pd-sf-rules\n{int(time.time() // 86_400)}\n{person}"
        return hmac.new(SECRET_KEY.encode(), text.encode(), "sha256").hexdigest()

    def audit(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        """What our pages wrote into Airflow's audit log, newest first: (event, who, DAG, what else)."""
        query = (
            "SELECT event, owner, dag_id, extra FROM log WHERE event LIKE 'pdsf.%' ORDER BY id DESC"
        )
        with closing(sqlite3.connect(self.home / "airflow.db", timeout=20)) as c:
            return [
                (event, who, dag, json.loads(extra)) for event, who, dag, extra in c.execute(query)
            ]

    def cost(self, person: str, path: str, *, tries: int = 3) -> float:
        """Seconds of processor time that the server spends on a page, the least of a few tries.

        Not seconds by the clock: those are the machine's, which may be busy with something else.
        """
        client, server = self.client(person), psutil.Process(self.pid)
        spent: list[float] = []
        for _ in range(tries + 1):  # the first one may load templates and wake a connection
            before = server.cpu_times()
            client.get(path).raise_for_status()
            after = server.cpu_times()
            spent.append(after.user + after.system - before.user - before.system)
        return min(spent)

    def ruleset(self, text: str, file: str = "critical.yaml") -> Path:
        """Write a ruleset file."""
        path = self.home / "rulesets" / file
        path.write_text(text, encoding="utf-8")
        return path

    def integration(self, name: str = "default", **settings: Any) -> None:
        """Write an integration file."""
        text = yaml.safe_dump({"name": name} | settings)
        (self.home / "integrations" / f"{name}.yaml").write_text(text, encoding="utf-8")

    def clear(self) -> None:
        """Back to an empty ledger, no files, and simulated services as they were at the start."""
        self.sandbox.reset()
        self.restore(self.kept("empty", lambda: None))
        for name in ("rulesets", "integrations"):
            shutil.rmtree(self.home / name)
            (self.home / name).mkdir()

    def kept(self, name: str, write: Callable[[], None]) -> Path:
        """A copy of the ledger as it is once `write` has written into it; it writes only once a session."""
        path = self.home / f"{name}.kept.db"
        if not path.exists():
            assert self.ledger  # which makes its tables
            write()
            _copy(self.ledger_file, path)
        return path

    def restore(self, path: Path) -> None:
        """Make the ledger what that copy is; the server reads on undisturbed."""
        _copy(path, self.ledger_file)

    @property
    def ledger_file(self) -> Path:
        """The ledger's SQLite file."""
        return self.home / "ledger.db"

    def close(self) -> None:
        """Close what this process opened."""
        for one in self._clients.values():
            one.close()
        self.ledger.close()


@contextmanager
def running_site(home: Path, sandbox: World) -> Iterator[Site]:
    """Serve Airflow's api-server (without the execution API) in `home` until the block ends."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    passwords = {name: f"{name}-only-for-tests" for name in PEOPLE}
    (home / "passwords.json").write_text(json.dumps(passwords), encoding="utf-8")
    for name in ("rulesets", "integrations", "dags"):
        (home / name).mkdir()
    environ = _environment(home, url) | dict(sandbox.connections)
    database.prepare(home, environ, ROOT / ".run" / "templates")
    ours = {n: v for n, v in environ.items() if n.startswith(("PDSF_", "AIRFLOW_CONN_"))}
    site = Site(url, home, sandbox, passwords, ours)
    with (home / "api-server.log").open("wb") as log:
        command = [sys.executable, "-m", "uvicorn", "airflow.api_fastapi.main:app"]
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--no-access-log"],
            env=environ, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        site.pid = server.pid
        try:
            _wait(site, server)
            yield site
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            site.close()


def _copy(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(source, timeout=20)) as read,
        closing(sqlite3.connect(target, timeout=20)) as written,
    ):
        read.backup(written)


def _environment(home: Path, url: str) -> dict[str, str]:
    users = ",".join(f"{name}:{role}" for name, role in PEOPLE.items())
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "PDSF_"))
    }
    return inherited | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_API_APPS": "core",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=20",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": "c29tZS1rZXktb25seS1mb3ItdGVzdHMtMDEyMzQ1Njc=",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": users,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": SECRET_KEY,
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-tests-and-long-enough-for-its-purpose-of-signing-tokens",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "PDSF_LEDGER_URL": f"sqlite:///{home}/ledger.db",
        "PDSF_RULESETS_DIR": str(home / "rulesets"),
        "PDSF_INTEGRATIONS_DIR": str(home / "integrations"),
        "PYTHONPATH": str(ROOT / "plugins"),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def _wait(site: Site, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(f"{site.url}/api/v2/version", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if server.poll() is not None or time.monotonic() > deadline:
            text = (site.home / "api-server.log").read_text(errors="replace")
            raise RuntimeError(f"the api-server did not come up:\n{text[-3000:]}")
        time.sleep(0.1)
