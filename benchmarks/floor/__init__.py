"""What Airflow itself needs from a change to a task: a watcher, a DAG of one task that does nothing."""
