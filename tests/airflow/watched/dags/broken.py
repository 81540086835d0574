"""A DAG file that cannot be imported, to see how that is reported."""

from airflow.sdk import dag  # noqa: F401

raise RuntimeError("this file is broken on purpose")
