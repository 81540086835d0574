"""The secrets that sign each integration's webhooks, as its connection holds them now."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import SyncError
from pd_sf_rules.settings import Integration, usable_integrations
from pd_sf_rules.systems.pagerduty.webhooks import webhook_secrets

FRESH_SECONDS = 10.0
"""How long an answer counts: a secret that is changed is in force after this time at the latest."""

KEPT_SECONDS = 900.0
"""How long a secret still counts when its connection cannot be read: an outage must not look like a bad signature."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    secrets: tuple[str, ...] = field(repr=False)
    read_at: float


@dataclass(slots=True)
class Keys:
    """Secrets by integration. May be asked from several threads; `connect` gives a connection by id."""

    connect: Callable[[str], ConnectionSpec]
    load: Callable[[], Mapping[str, Integration]] = lambda: usable_integrations()[0]
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, _Known] = field(default_factory=dict, repr=False)
    _complaints: dict[str, str] = field(default_factory=dict)
    _asked_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def of(self, integration: str) -> tuple[str, ...]:
        """Return the secrets of an integration; none for one that is unknown, or whose connection has none.

        Only what the integration files name is ever looked up, whatever name is asked for.
        """
        if self._is_stale() and self._lock.acquire(blocking=self._asked_at is None):
            try:
                if self._is_stale():
                    self._ask()
            finally:
                self._lock.release()
        known = self._known.get(integration)
        return known.secrets if known else ()

    def names(self) -> frozenset[str]:
        """Return the integrations whose connection could be read."""
        return frozenset(self._known)

    def _is_stale(self) -> bool:
        return self._asked_at is None or self.clock() - self._asked_at > FRESH_SECONDS

    def _ask(self) -> None:
        now = self._asked_at = self.clock()
        found = {name: self._read(one, now) for name, one in self._integrations().items()}
        kept = {
            name: known
            for name, known in self._known.items()
            if found.get(name) is None and now - known.read_at <= KEPT_SECONDS
        }
        self._known = {name: known for name, known in found.items() if known is not None} | kept

    def _integrations(self) -> Mapping[str, Integration]:
        try:
            return self.load()
        except SyncError as error:
            self._complain("all", str(error))
            return {}

    def _read(self, integration: Integration, now: float) -> _Known | None:
        try:
            spec = self.connect(integration.pagerduty_conn_id)
        except SyncError as error:
            self._complain(f"'{integration.name}'", str(error))
            return None
        self._complaints.pop(f"'{integration.name}'", None)
        return _Known(webhook_secrets(spec), now)

    def _complain(self, whose: str, why: str) -> None:
        """Say it once, not with every request of a stranger."""
        if self._complaints.get(whose) != why:
            self._complaints[whose] = why
            _log.warning("the secrets for webhooks of %s cannot be read: %s", whose, why)
