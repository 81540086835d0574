"""Where the Pub/Sub API is: one of Salesforce's own hosts by TLS, or loopback."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pd_sf_rules.connections import LOOPBACK_HOSTS, ConnectionSpec, is_loopback_http
from pd_sf_rules.errors import ConfigError, ConnectionConfigError

FIELD = "pubsub_endpoint"
GLOBAL = "api.pubsub.salesforce.com:7443"
"""The endpoint for every org; `api.deu.pubsub.salesforce.com:7443` keeps the events in the EU."""

_ENDPOINT = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[::1\]):(?P<port>\d{1,5})")
_THEIRS = ".pubsub.salesforce.com"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`target` is host and port; plain text is spoken on loopback alone."""

    target: str
    loopback: bool


def endpoint_of(spec: ConnectionSpec) -> Endpoint:
    """Return the endpoint of a connection: extra `pubsub_endpoint`, else Salesforce's own.

    Raises ConnectionConfigError for any host but Salesforce's and loopback: the token would go there.
    """
    from pd_sf_rules.systems.salesforce.login import login_url  # noqa: PLC0415 - its client takes a while

    text = spec.text(FIELD)
    if not text and is_loopback_http(login_url(spec)):
        hint = "Give host and port of the simulated Pub/Sub API, as the sandbox prints them."
        raise ConnectionConfigError(spec.conn_id, "is missing.", field=FIELD, hint=hint)
    found = _ENDPOINT.fullmatch(text or GLOBAL)
    host = found["host"].strip("[]").lower() if found else ""
    if found and 0 < int(found["port"]) < 65536:
        if host in LOOPBACK_HOSTS:
            return Endpoint(found[0], loopback=True)
        if host.endswith(_THEIRS):
            return Endpoint(found[0].lower(), loopback=False)
    hint = f"Leave it out, or give a host below {_THEIRS[1:]} and its port: {GLOBAL}."
    raise ConnectionConfigError(spec.conn_id, f"'{text}' is no such host.", field=FIELD, hint=hint)


def check_packages() -> None:
    """Raise ConfigError unless what the Pub/Sub API needs is installed, and fits."""
    hint = (
        "Install grpcio and protobuf (requirements.txt has the versions), or take `signals` away."
    )
    try:
        import grpc.aio  # noqa: F401, PLC0415 - only a signal that is switched on needs them

        from pd_sf_rules.systems.salesforce.pubsub import pubsub_api_pb2  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        said = f"Salesforce's change events need a package that is not installed: {error.name}."
        raise ConfigError(said, hint=hint) from None
    except Exception as error:  # noqa: BLE001 - a protobuf that does not fit says so by errors of many kinds
        said = f"Salesforce's change events cannot use what is installed: {type(error).__name__}: {error}"
        raise ConfigError(said, hint=hint) from None


def trusted_roots() -> bytes | None:
    """Return the certificates that the REST calls trust instead of the usual ones, None for the usual ones."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if not bundle:
        return None
    try:
        return Path(bundle).read_bytes()
    except OSError as error:
        said = f"The certificates in '{bundle}' cannot be read ({type(error).__name__})."
        raise ConfigError(said, hint="See REQUESTS_CA_BUNDLE.") from None
