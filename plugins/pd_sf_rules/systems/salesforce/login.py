"""A session with Salesforce: JWT bearer first, client credentials second, password and token last.

The JWT flow is ours (PyJWT): simple-salesforce's own cannot post to a My Domain or loopback address.
Flows, claims and error words: Salesforce Help "OAuth 2.0 JWT Bearer Flow for Server-to-Server".
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests

from pd_sf_rules.connections import ConnectionSpec, checked_url
from pd_sf_rules.errors import ConnectionConfigError, RateLimitedError, RetryableError
from pd_sf_rules.masking import keep_secret
from pd_sf_rules.systems.answers import Answer, Asked, answer_of, plain_words
from pd_sf_rules.systems.salesforce.assertion import private_key, signed
from pd_sf_rules.systems.salesforce.refusals import error_of
from pd_sf_rules.systems.salesforce.transport import HardenedSession
from pd_sf_rules.systems.waiting import READ_ATTEMPTS, pause_before, seconds_asked

_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLOCKS_AGREE = 60  # seconds by which the clocks may differ without harm to an assertion
_PRODUCTION, _SANDBOX = "https://login.salesforce.com", "https://test.salesforce.com"

# (error, words of its description) -> (field to look at, what to do); first hit wins.
_OAUTH_ADVICE: tuple[tuple[str, str, str, str], ...] = (
    (
        "invalid_app_access",
        "",
        "login",
        "Attach the user's profile or permission set to the app (admin approved users).",
    ),
    (
        "invalid_grant",
        "approved this consumer",
        "login",
        "Set the app to 'Admin approved users are pre-authorized' and attach the user's permission set.",
    ),
    (
        "invalid_grant",
        "audience",
        "audience",
        "Use domain 'login' for production, 'test' for a sandbox, or set 'audience'.",
    ),
    (
        "invalid_grant",
        "expired",
        "",
        "Set this machine's clock: the assertion is valid for three minutes.",
    ),
    (
        "invalid_grant",
        "assertion",
        "private_key",
        "Use the private key of the certificate that was uploaded to the app.",
    ),
    (
        "invalid_grant",
        "",
        "login",
        "Check the user name, and that the app admits this user.",
    ),
    (
        "invalid_client_id",
        "",
        "consumer_key",
        "Copy the app's consumer key; a new app takes ten minutes to work, and a sandbox has its own.",
    ),
    ("invalid_client", "", "consumer_secret", "Copy the app's consumer key and secret again."),
    ("inactive_user", "", "login", "Activate the integration user."),
    ("inactive_org", "", "login_url", "The org is inactive: use another one."),
    ("unsupported_grant_type", "", "login_url", "Use the address of a Salesforce login host."),
)


@dataclass(frozen=True, slots=True)
class Grant:
    """A live session: its token, the instance to call, and whose it is ("" where not told)."""

    token: str = field(repr=False)
    instance_url: str
    user_id: str
    org_id: str = ""

    def __post_init__(self) -> None:
        keep_secret(self.token)


def log_in(spec: ConnectionSpec, session: HardenedSession, version: str) -> Grant:
    """Log in with what the connection offers.

    Raises ConnectionConfigError naming the field to look at, RetryableError when the login host
    cannot be reached or asks for a pause.
    """
    key = spec.text("consumer_key")
    if key and private_key(spec):
        return _by_jwt(spec, session, key)
    key, secret = key or spec.text("client_id"), spec.text("consumer_secret")
    if key and secret:
        form = {"grant_type": "client_credentials", "client_id": key, "client_secret": secret}
        return _granted(spec, _ask(spec, session, form))
    if spec.login and spec.password:
        return _by_password(spec, session, version)
    missing = "private_key" if key else "consumer_key"
    hint = "Give 'consumer_key' and 'private_key' (or 'private_key_file_path') of the app."
    raise ConnectionConfigError(spec.conn_id, "is missing.", field=missing, hint=hint)


def login_url(spec: ConnectionSpec) -> str:
    """Return the OAuth host: `login_url`, else a full `instance_url`, else the one of `domain`."""
    if spec.text("login_url"):
        return checked_url(spec, "login_url")
    instance = spec.text("instance_url")
    if "://" in instance:
        return checked_url(spec, "instance_url")
    name = instance or spec.text("domain", "login")
    return f"https://{name if '.salesforce.' in name else name + '.salesforce.com'}"


def _by_jwt(spec: ConnectionSpec, session: HardenedSession, key: str) -> Grant:
    if not spec.login:
        hint = "Give the integration user's user name."
        raise ConnectionConfigError(spec.conn_id, "is missing.", field="login", hint=hint)
    answer = Answer()
    for audience in _audiences(spec):
        answer = _ask(spec, session, _jwt_form(spec, key, audience, time.time()))
        theirs = session.clock.now().timestamp()
        if not answer.ok and abs(theirs - time.time()) > _CLOCKS_AGREE:
            answer = _ask(spec, session, _jwt_form(spec, key, audience, theirs))
        if answer.ok or "audience" not in str(answer.body):
            break
    return _granted(spec, answer)


def _jwt_form(spec: ConnectionSpec, key: str, audience: str, now: float) -> dict[str, str]:
    assertion = signed(spec, key, audience, now)
    keep_secret(assertion)
    return {"grant_type": _JWT_GRANT, "assertion": assertion}


def _audiences(spec: ConnectionSpec) -> tuple[str, ...]:
    """Return the audiences to try: the documented one, then the login host's own address."""
    if spec.text("audience"):
        return (spec.text("audience"),)
    host = urlsplit(login_url(spec)).hostname or ""
    sandbox = spec.text("domain") == "test" or host == "test.salesforce.com"
    if sandbox or ".sandbox." in host:
        return (_SANDBOX, login_url(spec))
    return (_PRODUCTION, login_url(spec))


def _ask(spec: ConnectionSpec, session: HardenedSession, form: Mapping[str, str]) -> Answer:
    """Post to the token endpoint; asking twice does no harm, so trouble is met by asking again."""
    answer = Answer()
    url = f"{login_url(spec)}/services/oauth2/token"
    for attempt in range(1, READ_ATTEMPTS + 1):
        try:
            answer = answer_of(session.request("POST", url, data=dict(form)))
        except requests.RequestException as error:
            answer = Answer(failure=error)
        if answer.settled_login:
            break
        if attempt < READ_ATTEMPTS:
            time.sleep(pause_before(attempt))
    return answer


def _granted(spec: ConnectionSpec, answer: Answer) -> Grant:
    body = answer.body if isinstance(answer.body, dict) else {}
    token = body.get("access_token")
    if not answer.ok or not isinstance(token, str):
        raise _denied(spec, answer, body)
    instance = str(body.get("instance_url") or spec.text("instance_url") or login_url(spec))
    if "://" not in instance:
        instance = login_url(spec)
    # The server names where to go: the same rule as for our own settings keeps the token on https.
    told = ConnectionSpec(spec.conn_id, spec.conn_type, extra={"instance_url": instance})
    rest, _, user_id = urlsplit(str(body.get("id") or "")).path.rpartition("/")
    org_id = rest.rpartition("/")[2] or _org_of(token)
    return Grant(token, checked_url(told, "instance_url"), user_id, org_id)


def _org_of(token: str) -> str:
    """Return the org's id, with which a session id begins."""
    return token.partition("!")[0] if "!" in token else ""


def _denied(spec: ConnectionSpec, answer: Answer, body: Mapping[str, object]) -> Exception:
    asked = Asked(spec.conn_id, "the login", write=False)
    if answer.trouble or answer.status == 429:
        return error_of(answer, asked)
    error = str(body.get("error") or "")
    described = plain_words(str(body.get("error_description") or "")) or f"HTTP {answer.status}"
    if error == "rate_limit_exceeded":
        wait = seconds_asked(answer.headers, ("Retry-After",))
        return RateLimitedError(f"Salesforce limits logins: {described}", retry_after=wait)
    name, hint = _advice(error, described)
    told = f"{error}: {described}" if error else described
    return ConnectionConfigError(
        spec.conn_id, f"Salesforce refused the login ({told}).", field=name, hint=hint
    )


def _advice(error: str, described: str) -> tuple[str, str]:
    for code, words, name, hint in _OAUTH_ADVICE:
        if code == error and words in described.lower():
            return name, hint
    return "login_url", "Check that this is the address of a Salesforce login host."


def _by_password(spec: ConnectionSpec, session: HardenedSession, version: str) -> Grant:
    """Log in by SOAP through simple-salesforce; Salesforce removes this in Summer '27."""
    from simple_salesforce.exceptions import (  # noqa: PLC0415 - as slow as the flow is rare
        SalesforceAuthenticationFailed,
    )
    from simple_salesforce.login import SalesforceLogin  # noqa: PLC0415

    host = urlsplit(login_url(spec)).hostname or ""
    try:
        token, instance = SalesforceLogin(
            username=spec.login,
            password=spec.password,
            security_token=spec.text("security_token"),
            sf_version=version,
            session=session,
            domain=host.removesuffix(".salesforce.com"),
        )
    except SalesforceAuthenticationFailed as error:
        raise ConnectionConfigError(
            spec.conn_id,
            f"Salesforce refused the login ({error.code}).",
            field="password",
            hint="Check password and security token, or better use 'consumer_key' and 'private_key'.",
        ) from None
    except requests.RequestException as error:
        name = type(error).__name__
        raise RetryableError(f"Salesforce could not be reached for the login ({name}).") from None
    return Grant(token, f"https://{instance}", "", _org_of(token))
