"""One poll of one side of an integration: it looks, remembers, and outlasts every trouble on the way."""

import logging
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import Ledger, switches
from pd_sf_rules.ledger.switches import Switch
from pd_sf_rules.model import SALESFORCE, Source
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.planning.intervals import interval
from pd_sf_rules.settings import Integration, load_integration
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.triggers.doorbell import (
    EVERYTHING,
    NOTHING,
    DueBell,
    PagerDutyBell,
    SalesforceBell,
    Topics,
)

LONGEST_PAUSE_SECONDS = 300.0
PATIENCE_SECONDS = 2.0
"""How long one look waits for a server that asks for a pause; the next look waits longer by itself."""

_TELLS_EACH_REQUEST = "httpx2"
"""The PagerDuty client's HTTP library: its line for every look would fill the triggerer's log."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Poll:
    """Looks at one side. `connect` gives a connection by id, `open_ledger` the ledger that knows what is due.

    Without a ledger it tells changes only, and exactly: what a sensor waits for.
    """

    system: Source
    integration: str
    connect: Callable[[str], ConnectionSpec]
    open_ledger: Callable[[], Ledger] | None = None
    clock: Callable[[], datetime] = utc_now
    failures: dict[str, int] = field(default_factory=dict)
    told: Mapping[str, datetime] = field(default_factory=dict)
    """When change events say that an object was changed last, for the next look."""
    _bell: SalesforceBell | PagerDutyBell = field(init=False)
    _due: DueBell = field(init=False)
    _client: SalesforceClient | PagerDutyClient | None = None
    _switches: Mapping[str, Switch] = field(default_factory=dict)
    _settings: Integration | None = None
    _stirred_at: datetime | None = None
    _signals: bool = False

    def __post_init__(self) -> None:
        self._bell = SalesforceBell() if self.system == SALESFORCE else PagerDutyBell()
        self._due = DueBell(self.system)

    def look(self) -> Topics | None:
        """Return what changed or became due since the last look; None when the system could not be looked at.

        After a trouble that is over, runs may have failed for it: everything rings. Never raises; what is wrong is
        logged once.
        """
        due = self._tried("the retries", self._became_due)
        changed = self._tried(self.system, self.changes)
        if due or changed or self._stirred_at is None:
            self._stirred_at = self.clock()
        if changed is None:
            self._forget_client()
            return due or None
        return changed | (due or NOTHING)

    def changes(self) -> Topics:
        """Return what changed since the last look; raises what is in its way."""
        integration = self._settings = load_integration(self.integration)
        conn_ids = (integration.salesforce_conn_id, integration.pagerduty_conn_id)
        conn_id = conn_ids[self.system != SALESFORCE]
        self._signals = integration.signals.salesforce is not None
        if self._client is not None and self._client.conn_id != conn_id:
            self._forget_client()
        if self._client is None:
            self._client = self._open(conn_id)
        return self._rang(integration)

    def signalled(self) -> tuple[str, ...]:
        """Return the objects whose changes Salesforce is to signal, as of the last look; none where that is off."""
        return (
            self._bell.objects if self._signals and isinstance(self._bell, SalesforceBell) else ()
        )

    def remembered(self) -> dict[str, Any]:
        """Return what was seen at the last look, as JSON can hold it."""
        return self._bell.remembered()

    def remember(self, told: Mapping[str, Any]) -> None:
        """Go on from what another poll's `remembered` told."""
        self._bell.remember(told)

    def pause(self, poll_seconds: float) -> float:
        """Return the seconds until the next look: longer and longer while something is wrong.

        Where the settings say so also in quiet hours and after a long calm, and on a scarce allowance of a day.
        """
        failures = max(self.failures.values(), default=0)
        if not failures:
            return self._interval(poll_seconds)
        longest = max(poll_seconds, LONGEST_PAUSE_SECONDS)
        pause = min(poll_seconds * 2.0 ** min(failures, 20), longest)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret

    def close(self) -> None:
        """Close the connection; the next look opens a new one."""
        self._forget_client()

    def _interval(self, poll_seconds: float) -> float:
        if self._settings is None:
            return poll_seconds
        now, left = self.clock(), None
        if isinstance(
            self._client, SalesforceClient
        ):  # PagerDuty counts by the minute: that mends itself
            usage = self._client.usage()
            if usage.used is not None and usage.allowed:
                left = max(100.0 * (usage.allowed - usage.used) / usage.allowed, 0.0)
        calm = now - (self._stirred_at or now)
        return interval(self._settings, poll_seconds, now=now, calm=calm, left_percent=left)

    def _open(self, conn_id: str) -> SalesforceClient | PagerDutyClient:
        spec = self.connect(conn_id)
        if self.system == SALESFORCE:
            return SalesforceClient(spec, patience=PATIENCE_SECONDS)
        logging.getLogger(_TELLS_EACH_REQUEST).setLevel(logging.WARNING)
        return PagerDutyClient(spec, patience=PATIENCE_SECONDS)

    def _rang(self, integration: Integration) -> Topics:
        match self._bell, self._client:
            case SalesforceBell() as bell, SalesforceClient() as client:
                told, self.told = self.told, {}
                return bell.rang(client, integration, self._turned(), told)
            case PagerDutyBell() as bell, PagerDutyClient() as client:
                return bell.rang(client, integration)
        raise TypeError("A bell and a client of different systems.")

    def _turned(self) -> Mapping[str, Switch]:
        """Return people's switches of rulesets, by file: as last seen, where the ledger cannot be asked."""
        if self.open_ledger is not None:
            with suppress(SyncError, OSError), self.open_ledger().read() as c:
                self._switches = switches.in_force(
                    c
                )  # what is wrong with it, the question for retries tells
        return self._switches

    def _became_due(self) -> Topics:
        if self.open_ledger is None:
            return NOTHING
        return self._due.rang(self.open_ledger(), load_integration(self.integration))

    def _tried(self, what: str, question: Callable[[], Topics]) -> Topics | None:
        try:
            told = question()
        except (SyncError, OSError) as error:
            self._complain(what, str(error), trace=False)
            return None
        except Exception as error:  # noqa: BLE001 - a trigger that raises is started again without any pause
            self._complain(what, f"unexpected {type(error).__name__}", trace=True)
            return None
        recovered = self.failures.pop(what, 0)
        return EVERYTHING if recovered and self.open_ledger is not None else told

    def _complain(self, what: str, why: str, *, trace: bool) -> None:
        times = self.failures[what] = self.failures.get(what, 0) + 1
        level = logging.WARNING if times == 1 else logging.DEBUG
        text = "%s of integration '%s' cannot be watched, and will be tried again: %s"
        _log.log(level, text, what, self.integration, why, exc_info=trace)

    def _forget_client(self) -> None:
        """Drop the client: the connection may have been mended since it was read."""
        if self._client is not None:
            self._client.close()
            self._client = None
