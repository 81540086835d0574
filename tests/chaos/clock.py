"""One clock for both simulated systems and for the pipeline: it moves when a seed says so, and nobody sleeps."""

import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pd_sf_rules.pipeline import apply, budgets, run
from pd_sf_rules.systems import clock, waiting
from pd_sf_rules.systems.pagerduty import token
from pd_sf_rules.systems.salesforce import login


class VirtualClock:
    """UTC time that stands still until somebody lets it pass; a sleep lets it pass."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = datetime.now(UTC).replace(microsecond=0)
        self._started = self._now

    def __call__(self) -> datetime:
        """Now, in UTC."""
        return self._now

    def restart(self) -> None:
        """Begin anew at a whole second, so that each seed meets the same edges of seconds."""
        with self._lock:
            self._now = self._started = datetime.now(UTC).replace(microsecond=0)

    def pass_(self, seconds: float) -> None:
        """Let so many seconds pass."""
        with self._lock:
            self._now += timedelta(seconds=max(seconds, 0.0))

    @property
    def elapsed(self) -> float:
        """Seconds since the restart."""
        return (self._now - self._started).total_seconds()

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return self._now.timestamp()

    def rule(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be the machine's clock for the pipeline and its clients."""
        time = SimpleNamespace(
            sleep=self.pass_, monotonic=self.monotonic, time=self.monotonic, strftime=None
        )
        for module in (apply, clock, waiting, token, login):
            monkeypatch.setattr(module, "time", time)
        for module in (run, budgets, clock):
            monkeypatch.setattr(module, "datetime", _Datetime(self))


class _Datetime:
    """Stands for the class `datetime`, with this clock's `now`."""

    def __init__(self, ours: VirtualClock) -> None:
        self._ours = ours

    def __getattr__(self, name: str) -> Any:
        return getattr(datetime, name)

    def now(self, zone: Any) -> datetime:
        """Now, in `zone`."""
        return self._ours().astimezone(zone)
