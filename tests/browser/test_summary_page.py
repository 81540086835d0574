"""The summary: connections tried live, figures, pauses with their switches, by role, empty and with much in it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pd_sf_rules.ledger import pauses
from pd_sf_rules.pipeline import pausing
from pd_sf_rules.pipeline.run import utc_now
from tests.browser.accessible import nameless
from tests.browser.serving import Site
from tests.browser.stories import HOSTILE, busy, in_step, passes

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
MOST_SECONDS = 0.3


def test_an_empty_summary_says_what_to_do(site: Site, open_as: Open) -> None:
    """Before the first run each part says that nothing was there yet, and how that changes."""
    page = open_as("auditor", "summary")
    for words in ("not started", "Nothing was read yet", "No run yet", "Nothing is paused"):
        page.get_by_text(words).first.wait_for()


def test_both_connections_are_tried_when_the_page_has_loaded(site: Site, open_as: Open) -> None:
    """Each connection shows a green OK with who answered, and both quotas, without anybody asking."""
    site.integration("tried")  # of a name that nobody tried within the last seconds
    page = open_as("auditor", "summary?integration=tried")
    connections = page.get_by_role("region", name="Connections")
    connections.get_by_text("OK", exact=True).nth(1).wait_for()
    said = connections.inner_text()
    assert "answers pagerduty-sync@acme.example" in said
    assert "writes are made as salesforce-sync@acme.example" in said
    assert "API calls used today" in said
    assert "API calls used this minute" in said


def test_a_broken_connection_says_what_to_mend(site: Site) -> None:
    """A connection that is not there, and one that is refused, are each one sentence."""
    site.integration("broken", salesforce_conn_id="nowhere")
    answer = site.client("auditor").get("summary/connections?integration=broken").text
    assert "Connection &#39;nowhere&#39;: is not defined." in answer
    assert "Broken" in answer
    assert answer.count('class="pill good"') == 1


def test_the_page_waits_for_no_service(site: Site) -> None:
    """The page itself asks neither service: that is left to a part of it which is loaded afterwards."""
    site.integration("silent")
    before = site.sandbox.traffic.last_number()
    text = site.client("auditor").get("summary?integration=silent").text
    assert site.sandbox.traffic.last_number() == before
    assert "Not tested in the last seconds" in text
    site.client("auditor").get("summary/connections?integration=silent")
    assert site.sandbox.traffic.last_number() > before


def test_who_has_no_script_tests_by_a_link(site: Site, open_as: Open) -> None:
    """Without a script the page offers to test now, and shows what came of it."""
    site.integration("plain")
    page = open_as("auditor", "summary?integration=plain", java_script_enabled=False)
    page.get_by_role("link", name="Test now").first.click()
    assert page.get_by_text("OK", exact=True).count() == 2


def test_the_figures_are_those_of_the_ledger(site: Site, open_as: Open) -> None:
    """Streams, runs, events and actions are shown as they were; a run leads to its page in Airflow."""
    in_step(site)
    page = open_as("auditor", "summary")
    page.get_by_text("in step").wait_for()
    assert page.get_by_role("row", name="salesforce:Case").count() == 1
    said = page.locator("svg desc").text_content() or ""
    assert "0 failed" in said
    assert not said.startswith("0 events")
    bars = page.locator("svg rect.actions").count()
    assert bars >= 1


def test_whoever_may_pauses_and_resumes(site: Site, open_as: Open) -> None:
    """A manager pauses a ruleset with a reason; the page says who and why, the ledger obeys, the audit log knows."""
    in_step(site)
    page = open_as("manager", "summary")
    page.get_by_text("Pause…").click()
    page.get_by_label("What").select_option("Critical cases")
    page.get_by_label("Why").fill("Data load until 18:00")
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("status").get_by_text("Ruleset 'Critical cases' is paused").wait_for()
    page.get_by_text("by manager: Data load until 18:00").wait_for()
    (one,) = pausing.paused(site.ledger, "default")
    assert (one.ruleset, one.paused_by, one.why) == (
        "Critical cases",
        "manager",
        "Data load until 18:00",
    )
    page.get_by_role("button", name="Resume Critical cases").click()
    page.get_by_text("Nothing is paused").wait_for()
    assert pausing.paused(site.ledger, "default") == []
    resumed, asked = site.audit()[:2]
    assert resumed[:3] == ("pdsf.resume", "manager", "salesforce_to_pagerduty")
    assert asked[:3] == ("pdsf.pause", "manager", "salesforce_to_pagerduty")
    assert asked[3]["why"] == "Data load until 18:00"


@pytest.mark.parametrize("person", ["user", "auditor"])
def test_others_see_pauses_and_cannot_change_them(site: Site, person: str) -> None:
    """User and auditor see no switch, and the address behind it refuses them with a token of their own."""
    pausing.pause(site.ledger, "default", who="ada", why="lunch")
    text = site.client(person).get("summary").text
    assert "by ada: lunch" in text
    assert "<button" not in text.split("Pauses</h2>")[1].split("</section>")[0]
    token = site.own_token(person)
    for path in ("summary/pause", "summary/resume"):
        answer = site.client(person).post(
            path, data={"csrf_token": token, "integration": "default"}
        )
        assert answer.status_code == 403
        assert "edit the connection pagerduty_default" in answer.text
    assert len(pausing.paused(site.ledger, "default")) == 1


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("", {}),
        ("0" * 64, {}),
        ("auditor", {}),
        ("manager", {"Sec-Fetch-Site": "cross-site"}),
        ("manager", {"Sec-Fetch-Site": "same-site"}),
        ("manager", {"Origin": "https://evil.example"}),
    ],
)
def test_a_forged_form_changes_nothing(site: Site, token: str, headers: dict[str, str]) -> None:
    """No token, a made-up one, somebody else's, or a form of another site: 403, nothing changes, nothing is audited."""
    before = len(site.audit())
    given = site.own_token(token) if token in site.passwords else token
    form = {"csrf_token": given, "integration": "default"}
    answer = site.client("manager").post("summary/pause", data=form, headers=headers)
    assert answer.status_code == 403
    assert pausing.paused(site.ledger, "default") == []
    assert len(site.audit()) == before


def test_hostile_words_are_only_shown(site: Site, open_as: Open) -> None:
    """What people wrote is text, whatever is in it: no script runs, no markup appears, the page keeps its width."""
    for n, text in enumerate(HOSTILE):
        site.ruleset(f"version: 1\nname: Ruleset {n}\nenabled: true\nrules: []\n", f"{n}.yaml")
        pausing_row(site, f"Ruleset {n}", text)
    page = open_as("manager", "summary")
    page.get_by_text("<script>alert('x')</script>").wait_for()
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def pausing_row(site: Site, ruleset: str, why: str) -> None:
    """A pause as somebody left it."""
    with site.ledger.begin() as c:
        pauses.add_pause(c, pauses.Pause("default", ruleset, utc_now(), why[:200], why))


def test_every_control_has_a_name(site: Site, open_as: Open) -> None:
    """On each of these pages a screen reader is told what every control and table is for."""
    record, _ = in_step(site)
    for path in ("summary", "summary/doctor", "rulesets", "rulesets/critical.yaml", "links"):
        page = open_as("admin", path)
        for one in page.locator("details.menu > summary").all():
            one.press("Enter")
            assert nameless(page) == [], path
            page.keyboard.press("Escape")
        assert page.locator("details.menu[open]").count() == 0
    assert record in open_as("admin", "links").locator("tbody").inner_text()


def test_a_broken_integration_file_is_told(site: Site) -> None:
    """One file that cannot be used is named beside the integration that works; without any other it is the answer."""
    (site.home / "integrations" / "zebra.yaml").write_text("name: zebra\npoll_seconds: -1\n")
    text = site.client("auditor").get("summary").text
    assert "zebra.yaml: poll_seconds:" in text
    assert "1 to look at" in text
    (site.home / "integrations" / "default.yaml").unlink()
    answer = site.client("auditor").get("summary")
    assert answer.status_code == 409
    assert "zebra.yaml: poll_seconds:" in answer.text


def test_each_integration_has_its_summary(site: Site, open_as: Open) -> None:
    """With several integrations one is chosen on top, and the page is about that one alone."""
    site.integration("europe", poll_seconds=33)
    page = open_as("auditor", "summary")
    page.get_by_label("Integration", exact=True).select_option("europe")
    page.get_by_role("heading", name="europe").wait_for()
    page.get_by_text("every 33 s").wait_for()


def test_a_big_ledger_is_as_fast(site: Site) -> None:
    """With 100,000 events the page takes less than 300 ms on the server, whatever time is shown."""
    busy(site)
    for span in ("1h", "24h", "7d"):
        assert site.cost("auditor", f"summary?span={span}") < MOST_SECONDS, span


def test_every_check_can_be_asked_for(site: Site, open_as: Open) -> None:
    """Who may act asks for every check, which are those of `pdsf status --doctor`; an auditor may not."""
    in_step(site)
    passes(site)
    page = open_as("user", "summary")
    page.get_by_role("link", name="Check everything").click()
    page.get_by_role("heading", name="Every check of default").wait_for()
    assert page.get_by_role("row").count() >= 5
    assert site.client("auditor").get("summary/doctor").status_code == 403
