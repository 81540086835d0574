"""The rulesets: state, sentences, findings, versions and proposals of every file, and the switch, by role."""

import re
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pd_sf_rules.ledger import switches
from tests.browser.serving import Site
from tests.browser.stories import HOSTILE, busy, in_step, passes
from tests.integration.cli_world import CRITICAL

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
MOST_SECONDS = 0.3
BROKEN = CRITICAL.replace("operation: equals", "operation: equal")


def test_without_files_the_page_says_where_to_write_one(site: Site, open_as: Open) -> None:
    """An empty folder is no empty page."""
    page = open_as("auditor", "rulesets")
    page.get_by_text("There is no ruleset file yet").wait_for()
    page.get_by_text("include/rulesets/").wait_for()


def test_every_file_shows_its_state(site: Site, open_as: Open) -> None:
    """Live, shadow, off, invalid with and without a good version: each row says which, and how often it matched."""
    in_step(site)
    site.ruleset(
        CRITICAL.replace("Critical cases", "Tried").replace("rules:", "mode: shadow\nrules:", 1),
        "b.yaml",
    )
    site.ruleset(
        CRITICAL.replace("Critical cases", "Resting").replace("enabled: true", "enabled: false"),
        "c.yaml",
    )
    site.ruleset(BROKEN, "d.yaml")
    site.ruleset(CRITICAL.replace("Critical cases", "Once good"), "e.yaml")
    passes(site)
    site.ruleset(BROKEN, "e.yaml")
    page = open_as("auditor", "rulesets")
    rows = {name: page.get_by_role("row", name=name).inner_text() for name in
            ("Critical cases", "Tried", "Resting", "d.yaml", "Once good")}  # fmt: skip
    assert "live" in rows["Critical cases"]
    assert re.search(r"\t1\t1\t", rows["Critical cases"].replace("\n", ""))
    assert "shadow" in rows["Tried"]
    assert "off" in rows["Resting"]
    assert "disabled" in rows["Resting"]
    assert "invalid" in rows["d.yaml"]
    assert "not in force" in rows["d.yaml"]
    assert "last good version in force" in rows["Once good"]
    page.get_by_role("link", name="Once good").click()
    page.get_by_text("There is no operation 'equal'.").first.wait_for()
    page.get_by_text("Did you mean 'equals'?").first.wait_for()
    assert page.get_by_label("Difference").locator(".add").count() >= 1


def test_rules_read_as_sentences(site: Site, open_as: Open) -> None:
    """A rule is told as when, what must hold and then, with how often it matched."""
    in_step(site)
    page = open_as("auditor", "rulesets/critical.yaml")
    rule = page.get_by_role("region", name="Rule Page support")
    rule.get_by_text(
        "records are created or changed in Salesforce and all of these hold"
    ).wait_for()
    rule.get_by_text("Case.Status has changed to Escalated").wait_for()
    rule.get_by_text("create an incident on service Support P1").wait_for()
    assert "1 in 24 h" in rule.inner_text()


def test_a_manager_switches_a_ruleset(site: Site, open_as: Open) -> None:
    """A switch with a reason holds, is shown beside what the file says, is audited, and can be taken back."""
    in_step(site)
    page = open_as("manager", "rulesets")
    page.get_by_label("Switch Critical cases: it is on").click()
    page.get_by_label("Why").fill("too many pages")
    page.get_by_role("button", name="Switch off").click()
    page.get_by_role("status").get_by_text("'Critical cases' is switched off").wait_for()
    row = page.get_by_role("row", name="Critical cases")
    row.get_by_text("by manager: too many pages").wait_for()
    assert "enabled" in row.inner_text()
    with site.ledger.read() as c:
        assert switches.in_force(c)["critical.yaml"].enabled is False
    event, who, dag, told = site.audit()[0]
    assert (event, who, dag) == ("pdsf.switch", "manager", "salesforce_to_pagerduty")
    assert (told["file"], told["to"], told["why"]) == ("critical.yaml", "off", "too many pages")
    page.get_by_role("link", name="Critical cases").click()
    page.get_by_label("Switch Critical cases: it is off").click()
    page.get_by_role("button", name="Let the file decide").click()
    page.get_by_role("status").get_by_text("follows its file again").wait_for()
    with site.ledger.read() as c:
        assert switches.in_force(c) == {}
        assert len(switches.turns_of(c, "critical.yaml")) == 2


@pytest.mark.parametrize("person", ["user", "auditor"])
def test_others_see_the_switch_and_cannot_turn_it(site: Site, person: str) -> None:
    """User and auditor get no form, and are refused behind it, also with a manager's token."""
    site.ruleset(CRITICAL)
    client = site.client(person)
    assert "<form" not in client.get("rulesets").text
    assert "<form" not in client.get("rulesets/critical.yaml").text
    address = "rulesets/critical.yaml/switch"
    form = {"to": "off", "csrf_token": site.own_token(person)}
    assert client.post(address, data=form).status_code == 403
    forged = {"to": "off", "csrf_token": site.own_token("manager")}
    assert client.post(address, data=forged).status_code == 403
    assert site.client("manager").post(address, data={"to": "off"}).status_code == 403
    with site.ledger.read() as c:
        assert switches.in_force(c) == {}


def test_versions_are_compared(site: Site, open_as: Open) -> None:
    """Each version that was in force is listed, and what one changed is shown line by line."""
    in_step(site)
    site.ruleset(CRITICAL.replace("urgency: high", "urgency: low"))
    passes(site)
    page = open_as("auditor", "rulesets/critical.yaml")
    page.get_by_role("link", name="changed").click()
    text = page.get_by_label("Difference")
    assert "urgency: high" in text.locator(".del").inner_text()
    assert "urgency: low" in text.locator(".add").inner_text()


def test_a_proposal_is_downloaded(site: Site, open_as: Open) -> None:
    """What the page proposes is a patch of the file; nothing changes here."""
    path = site.ruleset(CRITICAL)
    page = open_as("auditor", "rulesets/critical.yaml")
    page.get_by_text("Propose…").click()
    with page.expect_download() as loading:
        page.get_by_role("link", name="Disable it: patch").click()
    patch = loading.value.path().read_text()
    assert "-enabled: true\n+enabled: false\n" in patch
    assert path.read_text() == CRITICAL
    checkout = site.home / "checkout"
    (checkout / "include" / "rulesets").mkdir(parents=True)
    (checkout / "include" / "rulesets" / "critical.yaml").write_text(CRITICAL)
    subprocess.run(["git", "apply", "-"], input=patch, text=True, cwd=checkout, check=True)


def test_hostile_files_are_only_shown(site: Site, open_as: Open) -> None:
    """Names, reasons and texts are shown as they are: no markup of theirs becomes the page's."""
    for n, text in enumerate(HOSTILE):
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        name = quoted[:150]
        rules = CRITICAL.partition("rules:\n")[2]
        file = f"{n}'<b>\"&.yaml"
        site.ruleset(f'version: 1\nname: "{name}"\nrules:\n{rules}# {text}\n', file)
    page = open_as("manager", "rulesets")
    page.get_by_text("<script>alert('x')</script>").wait_for()
    assert page.locator("img, b").count() == 0
    page.get_by_role("link", name="<script>").click()
    page.get_by_role("heading", name="<script>alert('x')</script>").wait_for()
    assert page.locator("img, b").count() == 0


def test_no_other_file_is_reached(site: Site) -> None:
    """An address names a ruleset file of the folder, or nothing."""
    site.ruleset(CRITICAL)
    for path in ("..%2F..%2Fpasswords.json", "nothing.yaml", "%2Fetc%2Fpasswd"):
        assert site.client("admin").get(f"rulesets/{path}").status_code == 404
        assert site.client("admin").get(f"rulesets/{path}/propose/on").status_code == 404


def test_many_rules_over_a_big_ledger_are_as_fast(site: Site) -> None:
    """Twenty rules that matched 10,000 times are counted within 300 ms."""
    busy(site)
    for n in range(5):
        rules = CRITICAL.split("rules:\n")[1].split("  - name: Mirror")[0]
        text = "".join(rules.replace("Page support", f"Rule {k}") for k in range(n, 20, 5))
        site.ruleset(f"version: 1\nname: Ruleset {n}\nenabled: true\nrules:\n{text}", f"{n}.yaml")
    assert "Ruleset 4" in site.client("auditor").get("rulesets").text
    assert site.cost("auditor", "rulesets") < MOST_SECONDS
