"""The play page shows both sides, acts on either, and lets nothing in unescaped."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sandbox.world import World

NASTY = '<script>alert("x")</script>'


@pytest.fixture
def browser(world: World) -> Iterator[httpx.Client]:
    """A client of the page that follows redirects, as a browser without scripts does."""
    with httpx.Client(base_url=world.control_url, follow_redirects=True, trust_env=False) as made:
        yield made


def only(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The one item of a list."""
    (item,) = items
    return item


def test_page_escapes_everything(world: World, browser: httpx.Client) -> None:
    """Text of either side is text on the page, wherever it stands."""
    case = world.salesforce.create("Case", {"Subject": NASTY, "Status": "New"})
    world.salesforce.comment(case, NASTY)
    ana = world.person("Ana Lopez")
    incident = ana.create_incident("Support P1", NASTY, priority="P1")
    ana.add_note(incident["id"], NASTY)
    for path in ("/", "/play/board"):
        page = browser.get(path).text
        assert NASTY not in page
        assert page.count("&lt;script&gt;alert(") >= 4


def test_both_sides_are_played_by_forms(world: World, browser: httpx.Client) -> None:
    """Forms work without scripts and act as the chosen person."""
    sam, ben = {"as": "sam.agent@acme.example"}, {"as": "Ben Okafor"}
    new = {"subject": "Card failures", "priority": "High", "account": "Acme"}
    browser.post("/play/cases", data={**new, **sam})
    case = only(world.salesforce.records("Case"))
    browser.post(f"/play/cases/{case['Id']}", data={"status": "Working", **sam})
    browser.post(
        f"/play/cases/{case['Id']}/comments", data={"body": "Called", "public": "on", **sam}
    )
    browser.post("/play/incidents", data={"title": "Slow", "service": "Support P2", **ben})
    incident = only(browser.get("/pagerduty/incidents").json()["incidents"])
    for action, data in (
        ("acknowledge", {}),
        ("note", {"content": "Looking into it"}),
        ("priority", {"priority": "P2"}),
        ("priority", {"priority": ""}),
        ("resolve", {"resolution": "Restarted"}),
    ):
        answer = browser.post(f"/play/incidents/{incident['id']}/{action}", data={**data, **ben})
        assert answer.status_code == 200, answer.text
    page = browser.get("/").text
    for text in ("Card failures", "Called", "Looking into it", "Resolution Note: Restarted"):
        assert text in page
    assert "changed the priority: P2 to none" in page
    story = only(
        world.salesforce.soql("SELECT Status, Account.Name, LastModifiedBy.Name FROM Case")
    )
    assert (story["Status"], story["Account"]["Name"]) == ("Working", "Acme")
    assert story["LastModifiedBy"]["Name"] == "Sam Agent"


def test_refused_form_is_one_sentence(world: World, browser: httpx.Client) -> None:
    """What a system refuses is told as plain text."""
    incident = world.person("Ana Lopez").create_incident("Support P1", "t")
    world.person("Ana Lopez").resolve(incident["id"])
    answer = browser.post(f"/play/incidents/{incident['id']}/resolve")
    assert (answer.status_code, answer.text) == (400, "Incident Already Resolved")


def test_forms_of_other_sites_are_refused(world: World, browser: httpx.Client) -> None:
    """Another page in the same browser cannot act on the sandbox."""
    new = {"title": "t", "service": "Support P1"}
    answer = browser.post(
        "/play/incidents", data=new, headers={"Origin": "http://elsewhere.example"}
    )
    assert answer.status_code == 403
    assert browser.get("/pagerduty/incidents").json()["incidents"] == []


def test_links_to_records_lead_to_their_cards(world: World, browser: httpx.Client) -> None:
    """The addresses that each system gives its records show them on the page."""
    case = world.salesforce.create("Case", {"Subject": "s"})
    incident = world.person("Ana Lopez").create_incident("Support P1", "t")
    for address, card in (
        (incident["html_url"], f"incident-{incident['id']}"),
        (f"{world.salesforce_url}/lightning/r/Case/{case}/view", f"case-{case}"),
        (f"{world.salesforce_url}/{case}", f"case-{case}"),
    ):
        answer = browser.get(address)
        assert str(answer.url).endswith(f"/#{card}")
        assert f'id="{card}"' in answer.text


def test_cards_lead_to_what_the_sync_did(world: World, browser: httpx.Client) -> None:
    """With an Airflow named, each card asks its pages why; without one there is no such link."""
    case = world.salesforce.create("Case", {"Subject": NASTY, "Status": "New"})
    incident = world.person("Ana Lopez").create_incident("Support P1", "Slow")
    assert "pd-sf-rules" not in browser.get("/").text
    world.airflow_url = "https://airflow.example/team"
    try:
        page = browser.get("/").text
    finally:
        world.airflow_url = ""
    assert f'"https://airflow.example/team/pd-sf-rules/explain?record={case}"' in page
    assert f'"https://airflow.example/team/pd-sf-rules/explain?incident={incident["id"]}"' in page
    assert '"https://airflow.example/team/pd-sf-rules/activity"' in page
