"""The token endpoint: JWT bearer, client credentials and password, with the real errors."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.types import Options

from sandbox.salesforce.org import ORG_ID, Org
from sandbox.salesforce.schema import Row
from sandbox.salesforce.sessions import Sessions
from sandbox.salesforce.settings import ConnectedApp

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LOGIN_HOSTS = ("https://login.salesforce.com", "https://test.salesforce.com")
MILLISECONDS = 100_000_000_000  # a number of seconds this large lies in the year 5138


@dataclass(eq=False)
class OAuthError(Exception):
    """A refusal in the shape of the token endpoint: an object, not an array."""

    error: str
    description: str
    status: int = 400

    def body(self) -> dict[str, str]:
        """Return the JSON object that the endpoint answers with."""
        return {"error": self.error, "error_description": self.description}


def token(org: Org, sessions: Sessions, form: Mapping[str, str], base: str) -> dict[str, Any]:
    """Answer one token request; ``base`` is the address the client called. Raises OAuthError."""
    grant = form.get("grant_type", "")
    if grant == JWT_BEARER:
        user = _by_assertion(org, form.get("assertion", ""), base)
    elif grant == "client_credentials":
        user = _by_secret(org, form)
    elif grant == "password":
        user = _by_password(org, form)
    else:
        raise OAuthError("unsupported_grant_type", "grant type not supported")
    if not user.get("IsActive"):
        raise OAuthError("inactive_user", "user is inactive")
    answer = {
        "access_token": sessions.open(str(user["Id"])),
        "scope": "refresh_token api",
        "instance_url": org.settings.instance_url or base,
        "id": f"{base}/id/{ORG_ID}/{user['Id']}",
        "token_type": "Bearer",
    }
    if grant != JWT_BEARER:
        issued = str(int(org.exact_now().timestamp() * 1000))
        signature = base64.b64encode(f"{user['Id']}{issued}".encode()).decode()
        answer |= {"issued_at": issued, "signature": signature}
    return answer


def identity(user: Row, base: str) -> dict[str, Any]:
    """Return what ``userinfo`` and the identity URL say about a user."""
    user_id = str(user["Id"])
    return {
        "id": f"{base}/id/{ORG_ID}/{user_id}",
        "sub": f"{base}/id/{ORG_ID}/{user_id}",
        "user_id": user_id,
        "organization_id": ORG_ID,
        "username": user.get("Username"),
        "preferred_username": user.get("Username"),
        "display_name": user.get("Name"),
        "name": user.get("Name"),
        "email": user.get("Email"),
        "active": bool(user.get("IsActive")),
        "zoneinfo": user.get("TimeZoneSidKey"),
        "user_type": "STANDARD",
        "urls": {
            "rest": f"{base}/services/data/v{{version}}/",
            "sobjects": f"{base}/services/data/v{{version}}/sobjects/",
            "query": f"{base}/services/data/v{{version}}/query/",
        },
    }


def read_certificate(pem: str) -> RSAPublicKey:
    """Return the RSA key of an X.509 certificate. Raises ValueError for anything else."""
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError("the certificate must hold an RSA key")  # noqa: TRY004 - the value is wrong
    return key


def _by_assertion(org: Org, assertion: str, base: str) -> Row:
    try:
        claims = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise OAuthError("invalid_grant", "invalid assertion") from None
    app = _app(org, str(claims.get("iss", "")))
    try:
        key = read_certificate(app.certificate)
        # Salesforce is lax about exp and aud, so both are checked by hand below.
        lax: Options = {
            "verify_exp": False,
            "verify_aud": False,
            "verify_iat": False,
            "verify_sub": False,
        }
        jwt.decode(assertion, key, algorithms=["RS256"], options=lax)
    except (jwt.InvalidTokenError, ValueError):
        raise OAuthError("invalid_grant", "invalid assertion") from None
    audience = str(claims.get("aud", "")).rstrip("/")
    if audience not in {*LOGIN_HOSTS, base, org.settings.instance_url}:
        raise OAuthError("invalid_grant", "audience is invalid")
    if _expiry(claims.get("exp")) <= org.exact_now():
        raise OAuthError("invalid_grant", "expired authorization code")
    return _approved(org, app, str(claims.get("sub") or claims.get("prn") or ""))


def _expiry(raw: Any) -> datetime:
    """Read ``exp``: seconds or milliseconds, as a number or a string."""
    try:
        seconds = float(raw)
        if seconds > MILLISECONDS:
            seconds /= 1000
        return datetime.fromtimestamp(seconds, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise OAuthError("invalid_grant", "invalid assertion") from None


def _app(org: Org, consumer_key: str) -> ConnectedApp:
    for each in org.settings.apps:
        if each.consumer_key == consumer_key:
            return each
    raise OAuthError("invalid_client_id", "client identifier invalid")


def _approved(org: Org, app: ConnectedApp, username: str) -> Row:
    user = org.user(username)
    allowed = {each.casefold() for each in app.usernames}
    if user is not None and username.casefold() in allowed:
        return user
    if app.self_authorise or user is None:
        raise OAuthError("invalid_grant", "user hasn't approved this consumer")
    raise OAuthError("invalid_app_access", "user is not admin approved to access this app")


def _by_secret(org: Org, form: Mapping[str, str]) -> Row:
    app = _app(org, form.get("client_id", ""))
    if not app.consumer_secret or form.get("client_secret") != app.consumer_secret:
        raise OAuthError("invalid_client", "invalid client credentials")
    user = org.user(app.run_as)
    if user is None:
        raise OAuthError("invalid_grant", "no client credentials user enabled")
    return user


def _by_password(org: Org, form: Mapping[str, str]) -> Row:
    app = _app(org, form.get("client_id", ""))
    if form.get("client_secret") != app.consumer_secret:
        raise OAuthError("invalid_client", "invalid client credentials")
    username = form.get("username", "")
    user = org.user(username)
    if user is None or app.passwords.get(username) != form.get("password"):
        raise OAuthError("invalid_grant", "authentication failure")
    return user


def basic_credentials(header: str) -> dict[str, str]:
    """Return client id and secret of an HTTP Basic header, or nothing."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return {}
    return {"client_id": client_id, "client_secret": secret}
