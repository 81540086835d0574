"""Scoped OAuth instead of an API key: the client-credentials grant of a PagerDuty app.

Shapes: vendor's "OAuth Functionality", app tokens; they live for a day and have no refresh token.
"""

import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2

from pd_sf_rules.connections import LOOPBACK_HOSTS, ConnectionSpec, checked_url
from pd_sf_rules.errors import ConnectionConfigError
from pd_sf_rules.masking import keep_secret
from pd_sf_rules.systems.answers import Answer, Asked, answer_of
from pd_sf_rules.systems.pagerduty.refusals import error_of, words_of
from pd_sf_rules.systems.waiting import READ_ATTEMPTS, pause_before

_TOKEN_URL = "https://identity.pagerduty.com/oauth/token"  # noqa: S105 - an address, not a secret
_SCOPES = (
    "incidents.read incidents.write priorities.read users.read services.read "
    "escalation_policies.read custom_fields.read incident_types.read incident_workflows.read "
    "incident_workflows:instances.write"
)
_EARLY_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and the monotonic second after which a fresh one is asked for."""

    secret: str = field(repr=False)
    good_until: float

    def __post_init__(self) -> None:
        keep_secret(self.secret)


def uses_oauth(spec: ConnectionSpec) -> bool:
    """Say whether the connection has an app's credentials instead of an API key."""
    return not spec.password and bool(spec.text("client_id"))


def fetch_token(spec: ConnectionSpec, timeout: float) -> Token:
    """Ask for a token. Asking twice does no harm, so trouble is met by asking again.

    Raises ConnectionConfigError naming the field, RetryableError when the host cannot be reached.
    """
    url = checked_url(spec, "token_url", _TOKEN_URL)
    answer = Answer()
    for attempt in range(1, READ_ATTEMPTS + 1):
        answer = _ask(url, _form(spec), timeout)
        if answer.settled_login:
            break
        if attempt < READ_ATTEMPTS:
            time.sleep(pause_before(attempt))
    body = answer.body if isinstance(answer.body, dict) else {}
    secret = body.get("access_token")
    if answer.ok and isinstance(secret, str) and secret:
        seconds = float(body.get("expires_in") or 3600)
        return Token(secret, time.monotonic() + max(seconds - _EARLY_SECONDS, seconds / 2))
    if answer.trouble or answer.status == 429:
        raise error_of(answer, Asked(spec.conn_id, "the login", write=False))
    words = words_of(answer.body) or f"HTTP {answer.status}"
    raise ConnectionConfigError(
        spec.conn_id,
        f"PagerDuty refused the app's login ({words}).",
        field="subdomain" if "scope" in words.lower() else "client_id",
        hint="Check client_id, client_secret, subdomain, region and the app's scopes.",
    )


def _form(spec: ConnectionSpec) -> dict[str, str]:
    subdomain = spec.required("subdomain", "Give the account's subdomain, as in its web address.")
    region = spec.text("region", "us").lower()
    return {
        "grant_type": "client_credentials",
        "client_id": spec.text("client_id"),
        "client_secret": spec.required("client_secret", "Copy it from the app's OAuth page."),
        "scope": f"as_account-{region}.{subdomain} {_SCOPES} {spec.text('scopes')}".strip(),
    }


def _ask(url: str, form: dict[str, str], timeout: float) -> Answer:
    local = urlsplit(url).hostname in LOOPBACK_HOSTS
    try:
        response = httpx2.post(url, data=form, timeout=timeout, trust_env=not local)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return Answer(failure=error)
    return answer_of(response)
