"""Explain: an event, a pair or a run as a story, told from the ledger alone."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest

from pd_sf_rules.ledger import events
from pd_sf_rules.operators.links import ExplainLink
from tests.browser.accessible import nameless
from tests.browser.played import escalated, incident_of, refused
from tests.browser.serving import PEOPLE, Site
from tests.integration.activity_seed import seed
from tests.integration.ledger_rows import an_event, later
from tests.integration.pipeline_world import PipelineWorld

if TYPE_CHECKING:
    from playwright.sync_api import Page


Open = Callable[..., "Page"]


@pytest.mark.parametrize("person", PEOPLE)
def test_it_asks_what_to_explain(site: Site, person: str) -> None:
    """Without a name every role gets the form; what nobody knows is said, with status 404."""
    client = site.client(person)
    assert 'name="record"' in client.get("explain").text
    for path in ("explain/nothing", "explain?record=500000000000009", "explain?incident=QNONE"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert 'role="alert"' in answer.text


def test_strangers_are_told_nothing(site: Site) -> None:
    """No story without Airflow's login."""
    for path in ("explain", "explain/x", "explain?dag_id=a&run_id=b"):
        assert site.client().get(path).status_code == 401


def test_the_story_of_a_pair(site: Site, world: PipelineWorld, open_as: Open) -> None:
    """From the change through each condition to PagerDuty's answer and our own write coming back, from either side."""
    (case_id,) = escalated(world, "Database is down")
    incident_id = incident_of(world, case_id)
    world.ana().acknowledge(incident_id)
    world.sync()
    page = open_as("auditor", f"explain?record={case_id}")
    changed = page.get_by_role("article", name="salesforce updated")
    values = changed.get_by_role("table", name="What changed")
    assert values.get_by_role("row", name="Status New Escalated").count() == 1
    assert changed.get_by_text("Critical cases / Page support").first.is_visible()
    held = changed.get_by_role("row", name="yes Case.Status changed_to Escalated")
    assert held.count() == 1
    assert changed.locator(".did").get_by_text("create_incident").is_visible()
    changed.get_by_text("request and answer").first.click()
    sent = changed.locator("details.more pre").first
    assert "Database is down" in sent.inner_text()
    assert page.get_by_text("This is our own write coming back").count() > 0
    acknowledged = page.get_by_role("article", name="pagerduty acknowledge")
    assert acknowledged.locator(".did").get_by_text("update_record").is_visible()
    assert nameless(page) == []
    other_side = site.client("auditor").get("explain", params={"incident": incident_id}).text
    assert "Escalated" in other_side
    assert f"explain?record={case_id}" in other_side


def test_one_event_with_what_did_not_match(site: Site, world: PipelineWorld) -> None:
    """An event's own page tells also the rule that looked in vain, and why."""
    case_id = world.case("Quiet", Priority="Low")
    world.sync()
    (event,) = [one for one in world.events() if one.record_id == case_id]
    text = site.client("auditor").get(f"explain/{quote(event.id, safe='')}").text
    assert "1 rule looked and did not match" in text
    assert "Case.Priority equals &#39;High&#39; does not hold" in text
    assert "The rule as it read then" in text


def test_an_action_stands_under_the_verdict_that_matched(site: Site, world: PipelineWorld) -> None:
    """After a replay an event has two verdicts of a rule: what was done is told beside the later one."""
    (case_id,) = escalated(world, "Database is down")
    (event,) = [
        one
        for one in world.events()
        if one.record_id == case_id and any(said["matched"] for said in one.verdicts)
    ]
    before = {**event.verdicts[0], "matched": False, "reason": "Not at that time."}
    with site.ledger.begin() as c:
        assert events.mark_evaluated(c, event, [before, *event.verdicts], again=True)
    text = site.client("auditor").get(f"explain/{quote(event.id, safe='')}").text
    assert text.index('class="did"') < text.index("Not at that time.")


def test_a_failed_action_leads_to_the_errors(site: Site, world: PipelineWorld) -> None:
    """What failed is told with each attempt in the server's words, and leads on to where it can be retried."""
    (case_id,) = refused(world, "Cursed")
    text = site.client("user").get("explain", params={"record": case_id}).text
    assert "Title is cursed" in text
    assert f'errors?integration=default#{world.action("create_incident").id}"' in text


def test_a_long_story_tells_the_newest(site: Site) -> None:
    """Of many events the newest are told, and it says how to get more."""
    for number in range(25):
        event = an_event(f"e{number:02}", occurred_at=later(number))
        with site.ledger.begin() as c:
            events.add_event(c, event)
    client = site.client("auditor")
    text = client.get("explain", params={"record": an_event().record_id}).text
    assert text.count("<article") == 20
    assert "e04" not in text
    assert "Older events are left out" in text
    more = re.search(r'href="\./(explain[^"]+)">Tell the newest 100', text)
    assert more
    assert client.get(more[1].replace("&amp;", "&")).text.count("<article") == 25


def test_the_run_of_a_dag_tells_its_events(site: Site, open_as: Open) -> None:
    """Airflow's tab on a run lists what that run saw, what matched and how it ended; an unknown run says so."""
    seed(site.ledger, 100)
    link = ExplainLink().get_link(None, ti_key=_Key("salesforce_to_pagerduty", "run-1"))  # type: ignore[arg-type]
    page = open_as("auditor", link.removeprefix("pd-sf-rules/"))
    assert page.get_by_role("heading", name="What this run saw and did").is_visible()
    assert page.locator("tbody tr").count() == 50
    assert page.get_by_role("link", name="run-1").get_attribute("href") == (
        "./../dags/salesforce_to_pagerduty/runs/run-1"
    )
    assert nameless(page) == []
    nothing = site.client("auditor").get(
        "explain?dag_id=x&run_id=manual__2026-01-01T00:00:00%2B00:00"
    )
    assert "This run saw nothing new" in nothing.text


def test_airflow_shows_it_on_every_run(site: Site) -> None:
    """The plugin offers the page as a tab of runs and of tasks, with Airflow's own placeholders."""
    headers = {"Authorization": f"Bearer {site.token('admin')}"}
    found = httpx.get(f"{site.url}/api/v2/plugins", headers=headers, timeout=30).json()
    views = [view for plugin in found["plugins"] for view in plugin["external_views"]]
    explained = {view["destination"]: view["href"] for view in views if view["name"] == "Explain"}
    address = "pd-sf-rules/explain?dag_id={DAG_ID}&run_id={RUN_ID}"
    assert explained == {"dag_run": address, "task_instance": address}


class _Key:
    """What Airflow tells a link of the task instance."""

    def __init__(self, dag_id: str, run_id: str) -> None:
        self.dag_id, self.run_id = dag_id, run_id
