"""A home for Airflow before anybody imports it."""

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

# Airflow writes its configuration where it finds its home when it is imported: not into that of whoever tests.
_HOME = tempfile.mkdtemp(prefix="airflow-of-tests-")
os.environ.update(AIRFLOW_HOME=_HOME, AIRFLOW__CORE__LOAD_EXAMPLES="False")


@pytest.fixture(autouse=True, scope="session")
def _no_home_is_left() -> Iterator[None]:
    """The folder goes with the session."""
    yield
    shutil.rmtree(_HOME, ignore_errors=True)
