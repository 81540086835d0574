"""What a run did, as metrics of Airflow: they go where Airflow's own go (StatsD, OpenTelemetry, Datadog), or nowhere.

Names and tags are in docs/operating.md; Airflow puts its prefix (`airflow.`) in front.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.observability import stats

COUNTS = ("pulled", "matched", "applied", "skipped", "failed", "held")


def emit(told: Mapping[str, Any]) -> None:
    """Emit a lineage object's counts, and how many seconds the end of its window is behind now."""
    tags = {"integration": told["integration"], "direction": told["direction"]}
    place = stats.normalize_name_for_stats(
        f"{told['integration']}.{told['direction']}", log_warning=False
    )
    for name in COUNTS:
        stats.incr(f"pdsf.{name}.{place}", int(told["counts"].get(name, 0)), tags=tags)
    end = (told.get("window") or {}).get("end")
    if end:
        lag = (datetime.now(UTC) - datetime.fromisoformat(end)).total_seconds()
        stats.gauge(f"pdsf.lag_seconds.{place}", max(lag, 0.0), tags=tags)
