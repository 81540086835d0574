"""PagerDuty over its REST API v2, through the official client in a subclass of ours."""
