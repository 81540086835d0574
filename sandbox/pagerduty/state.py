"""One simulated PagerDuty account: its database, clock, credentials, limits and planned oddities."""

import json
import random
import string
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from sandbox.pagerduty import seed as demo
from sandbox.pagerduty.delivery_queue import DeliveryFaults
from sandbox.pagerduty.shapes import Doc, to_seconds, utc_now
from sandbox.pagerduty.store import Store

ALPHABET = string.ascii_uppercase + string.digits


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A REST key: of the account, read-only, or of one user (then `user_id` is set)."""

    user_id: str | None = None
    read_only: bool = False


@dataclass(slots=True)
class Limits:
    """Requests a minute per credential, per operation (`"PUT /incidents"`) and, for events, per
    routing key; 0 is no limit. `window_seconds` makes that minute shorter, for those in a hurry."""

    per_minute: int = 960
    window_seconds: int = 60
    events_per_minute: int = 120
    per_operation: dict[str, int] = field(default_factory=lambda: {"PUT /incidents": 500})


@dataclass(slots=True)
class LogEntryFaults:
    """Oddities of log entries, as probabilities between 0 and 1.

    `duplicate`: an entry is listed twice. `late`: a new entry carries its true time but is listed
    only `late_seconds` afterwards. `shuffle`: a page comes in no order at all.
    """

    duplicate: float = 0.0
    late: float = 0.0
    late_seconds: float = 5.0
    shuffle: float = 0.0
    seed: int = 0
    rng: random.Random = field(default_factory=random.Random, repr=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)


def _default_keys() -> dict[str, ApiKey]:
    return {
        demo.ACCOUNT_KEY: ApiKey(),
        demo.READ_ONLY_KEY: ApiKey(read_only=True),
        demo.USER_KEY: ApiKey(user_id="PUANA01"),
    }


class PagerDutyState:
    """The account that `sandbox.pagerduty.app.create_app` serves.

    `path` is its SQLite file (None: memory); a file that has data is carried on with, an empty one
    is seeded. `clock` returns aware datetimes. `seed` makes ids and oddities reproducible.
    Safe to use from several threads; changes go through `incidents`, `changes`, `notes` and
    friends, or through a `people.Person`.
    """

    def __init__(
        self,
        path: Path | None,
        clock: Callable[[], datetime] = utc_now,
        *,
        seed: int | None = None,
    ) -> None:
        self.store = Store(path)
        self.clock = clock
        self.clock_offset = timedelta()
        self.time_zone = "Etc/UTC"
        self.subdomain = "acme"
        self.api_url = "https://api.pagerduty.com"
        self.web_url = "https://acme.pagerduty.com"
        self.keys = _default_keys()
        self.oauth_clients = {demo.OAUTH_CLIENT_ID: demo.OAUTH_CLIENT_SECRET}
        self.limits = Limits()
        self.log_entry_faults = LogEntryFaults(seed=seed or 0)
        self.delivery_faults = DeliveryFaults(seed=seed or 0)
        self.webhook_retry_seconds = 1.0
        self.webhook_timeout_seconds = 5.0
        self._random = random.Random(seed)
        self._random_lock = threading.Lock()
        self._wakers: list[Callable[[], None]] = []
        if self.store.meta("seeded") is None:
            self.seed()

    def now(self) -> datetime:
        """The account's time: the clock plus the planned skew."""
        return self.clock() + self.clock_offset

    def stamp(self) -> str:
        """Now, as REST shows it: whole seconds, UTC."""
        return to_seconds(self.now())

    def new_id(self, prefix: str, length: int) -> str:
        """A fresh identifier of `length` characters that starts with `prefix` (P, Q or R)."""
        with self._random_lock:
            tail = self._random.choices(ALPHABET, k=length - len(prefix))
        return prefix + "".join(tail)

    def transaction(self) -> AbstractContextManager[None]:
        """Make the changes inside one commit; nobody sees half of them."""
        return self.store.transaction()

    def seed(self) -> None:
        """Put the demo account's people, services and settings into an empty database."""
        with self.transaction():
            for kind, doc in demo.resources():
                self.store.put(kind, doc)
            self.store.set_meta("abilities", json.dumps(demo.ABILITIES))
            self.store.set_meta("seeded", self.stamp())

    def reset(self) -> None:
        """Back to the freshly seeded account, all oddities and skews off."""
        with self.transaction():
            self.store.clear()
            self.seed()
        self.clock_offset = timedelta()
        self.time_zone = "Etc/UTC"
        self.limits = Limits()
        self.log_entry_faults = LogEntryFaults()
        self.delivery_faults = DeliveryFaults()
        self.webhook_retry_seconds = 1.0
        self.webhook_timeout_seconds = 5.0

    @property
    def abilities(self) -> list[str]:
        """What the account's plan includes; setting it is kept over a restart."""
        return list(json.loads(self.store.meta("abilities") or "[]"))

    @abilities.setter
    def abilities(self, names: list[str]) -> None:
        self.store.set_meta("abilities", json.dumps(names))

    def find_user(self, name_or_email: str) -> Doc | None:
        """The active user with exactly this id, e-mail or name, whatever the case."""
        wanted = name_or_email.casefold()
        for user in self.store.all("user"):
            known = (user["id"], user["email"], user["name"])
            if user["active"] and wanted in {value.casefold() for value in known}:
                return user
        return None

    def find_named(self, kind: str, id_or_name: str) -> Doc | None:
        """A service, priority, policy or workflow by id, else the first with exactly this name."""
        found = self.store.get(kind, id_or_name)
        if found is not None:
            return found
        return next((doc for doc in self.store.all(kind) if doc["name"] == id_or_name), None)

    def on_change(self, waker: Callable[[], None]) -> None:
        """Call `waker` (from any thread) whenever a webhook delivery was queued."""
        self._wakers.append(waker)

    def forget_waker(self, waker: Callable[[], None]) -> None:
        """Stop calling `waker`."""
        self._wakers.remove(waker)

    def wake(self) -> None:
        """Tell the webhook courier that there is something to deliver."""
        for waker in list(self._wakers):
            waker()

    def close(self) -> None:
        """Close the database file."""
        self.store.close()
