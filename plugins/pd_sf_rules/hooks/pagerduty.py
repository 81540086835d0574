"""The provider's PagerDuty hook with what it leaves out: region, sender, OAuth, time-outs and a bounded retry."""

import pagerduty
from airflow.providers.pagerduty.hooks.pagerduty import PagerdutyHook

from pd_sf_rules.errors import RetryableError, SyncError
from pd_sf_rules.hooks.stored import stored_connection, unreachable
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient


class PagerDutyRulesHook(PagerdutyHook):
    """Opens our client from a connection of type `pagerduty`; nothing is read before it is needed."""

    def __init__(self, pagerduty_conn_id: str = PagerdutyHook.default_conn_name) -> None:
        # The provider's constructor reads the connection and knows no OAuth: ours reads it when it opens.
        super(PagerdutyHook, self).__init__()
        self.pagerduty_conn_id = pagerduty_conn_id

    def open(self) -> PagerDutyClient:
        """Return a client; the caller closes it. Raises ConnectionConfigError naming connection and field."""
        return PagerDutyClient(stored_connection(self.pagerduty_conn_id))

    def client(self) -> pagerduty.RestApiV2Client:
        """Return a client with the official library's own methods, over our session: nothing is repeated unasked.

        Raises ConnectionConfigError naming connection and field.
        """
        return self.open().session()

    def test_connection(self) -> tuple[bool, str]:
        """Call PagerDuty once and say in one sentence what is right or what to mend."""
        try:
            client = self.open()
            try:
                return True, client.check()
            finally:
                client.close()
        except RetryableError as error:
            return False, unreachable(self.pagerduty_conn_id, error, "base_url", "region")
        except SyncError as error:
            return False, str(error)
