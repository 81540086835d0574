"""Playground: what the rules would do, and why; whatever is tried there, nothing is written anywhere."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest

from tests.browser.accessible import nameless
from tests.browser.played import HOSTILE, escalated, incident_of, own_token
from tests.browser.serving import PEOPLE, Site
from tests.integration.cli_world import CRITICAL
from tests.integration.pipeline_world import PipelineWorld

if TYPE_CHECKING:
    from playwright.sync_api import Page


Open = Callable[..., "Page"]
CASE = {"Subject": "Checkout is down", "Priority": "High", "Status": "Escalated", "CaseNumber": "7"}


def _judged(site: Site, person: str = "auditor", **form: str) -> httpx.Response:
    sent = {"csrf_token": own_token(person), "values": json.dumps(CASE), "object": "Case"}
    return site.client(person).post("playground", data=sent | form)


def _dump(site: Site) -> list[str]:
    with closing(sqlite3.connect(site.home / "ledger.db", timeout=20)) as c:
        return list(c.iterdump())


@contextmanager
def nothing_written(site: Site) -> Iterator[None]:
    """Assert that inside the block the ledger keeps every byte and no write reaches either service."""
    before, last = _dump(site), site.sandbox.traffic.last_number()
    yield
    assert site.sandbox.traffic.requests(writes_only=True, after=last) == []
    assert _dump(site) == before


@pytest.fixture
def ruled(site: Site) -> Site:
    """The site with today's rules, and nothing synced yet."""
    site.ruleset(CRITICAL)
    return site


@pytest.mark.parametrize("person", PEOPLE)
def test_every_role_may_play(ruled: Site, person: str) -> None:
    """The form is there for all; asking the live systems is for those who may act."""
    text = ruled.client(person).get("playground").text
    assert "Which rules judge" in text
    assert ("Fetch and judge" in text) == (person != "auditor")
    assert "Its conditions hold" in _judged(ruled, person, old='{"Status": "New"}').text


def test_strangers_and_forged_forms_are_refused(site: Site) -> None:
    """No judging without a login, and none of a form from elsewhere."""
    assert site.client().get("playground").status_code == 401
    assert site.client().post("playground", data={"values": "{}"}).status_code == 401
    assert site.client("user").post("playground", data={"values": "{}"}).status_code == 403


def test_todays_rules_say_what_and_why(ruled: Site, open_as: Open) -> None:
    """The planned action comes with its texts rendered, each condition with its reason; nothing is written."""
    page = open_as("auditor", "playground")
    page.get_by_label("Values now").fill(json.dumps(CASE))
    page.get_by_label("Before: only what was different").fill('{"Status": "New"}')
    with nothing_written(ruled):
        page.get_by_role("button", name="Judge").click()
        page.get_by_role("region", name="What would be done").wait_for()
    done = page.get_by_role("region", name="What would be done")
    assert done.get_by_text("create_incident").is_visible()
    assert done.get_by_text("Case 7: Checkout is down").is_visible()
    held = page.get_by_role("row", name="yes Case.Status changed_to Escalated")
    assert held.count() == 1
    assert nameless(page) == []


def test_what_did_not_change_does_not_match(ruled: Site) -> None:
    """Without an earlier value nothing changed, and the reason says so."""
    text = _judged(ruled).text
    assert "0 actions" in text
    assert "Case.Status changed_to &#39;Escalated&#39; does not hold" in text


def test_a_draft_is_judged_alone(ruled: Site) -> None:
    """A draft, even one that is switched off, is judged without today's rules; lint's warnings stand beside it."""
    draft = CRITICAL.replace("Critical cases", "A draft").replace("enabled: true", "enabled: false")
    with nothing_written(ruled):
        text = _judged(ruled, rules="draft", draft=draft, old='{"Status": "New"}').text
    assert "A draft / Page support" in text
    assert "Critical cases / Page support" not in text


def test_a_broken_draft_is_shown_where_it_breaks(ruled: Site) -> None:
    """What cannot be used is a finding with place, excerpt and hint; nothing is judged."""
    draft = CRITICAL.replace("operation: equals, value: High", "operation: equalz, value: High")
    answer = _judged(ruled, rules="draft", draft=draft)
    assert answer.status_code == 422
    assert re.search(r"draft\.yaml:\d+:\d+: error: .*equalz", answer.text)
    assert "^^^^" in answer.text
    assert "What would be done" not in answer.text


def test_incidents_as_pagerduty_gives_them(ruled: Site) -> None:
    """A raw incident with its linked record is judged by the rules that PagerDuty runs."""
    raw = {
        "incident": {
            "id": "Q1", "incident_number": 12, "title": "Down", "status": "acknowledged", "urgency": "high",
            "service": {"id": "P1", "summary": "Support P1"}, "assignments": [],
        }
    }  # fmt: skip
    text = _judged(
        ruled, event="pagerduty/acknowledge", values=json.dumps(raw), other='{"Status": "New"}'
    ).text
    assert "update_record" in text
    assert "Critical cases / Mirror acknowledgement" in text


def test_a_record_from_the_live_systems(site: Site, world: PipelineWorld, open_as: Open) -> None:
    """Fetched by its number, a record comes with its incident; reading leaves no trace, and an auditor may not."""
    (case_id,) = escalated(world, "Database is down")
    number = world.record(case_id)["CaseNumber"]
    page = open_as("user", "playground")
    page.get_by_label("From the live systems").fill(number)
    with nothing_written(site):
        page.get_by_role("button", name="Fetch and judge").click()
        page.get_by_role("region", name="Why").wait_for()
    assert '"Subject": "Database is down"' in page.get_by_label("Values now").input_value()
    assert incident_of(world, case_id) in page.get_by_label("Its values as JSON").input_value()
    refused = _judged(site, "auditor", do="fetch", named=case_id)
    assert refused.status_code == 403
    incident = _judged(
        site, "user", do="fetch", named=incident_of(world, case_id), event="pagerduty/acknowledge"
    )
    assert "&#34;status&#34;: &#34;triggered&#34;" in incident.text
    assert "What would be done" in incident.text


@pytest.mark.parametrize("named", ["", "500000000000009AAA", "00009999", "' OR Id != '"])
def test_what_cannot_be_fetched_is_said(ruled: Site, named: str) -> None:
    """Nothing named, an unknown record, and a text that would be SOQL: one sentence each."""
    with nothing_written(ruled):
        answer = _judged(ruled, "user", do="fetch", named=named)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


def test_an_event_of_the_past_is_tried_again(site: Site, world: PipelineWorld) -> None:
    """From its story an event leads here with its values as they were, and is judged the same way."""
    escalated(world, "Database is down")
    event = next(one for one in world.events("evaluated") if one.type == "updated")
    story = site.client("auditor").get(f"explain/{quote(event.id, safe='')}").text
    address = f"playground?event={quote(event.id, safe='')}"
    assert address in story
    text = site.client("auditor").get(address).text
    assert "&#34;Status&#34;: &#34;Escalated&#34;" in text
    assert "&#34;Status&#34;: &#34;New&#34;" in text
    assert site.client("auditor").get("playground?event=nothing").status_code == 404


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"values": "{"}, "Values: this is no JSON, line 1"),
        ({"values": "[" * 5000}, "Values: this is no JSON"),
        ({"values": "[1]"}, "Values: this is no JSON object"),
        ({"values": '{"a": NaN}'}, "NaN is no JSON number"),
        ({"values": '{"a": ' * 20 + "1" + "}" * 20}, "nested too deeply"),
        ({"values": json.dumps({f"f{n}": n for n in range(2500)})}, "more than 2000 fields"),
        ({"old": "x"}, "Before: this is no JSON"),
        ({"other": '"x"'}, "Other side: this is no JSON object"),
        ({"event": "salesforce/exploded"}, "There is no event"),
        ({"rules": "all"}, "rules: Input should be"),
        ({"values": "x" * 200_001}, "at most 200000"),
        ({"rules": "draft", "draft": BOMB}, "The draft cannot be used"),
        ({"rules": "draft", "draft": "\x00\t: ["}, "The draft cannot be used"),
    ],
)
def test_hostile_input_is_one_sentence(ruled: Site, form: dict[str, str], said: str) -> None:
    """Broken, deep, huge and explosive texts are refused in words, and write nothing."""
    with nothing_written(ruled):
        answer = _judged(ruled, **form)
    assert answer.status_code == 422
    assert said in answer.text


def test_too_much_is_not_even_read(site: Site) -> None:
    """A form of more than a megabyte is refused by its length."""
    answer = _judged(site, draft="x" * 1_000_001)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "title",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ record.__class__ }}",
        "{{ 'x' * 999999999 }}",
        "{% for x in range(10**9) %}x{% endfor %}",
        "{{ cycler.__init__.__globals__ }}",
    ],
)
def test_hostile_templates_stay_in_their_sandbox(ruled: Site, title: str) -> None:
    """A template that reaches for Python or for all the memory ends in a sentence."""
    rule = CRITICAL.split("  - name: Mirror")[0].splitlines()
    draft = "\n".join(
        f"          title: {json.dumps(title)}" if "title:" in line else line for line in rule
    )
    answer = _judged(ruled, rules="draft", draft=draft, old='{"Status": "New"}')
    assert answer.status_code in {200, 422}
    assert 'class="bad"' in answer.text or "draft.yaml:" in answer.text
    assert "subclass" not in answer.text.split("</form>")[1].replace("__subclasses__", "")


def test_hostile_values_stay_text(ruled: Site, open_as: Open) -> None:
    """Markup in a pasted record is shown as text wherever it turns up."""
    page = open_as("auditor", "playground")
    page.get_by_label("Values now").fill(json.dumps({**CASE, "Subject": HOSTILE + "x" * 10_000}))
    page.get_by_label("Before: only what was different").fill('{"Status": "New"}')
    page.get_by_role("button", name="Judge").click()
    done = page.get_by_role("region", name="What would be done")
    assert "<script>alert(1)</script>" in done.inner_text()
    assert page.locator("main script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_many_actions_do_not_take_for_ever(ruled: Site) -> None:
    """Of hundreds of planned actions a hundred are rendered, the others are listed."""
    note = "      - add_note: { content: '{{ record.Subject }}' }\n"
    head = CRITICAL.split("      - create_incident")[0]
    text = _judged(ruled, rules="draft", draft=head + note * 150, old='{"Status": "New"}').text
    assert "150 actions" in text
    assert text.count("Not rendered: there are too many.") == 50
