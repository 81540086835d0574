"""The webhook of an integration: its subscription at the account, its secret here, and what arrived of it."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from pd_sf_rules.connections import is_loopback_http
from pd_sf_rules.errors import SettingsError, SyncError, UncertainError
from pd_sf_rules.ledger import Ledger, doorbells
from pd_sf_rules.ledger.doorbells import PING, Doorbell
from pd_sf_rules.pipeline.checks import Check
from pd_sf_rules.pipeline.run import Connect, utc_now
from pd_sf_rules.settings import Integration
from pd_sf_rules.systems.clock import second_text
from pd_sf_rules.systems.pagerduty import subscriptions
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.pagerduty.lookups import Lookups
from pd_sf_rules.systems.pagerduty.subscriptions import NewSubscription, Subscription, Watched
from pd_sf_rules.systems.pagerduty.webhooks import webhook_secrets

PATH = "/pd-sf-webhooks/pagerduty/"
OURS = "pd-sf-rules"
PING_SECONDS = 20.0

Word = Literal["off", "working", "unproven", "broken", "unknown"]


@dataclass(frozen=True, slots=True)
class WebhookState:
    """How an integration's webhook is. `said` is one sentence, and says what to mend where it is not `ok`.

    off: none is set up, polling does; unproven: nothing has arrived yet; unknown: the subscriptions cannot be read.
    """

    integration: str
    word: Word
    said: str
    last: Doorbell | None = None
    subscriptions: Sequence[Subscription] = ()

    @property
    def ok(self) -> bool:
        """Say whether nothing is to be mended. Without a webhook the sync works too, more slowly."""
        return self.word != "broken"


def address(url: str, integration: str) -> str:
    """Return the address that PagerDuty is given, from that of Airflow or of the endpoint itself.

    Raises SettingsError unless it is https (http on loopback).
    """
    base = url.strip().rstrip("/")
    parts = urlsplit(base)
    if not (parts.scheme == "https" and parts.hostname) and not is_loopback_http(base):
        hint = "Give Airflow's own public address: https://airflow.example.com."
        raise SettingsError(f"'{url}' is no https address.", hint=hint)
    return base if PATH in base else f"{base}{PATH}{integration}"


def webhook_state(ledger: Ledger, integration: Integration, connect: Connect) -> WebhookState:
    """Look at everything: one request to PagerDuty; nothing is changed. Raises the errors of the ledger only."""
    name = integration.name
    with ledger.read() as c:
        last = doorbells.newest_doorbell(c, name)
    try:
        spec = connect(integration.pagerduty_conn_id)
        client = PagerDutyClient(spec)
        try:
            found = ours(client, name)
        finally:
            client.close()
    except SyncError as error:
        return WebhookState(name, "unknown", f"The subscriptions cannot be read: {error}", last)
    word, said = _judged(integration, found, has_secret=bool(webhook_secrets(spec)), last=last)
    return WebhookState(name, word, said, last, found)


def ours(client: PagerDutyClient, integration: str, url: str = "") -> list[Subscription]:
    """Return the account's subscriptions to the endpoint of an integration, the newest of our making last.

    `url` leaves those of another Airflow out that has an integration of the same name.
    """
    found = [
        one
        for one in subscriptions.list_subscriptions(client)
        if urlsplit(one.url).path.endswith(PATH + integration) and url in {"", one.url}
    ]
    return sorted(found, key=lambda one: _made_at(one.description))


def replaced(found: Sequence[Subscription]) -> list[Subscription]:
    """Return those of our making that a newer one to the same address has replaced."""
    made = [one for one in found if _made_at(one.description)]
    newest = {one.url: one.id for one in made}
    return [one for one in made if one.id != newest[one.url]]


def set_up(
    client: PagerDutyClient,
    integration: str,
    url: str,
    *,
    service: str = "",
    like: Subscription | None = None,
) -> NewSubscription:
    """Subscribe the endpoint at `url` to what `like` is told of, to one service's incidents, or to all.

    Where the answer was lost, and with it the secret, what was made is removed again; raises UncertainError then.
    """
    watched = like.watched if like else subscriptions.EVERYTHING
    if service:
        watched = Watched("service", Lookups(client).service(service))
    description = f"{OURS} {integration} {utc_now():%Y-%m-%dT%H:%M:%S.%fZ}"
    before = {one.id for one in ours(client, integration)}
    try:
        return subscriptions.create_subscription(
            client, url, description=description, watched=watched
        )
    except UncertainError:
        made = [one for one in ours(client, integration) if one.id not in before]
        mine = [one.id for one in made if one.description == description]
        subscriptions.delete_subscriptions(client, mine)
        raise


def tried(
    ledger: Ledger,
    integration: Integration,
    client: PagerDutyClient,
    found: Sequence[Subscription],
    *,
    has_secret: bool,
) -> list[Check]:
    """Check the way from PagerDuty to the ledger by a ping each, in the order in which a person would mend it."""
    if not found:
        said = f"No subscription ends in {PATH}{integration.name}. `pdsf setup webhook --url` makes one."
        return [Check("subscription", False, said)]
    word, said = _judged(integration, found, has_secret=has_secret, last=None)
    told = [Check("subscription", word != "broken", said if word == "broken" else _listed(found))]
    if word == "broken":
        return told
    for one in found:
        before = _newest_ping(ledger, integration.name)
        subscriptions.ping(client, one.id)
        arrived = _arrival(ledger, integration.name, before, PING_SECONDS)
        told.append(Check(f"ping by {one.id}", arrived is not None, _ping_told(one, arrived)))
    return told


def _newest_ping(ledger: Ledger, integration: str) -> str:
    with ledger.read() as c:
        last = doorbells.newest_doorbell(c, integration, event_type=PING)
    return last.event_id if last else ""


def _arrival(ledger: Ledger, integration: str, before: str, patience: float) -> float | None:
    """Wait for another ping than `before`, and return the seconds that took; None when none came."""
    started = time.monotonic()
    while (waited := time.monotonic() - started) <= patience:
        if _newest_ping(ledger, integration) != before:
            return waited
        time.sleep(0.1)
    return None


def _ping_told(one: Subscription, arrived: float | None) -> str:
    if arrived is not None:
        return f"It arrived after {arrived:.1f} s: address, secret and ledger are right."
    return (
        f"It did not arrive. Can PagerDuty reach {one.url}? Does the running Airflow have this secret (environment "
        "variables count after a restart), and the same ledger? Its api-server's log names a wrong signature."
    )


def _judged(
    integration: Integration,
    found: Sequence[Subscription],
    *,
    has_secret: bool,
    last: Doorbell | None,
) -> tuple[Word, str]:
    every = f"changes are found by polling every {integration.poll_seconds:g} s"
    if not found:
        return "off", f"No webhook is set up: {every}. `pdsf setup webhook` makes it quicker."
    broken = _broken(integration, found, has_secret=has_secret)
    if broken:
        return "broken", f"{broken} Meanwhile {every}."
    lacking = sorted({name for one in found for name in one.missing})
    more = f" It is not told of {', '.join(lacking)}." if lacking else ""
    if last is None:
        return (
            "unproven",
            f"Set up; nothing has arrived yet. `pdsf setup webhook --check` sends a ping.{more}",
        )
    return "working", f"The last one arrived at {second_text(last.received_at)}.{more}"


def _broken(integration: Integration, found: Sequence[Subscription], *, has_secret: bool) -> str:
    if not has_secret:
        field = f"connection '{integration.pagerduty_conn_id}' has no webhook_secret"
        hint = "Put the secret in; if it is lost, `pdsf setup webhook --rotate` makes another."
        return f"Webhooks come to {found[-1].url}, but {field}: all are refused. {hint}"
    if any(one.active and not one.temporarily_disabled for one in found):
        return ""
    if found[-1].temporarily_disabled:
        return (
            f"PagerDuty has switched subscription {found[-1].id} off for a day, for three of its deliveries were "
            "refused. Mend that (secret, address), then `pdsf setup webhook --enable`."
        )
    return f"Subscription {found[-1].id} is not active. `pdsf setup webhook --enable` ends that."


def _listed(found: Sequence[Subscription]) -> str:
    return "; ".join(f"{one.id} ({one.watched}) to {one.url}" for one in found) + "."


def _made_at(description: str) -> str:
    """Return the instant in a description of our making; "" sorts what others made first."""
    made = re.fullmatch(rf"{OURS} \S+ (\S+Z)", description)
    return made.group(1) if made else ""
