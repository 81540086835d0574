"""Errors: what failed by its cause, retried or discarded; storms decided; by those who may, and leaving a trace."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.accessible import nameless
from tests.browser.played import audited, escalated, own_token, refused
from tests.browser.serving import PEOPLE, Site
from tests.integration.pipeline_world import PipelineWorld

if TYPE_CHECKING:
    from playwright.sync_api import Page


Open = Callable[..., "Page"]
STORM = "Critical cases / Page support"


def _post(site: Site, person: str, path: str, **form: str) -> tuple[int, str]:
    """Send a form as that person's browser would; status and text of the page it leads to."""
    sent = {"csrf_token": own_token(person)} | form
    answer = site.client(person).post(path, data=sent, follow_redirects=True)
    return answer.status_code, answer.text


def _storm(world: PipelineWorld) -> None:
    world.settings(limits={"incidents_per_rule": {"count": 1, "minutes": 10}})
    escalated(world, "Lets one out", "Held one", "Held two")


def _pages(world: PipelineWorld) -> int:
    """How many incidents people were paged with, without the one about the sync itself."""
    return sum(one["service"]["summary"] == "Support P1" for one in world.incidents())


@pytest.mark.parametrize("person", PEOPLE)
def test_nothing_wrong_is_said(site: Site, person: str) -> None:
    """Every role sees the page, and no button on it, while nothing failed."""
    text = site.client(person).get("errors").text
    assert "Nothing failed" in text
    assert "Retry" not in text


def test_failures_are_grouped_by_cause(site: Site, world: PipelineWorld, open_as: Open) -> None:
    """Three refused in the same words are one cause with the words once and what to do; an auditor only reads."""
    refused(world, "a", "b", "c")
    page = open_as("user", "errors")
    cause = page.get_by_role("region", name="create_incident of Page support")
    assert cause.count() == 1
    assert cause.locator("tbody tr").count() == 3
    assert cause.get_by_text("Mend the rule or the record, then retry.").is_visible()
    assert cause.get_by_role("button", name="Retry all 3").is_visible()
    assert nameless(page) == []
    text = site.client("auditor").get("errors").text
    assert "Title is cursed" in text
    assert "<button>Retry" not in text
    assert "csrf_token" not in text


def test_retry_one_and_retry_all(site: Site, world: PipelineWorld, open_as: Open) -> None:
    """A retried action goes out with the next pass, once; the rest of the cause stays until it is retried as well."""
    ids = refused(world, "a", "b", "c")
    page = open_as("user", "errors")
    page.get_by_role("button", name=f"Retry the action about {ids[1]}").click()
    page.get_by_text("1 action queued.").wait_for()
    world.sync()
    assert [len(world.links_of(one)) for one in ids] == [0, 1, 0]
    page.get_by_role("button", name="Retry all").click()
    page.get_by_text("2 actions queued.").wait_for()
    world.sync()
    assert [len(world.links_of(one)) for one in ids] == [1, 1, 1]
    page.reload()
    assert page.get_by_text("Nothing failed").is_visible()
    assert [(event, who, extra["count"]) for event, who, extra in audited(site)[:2]] == [
        ("pdsf.retry", "user", 2),
        ("pdsf.retry", "user", 1),
    ]


def test_retry_what_the_filter_leaves(site: Site, world: PipelineWorld) -> None:
    """With a filter, retrying all touches only what it leaves."""
    first, _ = refused(world, "a", "b")
    other = {"error": {"message": "Not allowed", "errors": ["Wrong day"]}}
    fault = world.fault(
        "answer", "pagerduty", "POST", "^/incidents$", times=None, status=400, body=other
    )
    (third,) = escalated(world, "c")
    world.sandbox.faults.remove(fault)
    shown = site.client("user").get("errors", params={"q": "wrong DAY"}).text
    assert "Wrong day" in shown
    assert "Title is cursed" not in shown
    status, text = _post(
        site, "user", "errors/retry", integration="default", q="wrong DAY", every="1"
    )
    assert (status, "1 action queued." in text) == (200, True)
    world.sync()
    assert (len(world.links_of(third)), len(world.links_of(first))) == (1, 0)


def test_discard_keeps_the_reason(site: Site, world: PipelineWorld, open_as: Open) -> None:
    """A discarded action is skipped for good, with who and why; without a reason nothing is discarded."""
    (case_id,) = refused(world, "a")
    action = world.action("create_incident")
    assert _post(site, "user", "errors/discard", integration="default", action=action.id)[0] == 422
    page = open_as("user", "errors")
    page.get_by_text("Discard…").click()
    page.get_by_label("Why (kept with each action)").fill("Paged by phone")
    page.get_by_role("button", name="Discard it").click()
    page.get_by_text("1 action discarded.").wait_for()
    told = world.action("create_incident")
    assert (told.state, told.message) == ("skipped", "Discarded by user: Paged by phone")
    assert "Paged by phone" in site.client("auditor").get("activity").text
    world.sync()
    assert world.links_of(case_id) == []
    event, who, extra = audited(site)[0]
    assert (event, who, extra["reason"]) == ("pdsf.discard", "user", "Paged by phone")


@pytest.mark.parametrize(
    ("button", "pages"), [("Approve", 3), ("Release as one summary incident", 2), ("Discard", 1)]
)
def test_a_storm_is_decided(
    site: Site, world: PipelineWorld, open_as: Open, button: str, pages: int
) -> None:
    """Approved, summed up or discarded with a reason: afterwards nothing is held."""
    _storm(world)
    page = open_as("user", "errors")
    storm = page.get_by_role("region", name=f"Storm {STORM}")
    assert storm.get_by_text("2 actions wait for a decision").is_visible()
    if button == "Discard":
        storm.get_by_text("Discard…").click()
        storm.get_by_label("Why (kept with each action)").fill("A test load")
        storm.get_by_role("button", name="Discard all 2").click()
    else:
        storm.get_by_role("button", name=button).click()
    page.get_by_role("status").wait_for()
    world.sync()
    assert _pages(world) == pages
    assert page.get_by_role("region", name=f"Storm {STORM}").count() == 0
    event, who, extra = audited(site)[0]
    assert (event, who, extra["storm"]) == ("pdsf.storm", "user", STORM)


FORMS = (
    ("errors/retry", {"every": "1"}),
    ("errors/discard", {"reason": "no", "action": "x"}),
    ("errors/storm", {"storm": STORM, "decision": "release"}),
)


@pytest.mark.parametrize(("path", "form"), FORMS)
def test_a_form_from_elsewhere_changes_nothing(
    site: Site, world: PipelineWorld, path: str, form: dict[str, str]
) -> None:
    """Without the token, with a wrong one, or sent by another site: 403; by a stranger: 401; nothing moves."""
    refused(world, "a")
    before = world.actions()
    sent = {"integration": "default"} | form
    client = site.client("user")
    assert client.post(path, data=sent).status_code == 403
    assert client.post(path, data=sent | {"csrf_token": "0" * 64}).status_code == 403
    good = sent | {"csrf_token": own_token("user")}
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert client.post(path, data=good, headers=elsewhere).status_code == 403
    assert site.client().post(path, data=good).status_code == 401
    assert world.actions() == before


@pytest.mark.parametrize(("path", "form"), FORMS)
def test_who_may_only_read_may_not_act(
    site: Site, world: PipelineWorld, path: str, form: dict[str, str]
) -> None:
    """An auditor's own form, token and all, is refused with 403, and nothing moves; a user's is not."""
    refused(world, "a")
    before = world.actions()
    status, text = _post(site, "auditor", path, integration="default", **form)
    assert (status, "This needs the right to" in text) == (403, True)
    assert world.actions() == before
    assert _post(site, "user", path, integration="default", **form)[0] != 403


def test_what_is_gone_meanwhile_is_said(site: Site, world: PipelineWorld) -> None:
    """Two people at once: the second finds it done, and is told so."""
    refused(world, "a")
    action = world.action("create_incident")
    told = _post(site, "user", "errors/retry", integration="default", action=action.id)
    assert "1 action queued" in told[1]
    world.sync()
    told = _post(site, "user", "errors/retry", integration="default", action=action.id)
    assert "Nothing was retried" in told[1]
    status, text = _post(
        site, "user", "errors/storm", integration="default", storm="none", decision="release"
    )
    assert (status, "No breaker holds a storm" in text) == (409, True)
