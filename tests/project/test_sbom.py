"""`make sbom`: the bill of materials lists what the lock pins, no more and no less."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    """The script, imported."""
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "scripts" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["requirements-prod.lock", "requirements.lock"])
def test_it_lists_what_is_pinned(sbom: ModuleType, name: str) -> None:
    """Every `==` of the lock is a component with its package URL and at least one hash; the bytes do not change."""
    lock = ROOT / name
    told = sbom.bill(lock)
    pinned = re.findall(r"^([A-Za-z0-9._\[\]-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE)
    assert len(told["components"]) == len(pinned) > 50
    assert all(one["hashes"] and one["purl"].startswith("pkg:pypi/") for one in told["components"])
    refs = [one["bom-ref"] for one in told["components"]]
    assert told == sbom.bill(lock)
    assert any(ref.startswith("pkg:pypi/apache-airflow@") for ref in refs)


def test_a_line_that_pins_nothing_is_named(sbom: ModuleType) -> None:
    """A lock that was edited by hand is not silently cut short."""
    with pytest.raises(ValueError, match="line 2 pins nothing: requests>=2"):
        sbom.components("# a lock\nrequests>=2\n")
