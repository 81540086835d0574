"""Salesforce's change events over the Pub/Sub API: a hint that something is to be read, and nothing more."""
