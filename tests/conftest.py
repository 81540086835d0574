"""What holds for the whole suite: which tests share a worker, and that nobody's own `.env` reaches them."""

import os

import pytest

os.environ["PDSF_ENV_FILE"] = ""

SPREAD = {"test_chaos.py": 3}
"""Files whose tests are many and independent of each other: over how many workers they may be spread."""

STARTS_AIRFLOW = frozenset({"airflow", "topology"})
"""Folders whose tests do."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file on one worker and in order, so that they share what a file starts.

    Those that start an Airflow come first: they wait much and take long, and the others fill the time. A mark
    `xdist_group` of a file's own (several files that share one Airflow) goes before.
    """
    items.sort(key=lambda item: STARTS_AIRFLOW.isdisjoint(item.path.parts))
    turns: dict[str, int] = {}
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        name = item.path.name
        number = turns[name] = turns.get(name, -1) + 1
        group = f"{name}-{number % SPREAD[name]}" if name in SPREAD else name
        item.add_marker(pytest.mark.xdist_group(group))
