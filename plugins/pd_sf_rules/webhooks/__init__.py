"""The endpoint for PagerDuty's V3 webhooks: the one open route, which believes nothing but a valid signature."""
