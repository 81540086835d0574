"""Airflow's own hook for adjusting an installation: the embedded one, and the workers of the image.

It does three things, the first two of them for a short way from a change to its effect, the third for writers that
wait for their turn (docs/adr/0003-embedded-airflow.md):

- SQLite's CURRENT_TIMESTAMP has whole seconds, and the scheduler starts a run only when
  `run_after <= now()`: a run that is due now waited for the next full second. With the fraction it
  starts at once.
- Tasks are forked: by LocalExecutor from the scheduler, by CeleryExecutor from the worker. What these have imported
  beforehand, named in PDSF_PRELOAD, no task imports again. An entry `module:function` is also called: what the
  function compiles and caches, no task does again. Nor do the processes that parse DAG files: the DAG processor forks
  them.
- A transaction of SQLite's that begins by reading (a savepoint does) is refused its first write at once, without any
  waiting, when somebody has written in between: Airflow then answers 500 to who starts a run or a backfill. One that
  asks for the write lock as it begins waits, like all others.
"""

import importlib
import logging
import os
import sys
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import now

log = logging.getLogger(__name__)


@compiles(now, "sqlite")
def _now_with_fraction(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


@event.listens_for(Engine, "savepoint")
def _lock_before_a_savepoint(connection: Connection, _name: str | None) -> None:
    if connection.dialect.name != "sqlite":
        return
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _preload(names: str) -> None:
    for entry in filter(None, names.split(",")):
        name, _, function = entry.partition(":")
        try:
            module = importlib.import_module(name)
            if function:
                getattr(module, function)()
        except Exception:  # the task that needs it says so again, where a person looks
            log.exception("Could not prepare %s ahead of the tasks", entry)


if sys.argv[1:2] in (["scheduler"], ["celery"], ["dag-processor"]):
    _preload(os.environ.get("PDSF_PRELOAD", ""))
