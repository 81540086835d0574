"""The provider's Salesforce hook over our own session: JWT login on any host, time-outs, one login for many calls."""

from functools import cached_property

from airflow.providers.salesforce.hooks.salesforce import SalesforceHook
from simple_salesforce.api import Salesforce

from pd_sf_rules.errors import RetryableError, SyncError
from pd_sf_rules.hooks.stored import stored_connection, unreachable
from pd_sf_rules.systems.salesforce.client import SalesforceClient


class SalesforceRulesHook(SalesforceHook):
    """Opens our client from a connection of type `salesforce`."""

    def open(self) -> SalesforceClient:
        """Return a client; the caller closes it. Raises ConnectionConfigError naming connection and field."""
        return SalesforceClient(stored_connection(self.conn_id))

    @cached_property
    def conn(self) -> Salesforce:
        """A simple-salesforce client, logged in by our own login, over our session; kept by the hook."""
        return self._client.direct()

    @cached_property
    def _client(self) -> SalesforceClient:
        return self.open()

    def test_connection(self) -> tuple[bool, str]:
        """Log in, call Salesforce once, and say in one sentence what is right or what to mend."""
        try:
            client = self.open()
            try:
                return True, client.check()
            finally:
                client.close()
        except RetryableError as error:
            return False, unreachable(self.conn_id, error, "login_url", "instance_url", "domain")
        except SyncError as error:
            return False, str(error)
