"""The command line of a world of each test's own."""

import pytest

from tests.integration.cli_world import Shell
from tests.integration.pipeline_world import PipelineWorld


@pytest.fixture
def pdsf(world: PipelineWorld, capsys: pytest.CaptureFixture[str]) -> Shell:
    """`pdsf` in a world of this test's own."""
    return Shell(world, capsys)
