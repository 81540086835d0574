"""The links: pairs with both sides, drift, search and pages; linking and parting by hand, by role."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from sqlalchemy import Connection, insert

from pd_sf_rules.ledger import links
from pd_sf_rules.ledger.tables import links as link_rows
from pd_sf_rules.ledger.tables import snapshots as snapshot_rows
from pd_sf_rules.pipeline.reconcile import reconcile
from pd_sf_rules.pipeline.run import utc_now
from tests.browser.serving import Site
from tests.browser.stories import HOSTILE, in_step, running
from tests.integration.ledger_rows import NOW

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
MOST_SECONDS = 0.3
ROWS = "tbody tr"


def test_without_links_the_page_says_what_makes_one(site: Site, open_as: Open) -> None:
    """An empty list is no empty page."""
    page = open_as("auditor", "links")
    page.get_by_text("No record is linked to an incident yet").wait_for()
    page.get_by_text("Never compared").wait_for()


def test_a_pair_shows_both_sides(site: Site, open_as: Open) -> None:
    """A linked pair shows what both sides are called, how they were seen last, and which ruleset linked them."""
    in_step(site, "The shop is down")
    page = open_as("auditor", "links")
    row = page.locator(ROWS)
    for words in ("The shop is down", "Escalated", "triggered", "by Critical cases"):
        row.get_by_text(words).first.wait_for()


def test_drift_is_marked(site: Site, open_as: Open) -> None:
    """A pair in which the last comparison found something is marked, told in words, and found by the filter."""
    record, incident = in_step(site)
    site.sandbox.salesforce.delete(record)
    with running(site) as run:
        reconcile(run)
    page = open_as("auditor", "links")
    page.get_by_text("1 drifted").wait_for()
    page.locator(ROWS).get_by_text("drifted").click()
    page.get_by_text("the record is gone").wait_for()
    page.get_by_label("Show").select_option("drifted")
    page.wait_for_url("**show=drifted**")
    assert page.locator(ROWS).count() == 1
    assert incident in page.locator(ROWS).inner_text()


def test_two_are_linked_and_parted_by_hand(site: Site, open_as: Open) -> None:
    """A user parts a pair and links it again by its numbers; both stand in the audit log."""
    record, incident = in_step(site)
    page = open_as("user", "links")
    page.get_by_label(f"Part Case {record}").click()
    page.get_by_role("button", name="Part them").click()
    page.get_by_role("status").get_by_text("are parted").wait_for()
    assert _in_force(site, record) == []
    page.get_by_text("Link two…").click()
    page.get_by_label("Record", exact=True).fill(record[:15])
    page.get_by_label("Incident", exact=True).fill("1")
    page.get_by_role("button", name="Link", exact=True).click()
    page.get_by_role("status").get_by_text("linked").wait_for()
    assert _in_force(site, record) == [incident]
    linked, parted = site.audit()[:2]
    assert (linked[0], linked[1], linked[3]["record"]) == ("pdsf.link", "user", record[:15])
    assert (parted[0], parted[1], parted[3]["incident"]) == ("pdsf.unlink", "user", incident)


def test_what_does_not_exist_is_not_linked(site: Site, open_as: Open) -> None:
    """A record or an incident that is not there is named in one sentence, and what was typed stays."""
    record, _ = in_step(site)
    page = open_as("user", "links")
    page.get_by_text("Link two…").click()
    page.get_by_label("Record", exact=True).fill(record)
    page.get_by_label("Incident", exact=True).fill("QNOTTHERE")
    # The answer is 409: the browser's console says so, which is no fault of the page.
    answer = site.client("user").post(
        "links/add",
        data={"csrf_token": site.own_token("user"), "integration": "default", "record": record,
              "incident": "QNOTTHERE"},
    )  # fmt: skip
    assert answer.status_code == 409
    assert "PagerDuty has no incident QNOTTHERE." in answer.text
    assert f'value="{record}"' in answer.text


@pytest.mark.parametrize("path", ["links/add", "links/remove"])
def test_an_auditor_only_looks(site: Site, path: str) -> None:
    """An auditor sees no form and is refused behind it; without a token a user is refused too."""
    record, incident = in_step(site)
    assert "<button class" not in site.client("auditor").get("links").text
    form = {"integration": "default", "record": record, "incident": incident}
    token = {"csrf_token": site.own_token("auditor")}
    assert site.client("auditor").post(path, data=form | token).status_code == 403
    assert site.client("user").post(path, data=form).status_code == 403
    assert _in_force(site, record) == [incident]


def test_hostile_words_are_only_shown(site: Site, open_as: Open) -> None:
    """What stands in records and incidents is text; the page keeps its width."""
    with site.ledger.begin() as c:
        for n, text in enumerate(HOSTILE):
            _write(c, range(n, n + 1), text)
    page = open_as("user", "links")
    page.get_by_text("<script>alert('x')</script>").first.wait_for()
    assert page.locator("main img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_many_links_are_paged_and_searched(site: Site, open_as: Open) -> None:
    """100,000 pairs come in pages of 50, each within 300 ms, and one is found by its id."""
    with site.ledger.begin() as c:
        for first in range(0, 100_000, 10_000):
            _write(c, range(first, first + 10_000), "A subject")
    middle = quote((NOW + timedelta(seconds=50_000)).isoformat())
    for query in ("", "?text=P77", f"?before={middle}|x|y"):
        assert site.cost("auditor", f"links{query}") < MOST_SECONDS, query
    page = open_as("auditor", "links")
    assert page.locator(ROWS).count() == 50
    newest = page.locator(ROWS).first.inner_text()
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**before=**")
    assert page.locator(ROWS).first.inner_text() != newest
    page.keyboard.press("/")
    page.keyboard.type("P77")
    page.keyboard.press("Enter")
    page.wait_for_url("**text=P77**")
    assert page.locator(ROWS).count() == 1


def _in_force(site: Site, record: str) -> list[str]:
    with site.ledger.read() as c:
        found = links.links_of_records(c, "default", [record])
    return [one.incident_id for one in found.get(record, [])]


def _write(c: Connection, numbers: range, text: str) -> None:
    """Links as rules made them, a second apart, with what was last seen of both sides."""
    ids = [(n, f"500{n:012d}AAA", f"P{n}") for n in numbers]
    mine = {"integration": "default"}
    c.execute(insert(link_rows), [
        {**mine, "object": "Case", "record_id": record, "incident_id": incident, "ruleset": text[:60],
         "created_at": NOW + timedelta(seconds=n)} for n, record, incident in ids
    ])  # fmt: skip
    seen = {"stamp": None, "version": 1, "touched_at": utc_now()}
    c.execute(insert(snapshot_rows), [
        {**mine, **seen, "system": system, "object": name, "target_id": target,
         "field_values": {"Status": text, "Subject": text, "status": text, "title": text}}
        for _, record, incident in ids
        for system, name, target in (("salesforce", "Case", record), ("pagerduty", "incident", incident))
    ])  # fmt: skip
