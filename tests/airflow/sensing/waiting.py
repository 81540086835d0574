"""Somebody else's DAG, which waits for a change on either side."""

from airflow.sdk import DAG

from pd_sf_rules.sensors.changes import PagerDutyLogEntrySensor, SalesforceChangeSensor

with DAG("waiting", schedule=None, catchup=False):
    SalesforceChangeSensor(task_id="for_salesforce", poll_seconds=1, timeout=600)
    PagerDutyLogEntrySensor(task_id="for_pagerduty", poll_seconds=1, timeout=600)
    SalesforceChangeSensor(task_id="in_vain", poll_seconds=1, timeout=1)
