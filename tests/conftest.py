"""What holds for the whole suite: which tests share a worker, and that nobody's own `.env` reaches them."""

import logging
import os
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

os.environ["PDSF_ENV_FILE"] = ""

# A line for each request of a minute's polling hides why a test failed. A filter, because whoever sets logging up
# anew (Airflow, uvicorn) sets level and handlers, and leaves filters alone.
for _chatty in ("uvicorn.access", "httpx", "httpx2"):
    logging.getLogger(_chatty).addFilter(lambda _: False)

ROOT = Path(__file__).resolve().parents[1]

SPREAD = {"test_chaos.py": 3}
"""Files whose tests are many and independent of each other: over how many workers they may be spread."""

AIRFLOW_ALONE = frozenset(
    {"test_distributed.py", "test_embedded_airflow.py", "test_make_up.py", "test_sync_troubles.py"}
)
"""Files that start an Airflow which no other file can use."""

LEAVES_TRACES = frozenset({"test_scheduler_chaos.py"})
"""Files that come after the others that share their Airflow: what they leave in its ledger is in the way."""


class Together(LoadScopeScheduling):  # type: ignore[misc]  # xdist is untyped
    """Keeps tests that share something on one worker and in order; see `group_of`.

    xdist's own groups do not hold under pytest 9.2, whose node ids cannot be given a suffix any more.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together | None:
    """Take over `--dist loadgroup`."""
    return Together(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those that start an Airflow first: they wait much and take long, and the others fill the time."""
    items.sort(key=lambda item: (not _starts_airflow(item.nodeid), item.path.name in LEAVES_TRACES))


def _starts_airflow(nodeid: str) -> bool:
    file = nodeid.partition("::")[0]
    return Path(file).name in AIRFLOW_ALONE or _shares_an_airflow(file)


def group_of(nodeid: str) -> str:
    """Return whom a test shares a worker with.

    Those of its file; the files marked `xdist_group(SHARED)` have one Airflow, those of tests/browser one browser.
    Whoever starts an Airflow alone waits for the others that do: more than two at once take all of a small machine.
    """
    file = nodeid.partition("::")[0]
    path = Path(file)
    if path.name in AIRFLOW_ALONE:
        return "an Airflow each"
    if "browser" in path.parts:
        return "browser"
    if path.name in SPREAD:
        return f"{file} {zlib.crc32(nodeid.encode()) % SPREAD[path.name]}"
    return "one Airflow" if _shares_an_airflow(file) else file


@cache
def _shares_an_airflow(file: str) -> bool:
    return "xdist_group(SHARED)" in (ROOT / file).read_text(encoding="utf-8")
