"""One pass over one integration: who it talks to, where it remembers, and under which id."""

import logging
import os
import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import RetryableError
from pd_sf_rules.ledger import cursors
from pd_sf_rules.ledger.database import Ledger
from pd_sf_rules.model import ApiUsage, Values
from pd_sf_rules.pipeline.budgets import remember
from pd_sf_rules.settings import Integration
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.pagerduty.lookups import Lookups
from pd_sf_rules.systems.salesforce.client import SalesforceClient

_log = logging.getLogger(__name__)

ADDRESS = "address:salesforce"
"""Where the ledger keeps the org's address, and since when it is known to be that."""

ADDRESS_FOR = timedelta(hours=1)
"""How long the address is believed without asking: a page with a link needs no login then."""

Direction = Literal["salesforce", "pagerduty", "notes"]
Connect = Callable[[str], ConnectionSpec]


@dataclass(slots=True)
class Run:
    """Clients are opened at first use, so a run with nothing to do costs no login. Use it as a context manager."""

    id: str
    integration: Integration
    ledger: Ledger
    connect: Connect
    watched: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The fields that rules name, by object: what a snapshot holds. Set when the rules are loaded."""
    widths: dict[str, int] = field(default_factory=dict, repr=False)
    """How many requests of a kind went out side by side at last, of those that all went well."""
    _salesforce: SalesforceClient | None = field(default=None, repr=False)
    _pagerduty: PagerDutyClient | None = field(default=None, repr=False)
    _lookups: Lookups | None = field(default=None, repr=False)
    _address: str | None = field(default=None, repr=False)
    _kept_usage: Mapping[str, ApiUsage] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The integration's name."""
        return self.integration.name

    @property
    def salesforce(self) -> SalesforceClient:
        """The Salesforce client of this run."""
        if self._salesforce is None:
            self._salesforce = SalesforceClient(self.connect(self.integration.salesforce_conn_id))
        return self._salesforce

    @property
    def pagerduty(self) -> PagerDutyClient:
        """The PagerDuty client of this run."""
        if self._pagerduty is None:
            self._pagerduty = PagerDutyClient(self.connect(self.integration.pagerduty_conn_id))
        return self._pagerduty

    @property
    def lookups(self) -> Lookups:
        """Names to ids of the PagerDuty account, remembered for this run."""
        if self._lookups is None:
            self._lookups = Lookups(self.pagerduty)
        return self._lookups

    def as_watched(self, name: str, fields: Values) -> dict[str, Any]:
        """Return written values under every spelling that rules use: field names have no case in Salesforce."""
        spelled: dict[str, list[str]] = {}
        for path in self.watched.get(name, ()):
            spelled.setdefault(path.casefold(), []).append(path)
        return {
            path: value
            for written, value in fields.items()
            for path in spelled.get(written.casefold(), [written])
        }

    def record_url(self, object_name: str, record_id: str) -> str:  # noqa: ARG002 - the same shape for every object
        """Return the address of a record for people: also while Salesforce is out of reach, for a page must not wait.

        Raises the errors of systems.salesforce where the org was never reached before.
        """
        if self._address is None:
            self._address = self._known_address()
        return f"{self._address}/{record_id}"

    def keep_address(self) -> None:
        """Keep the org's address, for runs and tasks that link to a record without having logged in."""
        if self._address is None:
            self._address = self._known_address(ask=True)

    def _known_address(self, *, ask: bool = False) -> str:
        with self.ledger.read() as c:
            kept = cursors.get_cursor(c, self.name, ADDRESS)
        before = str(kept.extra.get("url") or "") if kept else ""
        is_fresh = kept is not None and utc_now() - kept.position < ADDRESS_FOR
        if before and is_fresh and not ask:
            return before
        try:
            address = self.salesforce.instance_url
        except RetryableError as error:
            if not before:
                raise
            _log.warning("Records are linked to the org's last known address: %s", error)
            return before
        if address != before or not is_fresh:
            with self.ledger.begin() as c:
                at = cursors.start_cursor(c, self.name, ADDRESS, utc_now()).position
                at = max(at, utc_now())
                cursors.move_cursor(c, self.name, ADDRESS, at, extra={"url": address})
        return address

    def usage(self) -> dict[str, ApiUsage]:
        """Return the API calls made so far, by system; a system that was not called is absent."""
        clients = {"salesforce": self._salesforce, "pagerduty": self._pagerduty}
        return {name: client.usage() for name, client in clients.items() if client is not None}

    def keep_usage(self) -> None:
        """Keep what the servers told of their allowances, for every worker to see; what was kept is not kept again."""
        usage = self.usage()
        if usage != self._kept_usage:
            remember(self.ledger, self.name, usage)
            self._kept_usage = usage

    def close(self, *, keep_usage: bool = True) -> None:
        """Close the clients that were opened, and keep what the servers told of their allowances."""
        if keep_usage:
            self.keep_usage()
        for client in (self._salesforce, self._pagerduty):
            if client is not None:
                client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def utc_now() -> datetime:
    """Return this machine's clock, for leases and retries; cursors use the servers' clocks."""
    return datetime.now(UTC)


def owner() -> str:
    """Name this process as `place/pid/start`, so that a claim of a process that died is known at once."""
    return f"{_place()}/{os.getpid()}/{_started(os.getpid())}"


def is_dead(name: str) -> bool:
    """Say whether the process that `owner` named ran in this place and is gone. False when that cannot be told."""
    place, _, rest = name.partition("/")
    pid, _, started = rest.partition("/")
    if place != _place() or not pid.isdigit():
        return False
    return _started(int(pid)) != started


@lru_cache(maxsize=1)
def _place() -> str:
    """Name what a pid is unique in: this boot of this machine, and this container. A host name is neither."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """Return the kernel's start tick of a process, which tells a reused pid apart; "" if there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123 - hot path
            return stat.read().rpartition(")")[2].split()[19]
    except OSError:
        return ""
