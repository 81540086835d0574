"""The main job, end to end, on one machine: a real Airflow between a simulated Salesforce and PagerDuty."""
