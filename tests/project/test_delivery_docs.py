"""The promise in docs/delivery.md names its proofs, and they are there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = re.compile(r"`(?P<file>[\w/]+\.py)?(?:::(?P<test>test_\w+))?`")


def _references() -> Iterator[tuple[str, str]]:
    """Every (file, test) that the page names; a test alone is in the file named before it."""
    file = ""
    for found in REFERENCE.finditer((ROOT / "docs" / "delivery.md").read_text()):
        file = found["file"] or file
        if found["file"] or found["test"]:
            yield file, found["test"] or ""


@pytest.mark.parametrize(("file", "test"), sorted(set(_references())))
def test_every_proof_that_is_named_exists(file: str, test: str) -> None:
    """A test that was renamed or removed takes its sentence with it."""
    path = ROOT / "tests" / file
    assert path.is_file()
    assert not test or f"def {test}(" in path.read_text()


def test_the_page_names_its_proofs() -> None:
    """The reading above finds what the page is full of."""
    assert len(set(_references())) > 25
