"""A simulated PagerDuty account: REST v2, Events v2, webhooks V3, OAuth client credentials."""
