"""Starts, watches, restarts and ends the components of an embedded Airflow."""

import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from embedded.errors import EmbeddedAirflowError
from embedded.sessions import end_sessions


def commands(task_port: int) -> dict[str, tuple[str, ...]]:
    """What Python is to run, by component. `task_port` is where tasks find the api-server of their own."""
    # --skip-serve-logs: the api-server reads the same folder, and two embedded Airflows would fight
    # for the log server's port.
    return {
        "api-server": ("-m", "airflow", "api-server", "--apps", "core"),
        "task-server": (
            *("-m", "airflow", "api-server", "--apps", "execution"),
            *("--port", str(task_port)),
        ),
        "scheduler": ("-m", "airflow", "scheduler", "--skip-serve-logs"),
        "dag-processor": ("-m", "airflow", "dag-processor"),
        "triggerer": ("-m", "airflow", "triggerer", "--skip-serve-logs"),
    }


_LONGEST_PAUSE = 30.0
_STEADY_AFTER = 60.0

LineSink = Callable[[str, str], None]


@dataclass(slots=True)
class _Component:
    name: str
    process: subprocess.Popen[bytes]
    reader: threading.Thread
    started: float
    restarts: int = 0
    again_at: float | None = None
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=15))


class Components:
    """The running components of one Airflow: by name, what Python is to run.

    `on_line(component, line)` is given every line that they write, from several threads; all of it
    is also kept in `LOGS/COMPONENT.log`.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        logs: Path,
        cwd: Path,
        on_line: LineSink,
        commands: Mapping[str, tuple[str, ...]],
    ) -> None:
        self._environ = dict(environ)
        self._logs = logs
        self._cwd = cwd
        self._on_line = on_line
        self._commands = commands
        self._running: dict[str, _Component] = {}
        self._sessions: set[int] = set()
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self, *, lock: int | None = None) -> None:
        """Start every component. `lock` is a file descriptor that the guard keeps open to its end."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "embedded.guard"],
            stdin=subprocess.PIPE,
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
            cwd=Path(__file__).resolve().parent.parent,
        )
        for name in self._commands:
            self._running[name] = self._spawn(name)

    def require_alive(self) -> None:
        """Raise EmbeddedAirflowError with the last lines of a component that has ended; for the time of starting up."""
        for component in self._running.values():
            code = component.process.poll()
            if code is not None:
                component.reader.join(timeout=2)
                raise EmbeddedAirflowError(
                    f"Airflow's {component.name} ended with code {code} while starting; its last words "
                    f"(all in {self._logs / component.name}.log):\n" + "\n".join(component.tail)
                )

    def restart_ended(self) -> None:
        """Start again each component that has ended by itself; the pause doubles each time, up to half a minute."""
        now = time.monotonic()
        for name, component in list(self._running.items()):
            code = component.process.poll()
            if code is None:
                continue
            if component.again_at is None:
                self._schedule_restart(component, code, now)
            elif now >= component.again_at:
                end_sessions({component.process.pid}, patience=0)
                self._forget(component.process.pid)
                fresh = self._spawn(name)
                fresh.restarts = component.restarts + 1
                self._running[name] = fresh

    @property
    def environ(self) -> dict[str, str]:
        """The variables that every component is started with; a command beside them needs the same."""
        return dict(self._environ)

    def pids(self) -> dict[str, int]:
        """Process id (it is the session id too) by component."""
        return {name: component.process.pid for name, component in self._running.items()}

    def sessions(self) -> frozenset[int]:
        """The session of every component."""
        return frozenset(self._sessions)

    def stop(self, *, patience: float = 8.0) -> None:
        """End every process that was started here, directly or by a component; return when none is left."""
        end_sessions(self._sessions, patience=patience)
        for component in self._running.values():
            component.process.wait()
            component.reader.join(timeout=5)
        self._running.clear()
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None

    def _schedule_restart(self, component: _Component, code: int, now: float) -> None:
        if now - component.started > _STEADY_AFTER:
            component.restarts = 0
        pause = min(2.0**component.restarts, _LONGEST_PAUSE)
        component.again_at = now + pause
        self._on_line(component.name, f"ended with code {code}; starting it again in {pause:.0f} s")

    def _spawn(self, name: str) -> _Component:
        process = subprocess.Popen(
            [sys.executable, *self._commands[name]],
            env=self._environ,
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._sessions.add(process.pid)
        self._tell_guard(f"+{process.pid}")
        component = _Component(name, process, threading.Thread(), time.monotonic())
        component.reader = threading.Thread(
            target=self._read, args=(component,), name=f"read {name}", daemon=True
        )
        component.reader.start()
        return component

    def _forget(self, session: int) -> None:
        """An ended session's id may come to belong to somebody else's process."""
        self._sessions.discard(session)
        self._tell_guard(f"-{session}")

    def _tell_guard(self, word: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.write(f"{word}\n".encode())
            self._guard.stdin.flush()

    def _read(self, component: _Component) -> None:
        assert component.process.stdout is not None
        with (
            component.process.stdout as lines,
            (self._logs / f"{component.name}.log").open("ab") as log,
        ):
            for raw in lines:
                log.write(raw)
                log.flush()
                line = raw.decode(errors="replace").rstrip()
                component.tail.append(line)
                self._on_line(component.name, line)
