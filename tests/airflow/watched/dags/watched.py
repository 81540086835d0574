"""A tiny test project: one DAG that follows a file, one that is started by hand."""

import os
import time
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, AssetWatcher, dag, task
from watched_file import WatchedFile

FILE = os.environ["WATCHED_FILE"]
CHANGES = Asset("file/changes", watchers=[AssetWatcher(name="file", trigger=WatchedFile(FILE))])


@task
def read() -> dict[str, Any]:
    """What the file says, and when it was read."""
    return {"text": Path(FILE).read_text(encoding="utf-8"), "at": time.time()}


@task
def measure(seen: dict[str, Any]) -> dict[str, Any]:
    """How long the text is, and when that was known."""
    return {"length": len(seen["text"]), "at": time.time()}


@dag(schedule=[CHANGES], catchup=False, max_active_runs=1)
def follow_file() -> None:
    """Runs when the file changes."""
    measure(read())


@dag(schedule=None, catchup=False)
def by_hand() -> None:
    """Runs when somebody says so."""

    @task
    def words(params: dict[str, Any]) -> str:
        return f"{params['greeting']}, {params['name']}"

    @task
    def fail_if_told(params: dict[str, Any]) -> None:
        if params.get("fail"):
            raise ValueError("told to fail")

    words() >> fail_if_told()


follow_file()
by_hand()
