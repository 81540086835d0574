"""The frame of the pages: who gets in, what stands around every page, what no page may do."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from tests.browser.serving import PEOPLE, Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]


@pytest.mark.parametrize(
    "path", ["", "summary", "static/pages.css", "nothing/here", "openapi.json", "docs"]
)
def test_a_stranger_sees_nothing(site: Site, path: str) -> None:
    """Without Airflow's login every address answers 401, also those that do not exist."""
    assert site.client().get(path).status_code == 401
    assert site.client().post(path).status_code == 401


def test_a_stranger_with_a_browser_is_sent_to_the_login(site: Site) -> None:
    """Who opens a page by its address is led to Airflow's login, and from there to the page."""
    answer = site.client().get("summary", headers={"Sec-Fetch-Dest": "document"})
    assert answer.status_code == 302
    where, _, query = answer.headers["location"].partition("?")
    assert where == "/auth/login"
    assert parse_qs(query)["next"] == [f"{site.pages}summary"]


@pytest.mark.parametrize("person", PEOPLE)
def test_every_role_sees_the_summary(site: Site, person: str) -> None:
    """Administrator, manager, user and auditor see the pages."""
    answer = site.client(person).get("", follow_redirects=True)
    assert answer.status_code == 200
    assert answer.url.path == "/pd-sf-rules/summary"
    assert "<h1>" in answer.text


def test_pages_may_run_nothing_foreign(site: Site) -> None:
    """The answer forbids inline code, foreign sources and foreign frames, and asks to be kept nowhere."""
    headers = site.client("auditor").get("summary").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_links_are_relative(site: Site) -> None:
    """No address begins with a slash, so that the pages work behind any proxy's prefix; deep pages find the root."""
    text = site.client("auditor").get("summary").text
    assert re.findall(r'(?:href|src|action)="/', text) == []
    assert 'href="./rulesets"' in text or 'href="./summary"' in text
    deep = site.client("auditor").get("some/where%2Felse/deep").text
    assert 'href="../../static/pages.css"' in deep


def test_what_is_not_there_is_said(site: Site) -> None:
    """An unknown page or integration is a page that says so, with what was asked escaped."""
    answer = site.client("auditor").get("summary", params={"integration": "<script>"})
    assert answer.status_code == 404
    assert "There is no integration" in answer.text
    assert "&lt;script&gt;" in answer.text


@pytest.mark.parametrize("chosen", ["light", "dark"])
def test_pages_wear_airflows_colours(site: Site, open_as: Open, chosen: str) -> None:
    """The theme that Airflow's UI keeps is worn at once, and a change there is followed while a page is open."""
    page = open_as("auditor", "summary")
    page.evaluate("theme => localStorage.setItem('theme', theme)", chosen)
    page.reload()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == chosen
    other = "dark" if chosen == "light" else "light"
    frame = page.context.new_page()
    frame.goto(f"{site.pages}summary")
    frame.evaluate("theme => localStorage.setItem('theme', theme)", other)
    page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=other)


def test_the_system_decides_where_airflow_does_not(site: Site, open_as: Open) -> None:
    """Without a choice in Airflow's UI the system's light or dark holds."""
    page = open_as("auditor", "summary", color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


def test_airflow_shows_the_pages_in_its_own_frame(site: Site, open_as: Open) -> None:
    """The plugin's entry in Airflow's navigation leads to the pages inside Airflow's UI."""
    page = open_as("auditor")
    page.goto(f"{site.url}/plugin/pd-sf-rules")
    inside = page.frame_locator("iframe")
    inside.get_by_role("navigation", name="PagerDuty and Salesforce").wait_for()
    assert inside.get_by_role("link", name="Summary").get_attribute("aria-current") == "page"


def test_the_keyboard_reaches_the_content(site: Site, open_as: Open) -> None:
    """The first Tab offers to skip the navigation, and Enter does."""
    page = open_as("auditor", "summary")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
