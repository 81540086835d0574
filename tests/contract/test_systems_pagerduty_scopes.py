"""An app's token has the scopes that the sync needs, and those that the connection asks for beside them."""

import pytest

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import RefusedError
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.pagerduty.subscriptions import list_subscriptions
from sandbox.pagerduty.seed import INTEGRATION_USER, OAUTH_CLIENT_ID, OAUTH_CLIENT_SECRET
from sandbox.world import World


def app(world: World, scopes: str) -> PagerDutyClient:
    """A client that logs in as the account's app."""
    extra = {
        "base_url": world.pagerduty_url,
        "token_url": f"{world.pagerduty_url}/oauth/token",
        "client_id": OAUTH_CLIENT_ID,
        "client_secret": OAUTH_CLIENT_SECRET,
        "subdomain": "acme",
        "from_email": INTEGRATION_USER,
        "scopes": scopes,
    }
    return PagerDutyClient(ConnectionSpec("pagerduty_default", "pagerduty", extra=extra))


def test_webhooks_need_scopes_of_their_own(world: World) -> None:
    """Without them the subscriptions cannot be seen, and the refusal names the scope; with them they can."""
    with pytest.raises(RefusedError, match=r"webhook_subscriptions\.read"):
        list_subscriptions(app(world, ""))
    more = "webhook_subscriptions.read webhook_subscriptions.write"
    assert list(list_subscriptions(app(world, more))) is not None
