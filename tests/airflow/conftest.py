"""A home for Airflow before anybody imports it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.airflow.sync_world import HASTY, SYNC_DAGS, SyncWorld, running_sync, usual

# Airflow writes its configuration where it finds its home when it is imported: not into that of whoever tests.
_HOME = tempfile.mkdtemp(prefix="airflow-of-tests-")
os.environ.update(AIRFLOW_HOME=_HOME, AIRFLOW__CORE__LOAD_EXAMPLES="False")


@pytest.fixture(autouse=True, scope="session")
def _no_home_is_left() -> Iterator[None]:
    """The folder goes with the session."""
    yield
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_sync(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncWorld]:
    """One Airflow with the sync switched on, its ledger where it is when nobody says where.

    For the files of the group SHARED. Each leaves every DAG of `default` on, and no fault behind.
    """
    with running_sync(
        tmp_path_factory.mktemp("sync"),
        prepare=usual,
        environ=lambda sandbox: {**sandbox.connections, **HASTY},
        missed=timedelta(days=3),
    ) as running:
        running.start(*SYNC_DAGS)
        yield running
