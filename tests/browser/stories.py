"""Worlds that the pages show: synced through the pipeline itself, or written as rows where only size counts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from pd_sf_rules.ledger import links
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.run import Direction, Run
from pd_sf_rules.pipeline.sync import sync
from pd_sf_rules.settings import load_integration
from tests.browser.serving import Site
from tests.integration.activity_seed import seed
from tests.integration.cli_world import CRITICAL

DIRECTIONS: tuple[Direction, ...] = ("salesforce", "pagerduty", "notes")
HOSTILE = [
    "<script>alert('x')</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} ${7*7}",
    "\u202eright to left\u202c 🔥👩‍🚒",
    "long " + "x" * 10_000,
]


def in_step(site: Site, subject: str = "The shop is down") -> tuple[str, str]:
    """A Case that paged, in ruleset "Critical cases", acknowledged and synced: (record id, incident id)."""
    site.ruleset(CRITICAL)
    passes(site)
    case = case_of(site, subject)
    passes(site)
    with site.ledger.read() as c:
        (link,) = links.links_of_records(c, "default", [case])[case]
    return case, link.incident_id


def case_of(site: Site, subject: str) -> str:
    """A Case that was created low, seen, and then escalated by a person; its id."""
    salesforce = site.sandbox.salesforce
    fields = {"Subject": subject, "Priority": "Low", "Status": "New", "Origin": "Web"}
    case = str(salesforce.create("Case", fields))
    passes(site, "salesforce")
    salesforce.update(case, {"Priority": "High", "Status": "Escalated"})
    return case


def passes(site: Site, *directions: Direction, integration: str = "default") -> None:
    """One pass over these directions (all): what `pdsf sync` does."""
    for direction in directions or DIRECTIONS:
        with running(site, integration) as run:
            _, error = sync(run, direction)
        if error is not None:
            raise error


@contextmanager
def running(site: Site, integration: str = "default") -> Iterator[Run]:
    """A run over the site's world."""
    with (
        patch.dict(os.environ, site.environ),
        open_run(load_integration(integration), site.ledger) as run,
    ):
        yield run


def busy(site: Site, count: int = 100_000) -> None:
    """A ledger with that many events, a second apart, in the last day and a bit; made once a session."""
    start = datetime.now(UTC) - timedelta(seconds=count)
    site.restore(site.kept(f"busy-{count}", lambda: seed(site.ledger, count, start=start)))
