"""Activity: the log of the sync in Airflow's UI, filtered, paged, live, and as a file."""

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from pd_sf_rules.ledger import events
from tests.browser.accessible import nameless
from tests.browser.played import HOSTILE, escalated, incident_of, refused
from tests.browser.serving import PEOPLE, Site
from tests.integration.activity_seed import seed
from tests.integration.ledger_rows import an_event
from tests.integration.pipeline_world import PipelineWorld

if TYPE_CHECKING:
    from playwright.sync_api import Page


Open = Callable[..., "Page"]


def _kinds(html: str) -> list[str]:
    return re.findall(r'class="tag (\w+)"', html)


@pytest.mark.parametrize("path", ["activity", "activity/export", "goto/record/500A"])
def test_strangers_read_nothing(site: Site, path: str) -> None:
    """Neither the log nor a file of it, nor a way on, without Airflow's login."""
    assert site.client().get(path).status_code == 401


@pytest.mark.parametrize("person", PEOPLE)
def test_an_empty_log_says_what_to_do(site: Site, person: str) -> None:
    """Every role sees the page; without entries it tells how there will be some."""
    answer = site.client(person).get("activity")
    assert answer.status_code == 200
    assert "Nothing was recorded yet" in answer.text


def test_a_page_is_told_from_cause_to_answer(site: Site, world: PipelineWorld) -> None:
    """A Case that pages somebody is in the log with its change, the rule, the action and PagerDuty's answer."""
    (case_id,) = escalated(world, "Database is down")
    incident_id = incident_of(world, case_id)
    text = site.client("auditor").get("activity", params={"record": case_id}).text
    assert set(_kinds(text)) == {"event", "decision", "action", "answer"}
    assert "Status: New → Escalated" in text
    assert "matched: Critical cases / Page support" in text
    assert f"create_incident, attempt 1 → {incident_id}" in text
    assert "Salesforce Sync" not in text  # our own write coming back is for the debug level
    everything = site.client("auditor").get(
        "activity", params={"incident": incident_id, "level": "debug"}
    )
    assert "our own write coming back" in everything.text
    assert "Status: New → Escalated" in everything.text  # the other side of the pair


def test_errors_alone(site: Site, world: PipelineWorld) -> None:
    """The error level leaves what failed, in the server's words."""
    escalated(world, "Fine")
    refused(world, "Cursed")
    text = site.client("auditor").get("activity", params={"level": "error"}).text
    assert sorted(_kinds(text)) == ["action", "answer"]
    assert "Title is cursed" in text


def test_the_file_of_the_integration_sets_the_level(site: Site, world: PipelineWorld) -> None:
    """With `log.level: error` the page opens on errors; the person may still ask for more."""
    escalated(world, "Fine")
    world.settings(log={"level": "error"})
    assert _kinds(site.client("auditor").get("activity").text) == []
    assert _kinds(site.client("auditor").get("activity", params={"level": "info"}).text) != []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"since": "yesterday-ish"}, "is no instant"),
        ({"before": "somewhere"}, "is no place in the log"),
        ({"before": "2026-01-01~1~1"}, "is no place in the log"),
        ({"record": "00009999"}, "knows no record"),
        ({"outcome": "<b>"}, "There is no outcome"),
        ({"level": "loud"}, "There is no level"),
        ({"kind": "x" * 30}, "at most 20"),
    ],
)
def test_a_wrong_filter_is_one_clear_sentence(site: Site, query: dict[str, str], said: str) -> None:
    """What cannot be asked is said on the page, with status 422, and nothing is shown."""
    answer = site.client("auditor").get("activity", params=query)
    assert answer.status_code == 422
    assert said in answer.text
    assert "<b>" not in answer.text


def test_what_belongs_to_nobody_known_is_not_shown(site: Site) -> None:
    """Entries of an integration that this person may not read, or that has no file, are in no page and no file."""
    with site.ledger.begin() as c:
        events.add_event(c, an_event("mine"))
        events.add_event(c, an_event("theirs", integration="elsewhere"))
    client = site.client("auditor")
    assert _kinds(client.get("activity").text) == ["event"]
    assert client.get("activity", params={"integration": "elsewhere"}).status_code == 404
    (line,) = client.get("activity/export?form=jsonl").text.splitlines()
    assert json.loads(line)["event"] == "mine"
    assert client.get("explain/theirs").status_code == 404


def test_pages_follow_one_another_without_gap_or_double(site: Site) -> None:
    """Walking by the links of the pager meets every entry once."""
    seed(site.ledger, 400)
    client = site.client("auditor")
    address, seen = "activity?level=debug", []
    while address:
        text = client.get(address).text
        seen += [unquote(one) for one in re.findall(r'explain/([^"]+)" aria-label', text)]
        older = re.search(r'rel="next" href="([^"]+)"', text)
        address = older[1].replace("&amp;", "&") if older else ""
    lines = client.get("activity/export?form=jsonl&level=debug").text.splitlines()
    assert seen == [json.loads(line)["event"] for line in lines]
    assert len(seen) > 800


def test_a_file_is_harmless_in_a_spreadsheet(site: Site) -> None:
    """A cell that would be a formula begins with an apostrophe; everything else is there as it is."""
    for number, agent in enumerate(['=cmd|"/C calc"!A0', "@SUM(1)", 'Ada, "the" first', HOSTILE]):
        with site.ledger.begin() as c:
            events.add_event(c, an_event(f"e{number}", agent=agent))
    answer = site.client("auditor").get("activity/export")
    assert answer.headers["content-type"].startswith("text/csv")
    assert re.search(r'filename="activity-\d{8}T\d{6}Z.csv"', answer.headers["content-disposition"])
    agents = {row["agent"] for row in csv.DictReader(io.StringIO(answer.text, newline=""))}
    assert agents == {'\'=cmd|"/C calc"!A0', "'@SUM(1)", 'Ada, "the" first', HOSTILE}


def test_json_lines_carry_requests_and_answers(site: Site, world: PipelineWorld) -> None:
    """One object a line; changes, request and answer whole, for scripts."""
    (case_id,) = escalated(world, "Database is down")
    found = site.client("auditor").get(
        "activity/export", params={"form": "jsonl", "record": case_id}
    )
    rows = [json.loads(line) for line in found.text.splitlines()]
    (answer,) = [row for row in rows if row["kind"] == "answer"]
    assert answer["target"] == incident_of(world, case_id)
    assert answer["request"]
    changed = [row["changes"] for row in rows if row["kind"] == "event" and row["object"]]
    assert {"Priority": ["Low", "High"], "Status": ["New", "Escalated"]} in changed


def test_hostile_text_stays_text(site: Site, world: PipelineWorld, open_as: Open) -> None:
    """Markup, quotes and right-to-left marks of a record are shown as they are, and run nowhere."""
    (case_id,) = refused(world, HOSTILE)
    for path in ("activity?level=debug", f"explain?record={case_id}", "errors"):
        raw = site.client("user").get(path).text
        assert "<script>alert" not in raw
        page = open_as("user", path)
        assert page.locator("main script").count() == 0
    assert page.get_by_text("Title is cursed").first.is_visible()


def test_new_entries_show_by_themselves(site: Site, open_as: Open) -> None:
    """The page grows while it is looked at, what is opened stays open, and Pause stops it."""
    with site.ledger.begin() as c:
        events.add_event(c, an_event("first"))
    page = open_as("auditor", "activity")
    assert page.locator("tbody tr").count() == 1
    with site.ledger.begin() as c:
        events.add_event(c, an_event("second", agent="Grace", type="updated"))
    page.get_by_text("updated by Grace").wait_for()
    page.get_by_role("link", name="Pause").click()
    page.get_by_role("link", name="Go on live").wait_for()
    assert page.locator("[data-live]").count() == 0


def test_it_works_without_script_and_by_keyboard(site: Site, open_as: Open) -> None:
    """Filtering is a plain form; with script, a slash goes to the filter; every control has a name."""
    with site.ledger.begin() as c:
        events.add_event(c, an_event("a", record_id="500000000000001AAA"))
        events.add_event(c, an_event("b", record_id="500000000000002AAA"))
    page = open_as("auditor", "activity", java_script_enabled=False)
    page.get_by_label("Record").fill("500000000000002")
    page.get_by_role("button", name="Filter").click()
    assert page.locator("tbody tr").count() == 1
    page = open_as("auditor", "activity")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "record"
    assert nameless(page) == []


def test_a_long_past_is_paged_on_the_server(site: Site) -> None:
    """With 4,000 events a page still holds fifty entries, and so does one far back."""
    start = datetime.now(UTC) - timedelta(days=1)
    seed(site.ledger, 4_000, start=start)
    client = site.client("auditor")
    assert len(_kinds(client.get("activity?level=debug").text)) == 50
    middle = f"{(start + timedelta(seconds=2000)).isoformat().replace('+00:00', 'Z')}~0~0"
    back = client.get("activity", params={"level": "debug", "before": middle})
    assert len(_kinds(back.text)) == 50
    assert 'rel="prev"' in back.text


def test_ways_out_lead_to_both_services(site: Site, world: PipelineWorld) -> None:
    """Record and incident open where they live; what is no id leads nowhere."""
    (case_id,) = escalated(world, "Database is down")
    client = site.client("auditor")
    record = client.get(f"goto/record/{case_id}")
    assert record.status_code == 302
    assert record.headers["location"].endswith(f"/{case_id}")
    incident = client.get(f"goto/incident/{incident_of(world, case_id)}")
    assert incident_of(world, case_id) in incident.headers["location"]
    assert client.get("goto/record/..%2F..%2Fevil").status_code == 404
    assert client.get("goto/incident/NOSUCH").status_code == 409
