"""PagerDuty and Salesforce, kept in step by rules, on Apache Airflow."""

__version__ = "0.1.0"
