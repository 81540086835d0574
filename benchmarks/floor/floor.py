"""A DAG whose only task says that it runs: nothing on an asset watcher can be shorter."""

import os
import shutil

from airflow.sdk import Asset, AssetWatcher, dag, task

from benchmarks.floor.watcher import FileChanged

ASKED, ANSWERED = os.environ["FLOOR_ASKED"], os.environ["FLOOR_ANSWERED"]
TRIGGER = FileChanged(ASKED, float(os.environ["FLOOR_POLL_SECONDS"]))
CHANGES = Asset("floor", watchers=[AssetWatcher(name="floor", trigger=TRIGGER)])


@dag(schedule=[CHANGES], catchup=False, max_active_runs=1)
def floor() -> None:
    """Runs when the number changed."""

    @task
    def answer() -> None:
        shutil.copy(ASKED, ANSWERED)

    answer()


floor()
