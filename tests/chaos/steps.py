"""Every point at which a pass can be interrupted: around each request and around each transaction of the ledger.

A pass is ended there by an exception that nothing catches, hands over to another pass, or lets a person act.
Passes that run at once take turns, so that a seed tells the whole interleaving.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from pd_sf_rules.ledger import Ledger
from pd_sf_rules.pipeline import run as run_module
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from tests.chaos.clock import VirtualClock

HERE, ELSEWHERE = "here", "elsewhere"
REQUEST_SECONDS = 0.02
TRANSACTION_SECONDS = 0.001


class Killed(BaseException):
    """The process of a pass ends here; nothing in the product may catch it."""


@dataclass(slots=True)
class Process:
    """What one pass runs in: its number is its pid, `place` the machine.

    `plan` says what happens at its n-th point (from 1); `last` names the point it came by last.
    """

    pid: int
    place: str = HERE
    plan: Mapping[int, Callable[[str], None]] = field(default_factory=dict)
    points: int = 0
    last: str = ""
    turns: "Turns | None" = None


class Turns:
    """Lets one of several threads run at a time; at each point the seed decides who goes on."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._condition = threading.Condition()
        self._waiting: list[int] = []
        self._turn = 0

    def run(self, passes: Sequence[Callable[[], None]]) -> None:
        """Run all of them to their ends."""
        self._waiting = list(range(len(passes)))
        self._turn = 0
        threads = [
            threading.Thread(target=self._one, args=(number, one), daemon=True)
            for number, one in enumerate(passes)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "two passes wait for each other"

    def hand_over(self) -> None:
        """Perhaps let another one go on; return when it is this thread's turn again."""
        with self._condition:
            mine = self._turn
            others = [one for one in self._waiting if one != mine]
            if others and self._rng.random() < 0.3:
                self._turn = self._rng.choice(others)
                self._condition.notify_all()
                self._condition.wait_for(lambda: self._turn == mine)

    def _one(self, number: int, work: Callable[[], None]) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._turn == number)
        try:
            work()
        finally:
            with self._condition:
                self._waiting.remove(number)
                if self._waiting:
                    self._turn = self._waiting[0]
                self._condition.notify_all()


class Steps:
    """Installs the points, and knows which process each thread plays."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._local = threading.local()
        self._alive: set[int] = set()
        self._next_pid = 5_000_000

    def new_process(self, **members: Any) -> Process:
        """A process that is not started yet."""
        self._next_pid += 1
        return Process(self._next_pid, **members)

    @contextmanager
    def running(self, process: Process) -> Iterator[None]:
        """Be that process in this thread; afterwards it is dead."""
        self._local.process = process
        self._alive.add(process.pid)
        try:
            yield
        finally:
            self._alive.discard(process.pid)
            self._local.process = None

    def at(self, name: str) -> None:
        """A point: time passes, and what is planned happens."""
        process: Process | None = getattr(self._local, "process", None)
        if process is None:
            return
        self._clock.pass_(TRANSACTION_SECONDS if "ledger" in name else REQUEST_SECONDS)
        process.points += 1
        process.last = name
        planned = process.plan.get(process.points)
        if planned is not None:
            planned(name)
        if process.turns is not None:
            process.turns.hand_over()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the points around requests and transactions, and name processes as the seed does."""
        for client in (SalesforceClient, PagerDutyClient):
            monkeypatch.setattr(client, "_send", self._around(client._send))
        monkeypatch.setattr(Ledger, "begin", self._transaction(Ledger.begin, "ledger write"))
        monkeypatch.setattr(Ledger, "read", self._transaction(Ledger.read, "ledger read"))
        monkeypatch.setattr(run_module, "os", SimpleNamespace(getpid=self._pid))
        monkeypatch.setattr(run_module, "_started", self._started)
        monkeypatch.setattr(run_module, "_place", self._place)

    def _around(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def sent(client: Any, *arguments: Any) -> Any:
            method, path = [one for one in arguments if isinstance(one, str)][:2]
            name = f"{type(client).__name__.removesuffix('Client')} {method} {path}"
            self.at(f"before {name}")
            answer = send(client, *arguments)
            self.at(f"after {name}")
            return answer

        return sent

    def _transaction(self, begin: Callable[..., Any], name: str) -> Callable[..., Any]:
        @contextmanager
        def begun(ledger: Ledger) -> Iterator[Any]:
            self.at(f"before a {name}")
            with begin(ledger) as connection:
                yield connection
            self.at(f"after a {name}")

        return begun

    def _process(self) -> Process | None:
        found: Process | None = getattr(self._local, "process", None)
        return found

    def _pid(self) -> int:
        process = self._process()
        return process.pid if process else 1

    def _place(self) -> str:
        process = self._process()
        return process.place if process else HERE

    def _started(self, pid: int) -> str:
        return "alive" if pid in self._alive or pid == 1 else ""
