"""People and the sync at work in the world that the api-server shows: through the real pipeline, not by hand."""

from collections.abc import Iterator

import pytest

from tests.browser.serving import Site
from tests.integration.cli_world import CRITICAL
from tests.integration.pipeline_world import Clock, PipelineWorld


@pytest.fixture
def world(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[PipelineWorld]:
    """The site's world, to act in: `sync` makes a pass, as `pdsf sync` does, with two rules in force."""
    url = f"sqlite:///{site.home}/ledger.db"
    named = {
        "PDSF_RULESETS_DIR": str(site.home / "rulesets"),
        "PDSF_INTEGRATIONS_DIR": str(site.home / "integrations"),
        "PDSF_LEDGER_URL": url,
        "AIRFLOW_HOME": str(site.home),
    }
    for name, value in {**named, **site.sandbox.connections}.items():
        monkeypatch.setenv(name, value)
    world = PipelineWorld(site.sandbox, Clock(), site.home, url)
    world.rules_text(CRITICAL)
    world.sync()
    yield world
    world.close()
