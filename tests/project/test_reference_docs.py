"""docs/reference is what the code says today, and docs/settings.md names every key of an integration file."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from pd_sf_rules.settings import Integration

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The script that writes the pages, imported."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_those_of_the_code(reference: ModuleType) -> None:
    """Each page equals what would be written now; `make reference` writes it."""
    for name, text in reference.pages().items():
        kept = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
        assert kept == text, f"docs/reference/{name} is old: make reference"


def test_every_setting_is_on_the_page() -> None:
    """A key that docs/settings.md does not name would be found by nobody."""
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [key for key in Integration.model_fields if f"`{key}" not in text] == []
