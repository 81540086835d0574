"""What a screen reader is told: the browser's own accessibility tree."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

CONTROLS = {
    *("button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "table"),
    "DisclosureTriangle",
}


def nameless(page: "Page") -> list[Any]:
    """The controls and tables on a page that have no name; a page without any control is a mistake of the test."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    controls = [
        one
        for one in nodes
        if not one.get("ignored") and one.get("role", {}).get("value") in CONTROLS
    ]
    assert controls
    return [one["role"]["value"] for one in controls if not one.get("name", {}).get("value")]
