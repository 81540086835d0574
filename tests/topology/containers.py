"""Services of the compose file as processes of this machine: the same command, the same environment, other places."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from embedded.sessions import end_sessions, members, send
from tests.topology.compose import Service

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PROGRAMS = frozenset({"bash", "sh", "python", "airflow"})
"""What the entry point of Airflow's image runs as it stands; before anything else it puts `airflow`."""


@dataclass(slots=True)
class Containers:
    """Started services, each in a session of its own; `logs` holds what each wrote.

    `places` maps what containers see (host names, folders) to where it is on this machine.
    """

    places: Mapping[str, str]
    logs: Path
    _guard: subprocess.Popen[bytes]
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(
        self,
        service: Service,
        name: str = "",
        *,
        more: tuple[str, ...] = (),
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> subprocess.Popen[bytes]:
        """Start a service (under another name, with more words and variables, where there are two of it)."""
        name = name or service.name
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self.words(service.command) + list(more),
                env={**self.environment(service), **environ},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._tell_guard(f"+{process.pid}")
        self._running[name] = process
        return process

    def run(self, service: Service, *, seconds: float) -> None:
        """Start a service that ends by itself and wait for it. Raises AssertionError with its log if it failed."""
        code = self.start(service).wait(seconds)
        assert code == 0, self.log(service.name)

    def check(self, service: Service, *, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a service's health check once."""
        kind, *words = service.healthcheck
        command = ["bash", "-c", *words] if kind == "CMD-SHELL" else words
        return subprocess.run(
            [self.here(word) for word in command],
            env=self.environment(service),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def kill(self, name: str) -> None:
        """End a service and everything it forked, as a machine that loses its power does."""
        send(members({self._running[name].pid}), signal.SIGKILL)
        self._running[name].wait()

    def name_of(self, pid: int) -> str:
        """Return which service a process belongs to."""
        session = os.getsid(pid)
        return next(name for name, process in self._running.items() if process.pid == session)

    def log(self, name: str) -> str:
        """The last lines that a service wrote."""
        lines = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-40:])

    def ended(self) -> dict[str, str]:
        """The last lines of every service that has ended with an error."""
        return {name: self.log(name) for name, one in self._running.items() if one.poll()}

    def words(self, command: tuple[str, ...]) -> list[str]:
        """A command as the entry point of the image runs it."""
        words = [self.here(word) for word in command]
        return words if words[0] in PROGRAMS else ["airflow", *words]

    def environment(self, service: Service) -> dict[str, str]:
        """What the service sees: of this machine only the path and the locale."""
        usual = {
            name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ
        }
        path = os.pathsep.join((str(BIN), os.environ["PATH"]))
        given = {name: self.here(value) for name, value in service.environment.items()}
        return usual | {"PATH": path} | given

    def here(self, text: str) -> str:
        """Replace the places of containers by those of this machine."""
        for there, here in self.places.items():
            text = text.replace(there, here)
        return text

    def stop(self) -> None:
        """End everything that was started."""
        end_sessions({process.pid for process in self._running.values()}, patience=3.0)
        for process in self._running.values():
            process.wait()
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait()

    def _tell_guard(self, word: str) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.write(f"{word}\n".encode())
        self._guard.stdin.flush()


@contextlib.contextmanager
def containers(places: Mapping[str, str], logs: Path) -> Iterator[Containers]:
    """Services for the length of a block; nothing outlives it, nor a test that is killed."""
    logs.mkdir()
    guard = subprocess.Popen(
        [sys.executable, "-m", "embedded.guard"],
        stdin=subprocess.PIPE,
        start_new_session=True,
        cwd=ROOT,
    )
    running = Containers(places, logs, guard)
    try:
        yield running
    finally:
        running.stop()


def with_options(service: Service, options: str) -> Service:
    """Return the service with more options for the program that its shell ends in."""
    *words, script = service.command
    return Service(
        service.name, (*words, f"{script} {options}"), service.environment, service.healthcheck
    )


def quoted(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))
