"""Airflow's own hook for adjusting an installation, on the import path of the embedded Airflow only.

It does two things, both for a short way from a change to its effect (docs/adr/0003-embedded-airflow.md):

- SQLite's CURRENT_TIMESTAMP has whole seconds, and the scheduler starts a run only when
  `run_after <= now()`: a run that is due now waited for the next full second. With the fraction it
  starts at once.
- LocalExecutor forks its tasks from the scheduler. What the scheduler has imported before it forks
  its workers, no task imports again.
"""

import importlib
import logging
import os
import sys
from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import now

log = logging.getLogger(__name__)


@compiles(now, "sqlite")
def _now_with_fraction(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


def _preload(names: str) -> None:
    for name in filter(None, names.split(",")):
        try:
            importlib.import_module(name)
        except Exception:  # the task that needs it says so again, where a person looks
            log.exception("Could not import %s ahead of the tasks", name)


if sys.argv[1:2] == ["scheduler"]:
    _preload(os.environ.get("PDSF_PRELOAD", ""))
