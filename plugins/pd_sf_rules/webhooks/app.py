"""`POST /pagerduty/{integration}` and `GET /health`: what the plugin mounts at /pd-sf-webhooks.

Strangers may call it. Whoever is not believed gets the same empty 401, whatever the reason; what is believed is
kept in the ledger and answered 202 at once, for PagerDuty disables a subscription whose deliveries are dropped.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import Ledger, doorbells
from pd_sf_rules.ledger.doorbells import Doorbell
from pd_sf_rules.systems.pagerduty.webhooks import (
    SIGNATURE_HEADER,
    Signal,
    is_signed,
    read_signal,
)
from pd_sf_rules.webhooks.keys import Keys
from pd_sf_rules.webhooks.limits import Buckets, TooLongError, TooSlowError, bounded_body

REPLAY_WINDOW = timedelta(hours=49)
"""PagerDuty repeats a delivery for 48 hours; an older one is a replay. The ledger knows younger ones by their ids."""

STORE_SECONDS = 4.0
"""PagerDuty waits 5 s, and comes again after a 503."""

MOST_AT_ONCE = 64
THREADS = 4
COMPLAIN_SECONDS = 60.0
BLANK = "no integration has a blank secret"

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Door:
    """What stands between a stranger and the ledger. `open_ledger` and `keys` may block: threads call them."""

    open_ledger: Callable[[], Ledger]
    keys: Keys
    failures: Buckets = field(default_factory=lambda: Buckets(per_second=10, burst=50))
    """Refused requests by caller's address: beyond this nobody reads what it sends."""
    deliveries: Buckets = field(default_factory=lambda: Buckets(per_second=50, burst=200))
    """Webhooks believed, by integration: PagerDuty repeats what is answered 429."""
    _inside: int = 0
    _complained: dict[str, float] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, "pdsf-webhooks")
    )

    def app(self) -> Starlette:
        """Return the app: these two routes, and nothing that describes them."""
        return Starlette(
            routes=[
                Route("/health", _alive, methods=["GET"]),
                Route("/pagerduty/{integration}", self.receive, methods=["POST"]),
            ]
        )

    async def receive(self, request: Request) -> Response:
        """Answer one webhook: 202 kept or known already; 401, 408, 413, 429, 503 not."""
        failures = self.failures.of(request.client.host if request.client else "")
        if not failures.has_one():
            return _unread(429)
        if self._inside >= MOST_AT_ONCE:
            return _unread(503)
        self._inside += 1
        try:
            answer = await self._answer(request)
        finally:
            self._inside -= 1
        if 400 <= answer.status_code < 429:
            failures.take()
        return answer

    async def _answer(self, request: Request) -> Response:
        name = str(request.path_params["integration"])
        try:
            body = await bounded_body(request)
        except TooLongError:
            return _unread(413)
        except (TooSlowError, ClientDisconnect):
            return _unread(408)
        try:
            secrets = await self._in_thread(partial(self.keys.of, name))
            # An unknown integration takes the same time as a wrong secret.
            header = ",".join(request.headers.getlist(SIGNATURE_HEADER))
            if not is_signed(body, header, secrets or (BLANK,)) or not secrets:
                self._complain(name, has_secret=bool(secrets))
                return Response(status_code=401)
            if not self.deliveries.of(name).take():
                return _later(429)
            await self._in_thread(partial(self._keep, name, read_signal(body)))
        except (SyncError, TimeoutError) as error:
            why = str(error) or "neither ledger nor connection answered in time"
            _log.warning("a webhook could not be kept, PagerDuty will send it again: %s", why)
            return _later(503)
        return Response(status_code=202)

    def _keep(self, name: str, signal: Signal) -> None:
        now = datetime.now(UTC)
        occurred_at = signal.occurred_at or now
        if now - occurred_at > REPLAY_WINDOW:
            _log.info("a webhook of integration '%s' from %s is too old", name, occurred_at)
            return
        bell = Doorbell(name, signal.event_id, signal.type, signal.incident_id, occurred_at, now)
        with self.open_ledger().begin() as c:
            doorbells.ring(c, bell)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Do what may block in one of a few threads of our own; raises TimeoutError after STORE_SECONDS."""
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.run_in_executor(self._threads, work), STORE_SECONDS)

    def _complain(self, name: str, *, has_secret: bool) -> None:
        """Say once a minute that an integration of ours refuses webhooks; of names that are not ours, nothing."""
        if name not in self.keys.names():
            return
        now = time.monotonic()
        if now - self._complained.get(name, -COMPLAIN_SECONDS) < COMPLAIN_SECONDS:
            return
        self._complained[name] = now
        why = (
            "none of its secrets signs it" if has_secret else "its connection has no webhook_secret"
        )
        text = "a webhook for integration '%s' was refused: %s. `pdsf setup webhook --check` helps."
        _log.warning(text, name, why)


def webhooks_app(
    open_ledger: Callable[[], Ledger] | None = None,
    connect: Callable[[str], ConnectionSpec] | None = None,
) -> Starlette:
    """Build the app; without arguments over the ledger and the connections of this Airflow's api-server."""
    if open_ledger is None or connect is None:
        from pd_sf_rules.web import opened  # noqa: PLC0415 - Airflow's own modules, slow to import

        open_ledger, connect = open_ledger or opened.ledger, connect or opened.connect
    return Door(open_ledger, Keys(connect)).app()


async def _alive(_request: Request) -> Response:
    return JSONResponse({"status": "alive"})


def _later(status: int) -> Response:
    return Response(status_code=status, headers={"Retry-After": "10"})


def _unread(status: int) -> Response:
    """Answer, and close the connection: what is still to come is not read."""
    return Response(status_code=status, headers={"Retry-After": "10", "Connection": "close"})
