"""What a run did goes out through Airflow's own metrics, under the names that docs/operating.md lists."""

import json
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
from airflow.sdk._shared.observability.metrics.metrics_registry import (
    YAML_REGISTRY_PATH,
    read_metrics_yaml,
)
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils

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
    """docs/operating.md lists every metric; the dashboard asks for no other, and for none that Airflow lacks."""
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    names = {*COUNTS, "lag_seconds"}
    assert {one for one in names if f"`pdsf.{one}." not in page} == set()
    board = (ROOT / "docs" / "grafana-dashboard.json").read_text(encoding="utf-8")
    json.loads(board)
    asked = set(re.findall(r"airflow_pdsf_(\w+?)\{", board))
    assert asked <= names
    assert {"applied", "failed", "lag_seconds"} <= asked
    airflows = set(re.findall(r"airflow_(\w+)", board)) - {f"pdsf_{one}" for one in asked}
    known = {one["name"].replace(".", "_") for one in read_metrics_yaml(str(YAML_REGISTRY_PATH))}
    assert airflows <= known, "Airflow emits no such metric"


def test_the_names_arrive_at_a_statsd_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through Airflow's own StatsD client every metric is a datagram whose name the documented mapping takes apart."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(server.getsockname()[1]))
        stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
        try:
            now = datetime.now(UTC)
            emit(told((now - timedelta(minutes=10), now - timedelta(minutes=5))))
            arrived = [server.recv(1024).decode() for _ in range(len(COUNTS) + 1)]
        finally:
            stats.initialize(factory=NoStatsLogger, export_legacy_names=False)
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    (mapping,) = re.findall(r"```yaml\n(mappings:\n.*?)```", page, re.DOTALL)
    ours = yaml.safe_load(mapping)["mappings"][0]
    pattern = re.escape(ours["match"]).replace(r"\*", r"([^.]+)")
    found = [re.fullmatch(rf"{pattern}:([\d.]+)\|([cg])", one) for one in arrived]
    assert all(found), arrived
    parts = {one[1]: (one[2], one[3], one[5]) for one in found if one}
    assert parts.pop("lag_seconds") == ("acme_eu", "salesforce", "g")
    assert parts == dict.fromkeys(COUNTS, ("acme_eu", "salesforce", "c"))
