"""LocalExecutor for tasks that wait in the triggerer and go on soon: a sensor, a question that is answered at once."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.state import TaskInstanceState

ENDED = frozenset({TaskInstanceState.SUCCESS, TaskInstanceState.FAILED})


class ResumingLocalExecutor(LocalExecutor):
    """Tells the scheduler that a task's process has ended only when it was the task's last one.

    A task that defers has one process before its wait and one behind it, under the same key, and the supervisor of the
    first stays up to five seconds (`[workers] min_heartbeat_interval`). When its end is told while the second is queued
    or runs, Airflow's scheduler takes the task for killed from outside and fails it. Airflow's own executor tells it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self._processes: Counter[TaskInstanceKey] = Counter()

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        self._processes.update(
            one.key for one in workload_list if isinstance(one.key, TaskInstanceKey)
        )
        super()._process_workloads(workload_list)  # type: ignore[no-untyped-call]

    def change_state(self, key: Any, state: Any, *more: Any, **told: Any) -> None:
        """Pass on what became of a task or a callback, unless another process of the same task is still to end."""
        if isinstance(key, TaskInstanceKey) and state in ENDED:
            self._processes[key] -= 1
            if self._processes[key] > 0:
                return
            del self._processes[key]
        super().change_state(key, state, *more, **told)
