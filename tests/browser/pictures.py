"""`python -m tests.browser.pictures`: the pictures of docs/pages.md, taken from a world that was really synced."""

import random
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import Connection, Table, insert, select

from pd_sf_rules.ledger import links
from pd_sf_rules.ledger.tables import actions, attempts, events
from pd_sf_rules.pipeline import pausing
from pd_sf_rules.pipeline.reconcile import reconcile
from pd_sf_rules.pipeline.switching import turn
from sandbox.running import running_sandbox
from tests.browser.conftest import CHROMIUM, HOW_TO_GET
from tests.browser.serving import ROOT, Site, running_site
from tests.browser.stories import passes, running

IMAGES = ROOT / "docs" / "images"
EXAMPLES = ROOT / "include" / "rulesets"
SUBJECTS = (
    "Checkout is down in Europe",
    "Login fails for all customers",
    "Invoices are sent twice",
    "Export hangs at 99 %",
    "Search answers nothing",
)
MISTAKEN = """\
version: 1
name: Night shift
enabled: true
rules:
  - name: Page the night shift
    object: Case
    run_on: salesforce
    when: { field: Case.Subject, operation: contains, value: at night }
    actions:
      - create_incident: { service: Support at night, title: "{{ record.Subject }}" }
"""
Shot = tuple[str, str, str]
WELL: Sequence[Shot] = (
    ("page-ruleset", "rulesets/case-to-incident.yaml", "light"),
    ("page-activity", "activity", "dark"),
    ("page-links", "links", "light"),
)
WRONG: Sequence[Shot] = (
    ("page-summary-dark", "summary", "dark"),
    ("page-rulesets", "rulesets", "light"),
    ("page-errors", "errors", "light"),
)


def main() -> None:
    """Take every picture anew."""
    if CHROMIUM is None:
        raise SystemExit(HOW_TO_GET)
    with (
        tempfile.TemporaryDirectory() as home,
        running_sandbox() as sandbox,
        running_site(Path(home), sandbox) as site,
        sync_playwright() as driver,
    ):
        site.clear()
        tell(site)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        _take_explained(browser, site)
        _spread(site)
        for shot in WELL:
            _take(browser, site, *shot)
        _take_inside(browser, site)
        _take_played(browser, site)
        go_wrong(site)
        for shot in WRONG:
            _take(browser, site, *shot)
        browser.close()


def tell(site: Site) -> None:
    """A morning of support: Cases that paged, some acknowledged and closed, one mistake in a file, one pause."""
    site.integration(comments={"salesforce_to_pagerduty": True})
    for path in EXAMPLES.glob("*-to-*.yaml"):
        if not path.name.endswith(".test.yaml"):
            text = path.read_text(encoding="utf-8").replace("enabled: false", "enabled: true", 1)
            site.ruleset(text, path.name)
    passes(site)
    cases = [_case(site, subject) for subject in SUBJECTS]
    passes(site)
    ana = site.sandbox.person("Ana Lopez")
    with site.ledger.read() as c:
        incidents = [one.incident_id for one in links.all_links(c, "default")]
    for incident in incidents[:3]:
        ana.acknowledge(incident)
    passes(site)
    site.sandbox.salesforce.update(cases[0], {"Status": "Closed"})
    passes(site)
    site.sandbox.salesforce.delete(cases[1])
    with running(site) as run:
        reconcile(run)


def go_wrong(site: Site) -> None:
    """Then a file names a service that does not exist, a pause begins, and a ruleset is switched off."""
    site.ruleset(MISTAKEN, "a-night-shift.yaml")
    for subject in ("Printer burns at night", "Backup fails at night"):
        _case(site, subject)
    passes(site)
    pausing.pause(
        site.ledger, "default", "note sync", who="ana", why="Comments are migrated until 18:00"
    )
    turn(
        site.ledger,
        "incident-to-case.yaml",
        enabled=False,
        who="ana",
        why="Too many Cases since Monday",
    )


def _case(site: Site, subject: str) -> str:
    fields = {"Subject": subject, "Priority": "High", "Status": "New", "Origin": "Web"}
    return str(site.sandbox.salesforce.create("Case", fields))


def _spread(site: Site) -> None:
    """Repeat what happened over the last day, so that the figures show a day and not a minute."""
    chance = random.Random(7)
    with site.ledger.begin() as c:
        rows = {table: _rows(c, table) for table in (events, actions, attempts)}
        for n in range(260):
            hours = chance.triangular(0.4, 23.8, 3 + 9 * (n % 2))
            back = timedelta(hours=hours)
            event = chance.choice(rows[events])
            _copy(c, events, event, back, {"id": f"{event['id']}-{n}", "seq": None})
            for action in (one for one in rows[actions] if one["event_id"] == event["id"]):
                own = f"{action['id']}-{n}"
                _copy(c, actions, action, back, {"id": own, "event_id": f"{event['id']}-{n}"})
                for attempt in (one for one in rows[attempts] if one["action_id"] == action["id"]):
                    _copy(c, attempts, attempt, back, {"action_id": own, "seq": None})


def _rows(c: Connection, table: Table) -> list[dict[str, Any]]:
    return [dict(row) for row in c.execute(select(table)).mappings()]


def _copy(
    c: Connection, table: Table, row: dict[str, Any], back: timedelta, changes: dict[str, Any]
) -> None:
    moved = {k: v - back if isinstance(v, datetime) else v for k, v in row.items()}
    made = {k: v for k, v in (moved | changes).items() if v is not None}
    if made.get("state") != "failed":
        c.execute(insert(table).values(**made))


def _take(browser: Browser, site: Site, name: str, path: str, theme: str) -> None:
    page = _signed_in(browser, site, theme)
    page.goto(site.pages + path)
    page.wait_for_load_state("networkidle")
    _keep(page, name)


def _take_inside(browser: Browser, site: Site) -> None:
    page = _signed_in(browser, site, "light")
    page.goto(f"{site.url}/plugin/pd-sf-rules")
    page.frame_locator("iframe").get_by_text("OK", exact=True).nth(1).wait_for()
    _keep(page, "page-in-airflow")


def _take_explained(browser: Browser, site: Site) -> None:
    page = _signed_in(browser, site, "light")
    page.goto(f"{site.pages}links")
    page.locator("tbody tr").last.get_by_role("link", name="Case").first.click()
    page.wait_for_load_state("networkidle")
    _keep(page, "page-explain")


def _take_played(browser: Browser, site: Site) -> None:
    page = _signed_in(browser, site, "light")
    page.goto(f"{site.pages}playground")
    page.locator("#event").select_option("updated")
    page.locator("#values").fill(
        '{"CaseNumber": "00001077", "Subject": "Checkout is slow", "Priority": "High"}'
    )
    page.locator("#old").fill('{"Priority": "Medium"}')
    page.get_by_role("button", name="Judge", exact=True).last.click()
    page.wait_for_load_state("networkidle")
    _keep(page, "page-playground")


def _signed_in(browser: Browser, site: Site, theme: str) -> Page:
    context = browser.new_context(
        viewport={"width": 1280, "height": 800},
        color_scheme="dark" if theme == "dark" else "light",
        timezone_id="UTC",
    )
    cookie = {"name": "_token", "value": site.token("admin"), "url": site.url}
    context.add_cookies([cookie])  # type: ignore[list-item]
    return context.new_page()


def _keep(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.png")
    page.context.close()


if __name__ == "__main__":
    started = datetime.now(UTC)
    main()
    print(f"taken in {(datetime.now(UTC) - started).total_seconds():.0f} s")  # noqa: T201
