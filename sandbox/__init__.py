"""Simulated Salesforce and PagerDuty over real HTTP, for the demo, the tests and a newcomer."""
