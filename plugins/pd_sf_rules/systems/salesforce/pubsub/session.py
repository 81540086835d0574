"""The login that every call to the Pub/Sub API carries."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.systems.salesforce.client import DEFAULT_VERSION
from pd_sf_rules.systems.salesforce.login import Grant, log_in
from pd_sf_rules.systems.salesforce.pubsub.endpoint import Endpoint, endpoint_of, trusted_roots
from pd_sf_rules.systems.salesforce.transport import HardenedSession

LOGIN_SECONDS = 20.0
SERVICE = "/eventbus.v1.PubSub/"


@dataclass(frozen=True, slots=True)
class Session:
    """A login and where its calls go."""

    grant: Grant
    endpoint: Endpoint
    roots: bytes | None = field(repr=False)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what every call carries (Pub/Sub API guide, "Supported Authentication")."""
        return (
            ("accesstoken", self.grant.token),
            ("instanceurl", self.grant.instance_url),
            ("tenantid", self.grant.org_id),
        )


def open_session(spec: ConnectionSpec) -> Session:
    """Log in as the REST calls do. Blocks; raises SyncError."""
    endpoint = endpoint_of(spec)
    with HardenedSession(LOGIN_SECONDS) as http:
        proxies = spec.extra.get("proxies")
        if isinstance(proxies, Mapping):
            http.proxies.update(proxies)
        version = spec.text("version", DEFAULT_VERSION).removeprefix("v")
        grant = log_in(spec, http, version)
    return Session(grant, endpoint, trusted_roots())
