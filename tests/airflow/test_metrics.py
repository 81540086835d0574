"""What a run did goes out through Airflow's own metrics, under the names that docs/operating.md lists."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.observability import stats

from pd_sf_rules.lineage import lineage
from pd_sf_rules.operators.metrics import COUNTS, emit

ROOT = Path(__file__).resolve().parents[2]
PLACE = "acme_eu.salesforce"


class Backend:
    """A metrics backend as Airflow plugs one in, which keeps what it is given."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[float, dict[str, Any]]] = {}

    def incr(self, stat: str, count: int = 1, *, tags: Any = None, **_: Any) -> None:
        """Keep a counter."""
        self.seen[stat] = (count, tags)

    def gauge(self, stat: str, value: float, *, tags: Any = None, **_: Any) -> None:
        """Keep a gauge."""
        self.seen[stat] = (value, tags)


@pytest.fixture
def backend() -> Iterator[Backend]:
    """The backend that Airflow's metrics go to during the test."""
    made = Backend()
    stats.initialize(factory=lambda: made, export_legacy_names=False)  # type: ignore[arg-type, return-value]
    try:
        yield made
    finally:
        from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger  # noqa: PLC0415

        stats.initialize(factory=NoStatsLogger, export_legacy_names=False)


def told(window: tuple[datetime, datetime] | None) -> dict[str, Any]:
    """The lineage of a run."""
    counts = {
        "pulled": 7,
        "evaluated": 7,
        "matched": 3,
        "applied": 2,
        "skipped": 0,
        "failed": 1,
        "held": 0,
    }
    return lineage(
        run_id="r",
        integration="acme eu",
        direction="salesforce",
        window=window,
        counts=counts,
        actions=[],
    )


def test_counts_and_lag_go_out(backend: Backend) -> None:
    """Every count is a counter and the age of the window's end a gauge, both tagged; a name is made fit."""
    now = datetime.now(UTC)
    emit(told((now - timedelta(minutes=10), now - timedelta(minutes=5))))
    tags = {"integration": "acme eu", "direction": "salesforce"}
    assert backend.seen[f"pdsf.applied.{PLACE}"] == (2, tags)
    assert backend.seen[f"pdsf.failed.{PLACE}"] == (1, tags)
    assert backend.seen[f"pdsf.held.{PLACE}"] == (0, tags)
    lag, _ = backend.seen[f"pdsf.lag_seconds.{PLACE}"]
    assert 299 < lag < 400


def test_a_run_without_a_window_has_no_lag(backend: Backend) -> None:
    """A run that read nothing says nothing about the lag."""
    emit(told(None))
    assert f"pdsf.lag_seconds.{PLACE}" not in backend.seen


def test_the_page_and_the_dashboard_name_the_metrics() -> None:
    """docs/operating.md lists every metric, and the dashboard asks for no other of ours."""
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    names = {*COUNTS, "lag_seconds"}
    assert {one for one in names if f"`pdsf.{one}." not in page} == set()
    board = (ROOT / "docs" / "grafana-dashboard.json").read_text(encoding="utf-8")
    json.loads(board)
    asked = set(re.findall(r"airflow_pdsf_(\w+?)\{", board))
    assert asked <= names
    assert {"applied", "failed", "lag_seconds"} <= asked
