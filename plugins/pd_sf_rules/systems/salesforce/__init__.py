"""Salesforce over its REST API, through simple-salesforce on a hardened session."""
