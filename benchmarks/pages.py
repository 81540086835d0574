"""How long Airflow's api-server takes for our pages with a short and with a long past in the ledger (SQLite)."""

import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.table import Line
from sandbox.running import running_sandbox
from tests.browser.serving import Site, running_site
from tests.integration.activity_seed import record_of, seed

SHORT, LONG = 1_000, 100_000
ROUNDS = 7
PAGES = {
    "summary": "summary",
    "rulesets": "rulesets",
    "activity, everything": "activity?level=debug",
    "activity, errors": "activity?level=error",
    "activity, one record": f"activity?record={record_of(3)}",
    "activity, one rule": "activity?rule=Ruleset+0+/+Rule+0",
    "explain, one record": f"explain?record={record_of(3)}",
    "errors": "errors",
    "links": "links",
    "playground": "playground",
}


def measure() -> list[Line]:
    """Return for each page the microseconds with 100,000 events, and how many times those with 1,000 fit into them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_sandbox() as sandbox,
        running_site(Path(folder), sandbox) as site,
    ):
        site.integration()
        short = _times(site, SHORT)
        long = _times(site, LONG - SHORT, first=SHORT)
    group = f"with {LONG:,} events, and times a page with {SHORT:,}"
    return [Line(group, name, long[name], long[name] / short[name]) for name in PAGES]


def _times(site: Site, more: int, *, first: int = 0) -> dict[str, float]:
    """Write that many more events, and return the microseconds of each page."""
    start = datetime.now(UTC) - timedelta(seconds=LONG)
    seed(site.ledger, more, start=start, first=first)
    client = site.client("auditor")
    found: dict[str, float] = {}
    for page, address in PAGES.items():
        taken = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            client.get(address).raise_for_status()
            taken.append(time.perf_counter() - begun)
        found[page] = statistics.median(taken) * 1e6
    return found
