"""A whole Airflow on one machine: scheduler, triggerer, DAG processor and api-server, on SQLite and LocalExecutor.

`make up` runs it in the foreground; the demo and the tests use `running_airflow`.
"""

from embedded.errors import EmbeddedAirflowError
from embedded.rest import AirflowApi
from embedded.running import RunningAirflow, running_airflow

__all__ = ["AirflowApi", "EmbeddedAirflowError", "RunningAirflow", "running_airflow"]
