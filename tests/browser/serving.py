"""Airflow's own api-server over a small world: real login, real permissions, our pages; four people may sign in."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import yaml

from embedded import database
from embedded.running import free_port
from pd_sf_rules.ledger import Ledger, open_ledger
from pd_sf_rules.ledger.tables import metadata
from sandbox.world import World

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90
PEOPLE = {"admin": "admin", "manager": "op", "user": "user", "auditor": "viewer"}
"""Name: role of Airflow's simple auth manager. They are the original product's four roles."""


@dataclass
class Site:
    """The running server, and the files and the ledger it serves."""

    url: str
    home: Path
    sandbox: World
    passwords: Mapping[str, str] = field(repr=False)
    _clients: dict[str, httpx.Client] = field(default_factory=dict, repr=False)

    @property
    def pages(self) -> str:
        """Where our pages begin, with a slash at the end."""
        return f"{self.url}/pd-sf-rules/"

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger that the server reads, opened in this process too."""
        return open_ledger(f"sqlite:///{self.home}/ledger.db")

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
    def token_in(html: str) -> str:
        """The anti-forgery token in a page's forms."""
        found = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', html)
        assert found, "the page has no form"
        return found[1]

    def audit(self) -> list[dict[str, Any]]:
        """Airflow's audit log, newest first: the entries that our pages wrote."""
        headers = {"Authorization": f"Bearer {self.token('admin')}"}
        address = f"{self.url}/api/v2/eventLogs?order_by=-when&limit=50"
        found = httpx.get(address, headers=headers, timeout=30).raise_for_status().json()
        return [one for one in found["event_logs"] if one["event"].startswith("pdsf.")]

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
        with self.ledger.begin() as c:
            for table in reversed(metadata.sorted_tables):
                c.execute(table.delete())
        for name in ("rulesets", "integrations"):
            shutil.rmtree(self.home / name)
            (self.home / name).mkdir()

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
    site = Site(url, home, sandbox, passwords)
    with (home / "api-server.log").open("wb") as log:
        command = [sys.executable, "-m", "uvicorn", "airflow.api_fastapi.main:app"]
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--no-access-log"],
            env=environ, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
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
        "AIRFLOW__API__SECRET_KEY": "only-for-tests",
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
