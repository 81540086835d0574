"""The official PagerDuty client, pointed at the sandbox."""

from typing import Any

from pagerduty import RestApiV2Client

from sandbox.pagerduty.seed import ACCOUNT_KEY
from sandbox.world import World


class LoopbackClient(RestApiV2Client):
    """The official client without its insistence on https, and without long retries."""

    def __init__(self, world: World, key: str = ACCOUNT_KEY, **options: Any) -> None:
        super().__init__(key, verify=False, **options)
        self._url = world.pagerduty_url
        self.max_network_attempts = 0
        self.retry[429] = 1
        self.sleep_timer = 0.01
