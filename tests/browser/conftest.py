"""Fixtures of the web tests: one api-server a session, a cleared world each test, a browser for those that ask."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.running import running_sandbox
from tests.browser.serving import PEOPLE, Site, running_site
from tests.integration.cli_world import CRITICAL
from tests.integration.pipeline_world import Clock, PipelineWorld

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
HOW_TO_GET = "Chromium is not installed: `apt-get install chromium` (or set CHROMIUM to its path)"


@pytest.fixture(scope="session")
def session_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The api-server of the session, over a sandbox of its own."""
    with (
        running_sandbox() as sandbox,
        running_site(tmp_path_factory.mktemp("site"), sandbox) as site,
    ):
        yield site


@pytest.fixture
def site(session_site: Site) -> Site:
    """The api-server with an empty ledger, no rulesets, the integration `default`, a fresh sandbox."""
    session_site.clear()
    session_site.integration()
    return session_site


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """One headless Chromium for the session; without one the test is skipped, saying how to get it."""
    if CHROMIUM is None:
        pytest.skip(HOW_TO_GET)
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where there is a browser

    with sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


@pytest.fixture(scope="session")
def signed_in(browser: "Browser", session_site: Site) -> Callable[[str], Path]:
    """A function: name of a person → file with the cookies of who went through Airflow's login form."""
    folder = session_site.home / "cookies"
    folder.mkdir()

    def sign_in(person: str) -> Path:
        path = folder / f"{person}.json"
        if not path.exists():
            context = browser.new_context()
            page = context.new_page()
            page.goto(f"{session_site.url}/auth/login")
            page.get_by_label("Username").fill(person)
            page.locator("input[type=password]").fill(session_site.passwords[person])
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(lambda url: "/auth/" not in url)
            context.storage_state(path=path)
            context.close()
        return path

    return sign_in


@pytest.fixture
def open_as(
    browser: "Browser", session_site: Site, signed_in: Callable[[str], Path]
) -> Iterator[Callable[..., "Page"]]:
    """A function: (person, path="", **context options) → a browser page; what its console says fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(person: str, path: str = "", **options: object) -> "Page":
        assert person in PEOPLE
        given = {"viewport": {"width": 1440, "height": 900}} | options
        context = browser.new_context(storage_state=signed_in(person), **given)  # type: ignore[arg-type]
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda said: complaints.append(said.text) if said.type == "error" else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if path:
            page.goto(session_site.pages + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def world(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[PipelineWorld]:
    """The site's world, to act in: `sync` makes a pass, as `pdsf sync` does, with two rules in force."""
    url = f"sqlite:///{site.home}/ledger.db"
    named = {
        "PDSF_RULESETS_DIR": str(site.home / "rulesets"),
        "PDSF_INTEGRATIONS_DIR": str(site.home / "integrations"),
        "PDSF_LEDGER_URL": url,
        "AIRFLOW_HOME": str(site.home),
    }
    for name, value in {**named, **site.sandbox.connections}.items():
        monkeypatch.setenv(name, value)
    world = PipelineWorld(site.sandbox, Clock(), site.home, url)
    world.rules_text(CRITICAL)
    world.sync()
    yield world
    world.close()
