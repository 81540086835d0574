"""Airflow's own hook for adjusting an installation; the embedded Airflow puts this folder on its import path.

SQLite's CURRENT_TIMESTAMP has whole seconds, and the scheduler starts a run only when `run_after <=
now()`: a run that is due now waited for the next full second. With the fraction it starts at once.
"""

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import now


@compiles(now, "sqlite")
def _now_with_fraction(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"
