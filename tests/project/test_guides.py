"""The guides are true where a machine can tell: commands parse, links lead somewhere, words are those of the code."""

import re
import shlex
from pathlib import Path

import pytest

from pd_sf_rules.cli.main import _parser
from pd_sf_rules.systems.pagerduty import token

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
EXAMPLES = [
    (page.name, example)
    for page in PAGES
    for example in re.findall(r"^\s*\$ pdsf (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize(("page", "example"), EXAMPLES)
def test_commands_are_understood(page: str, example: str) -> None:
    """Each `$ pdsf` line of each page parses, and reaches the command that it names."""
    words = shlex.split(example)
    assert _parser(words).parse_args(words).command == words[0], page


@pytest.mark.parametrize("page", PAGES, ids=lambda one: one.name)
def test_links_and_targets_exist(page: Path) -> None:
    """Links between pages lead to files and headings that are there; `make` targets exist."""
    text = page.read_text(encoding="utf-8")
    for target, _, heading in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(#([^)\s]+))?\)", text):
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), f"{page.name} -> {target}"
        if heading and place.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            known = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
            assert heading in known, f"{page.name} -> {target}#{heading}"
    for name in re.findall(r"^make ([a-z-]+)", text, re.MULTILINE):
        assert name in TARGETS, f"{page.name}: make {name}"


def test_the_guide_names_the_scopes_that_are_asked_for() -> None:
    """An app with fewer scopes than these gets no token, with more it has more rights than it needs."""
    text = (ROOT / "docs" / "set-up-pagerduty.md").read_text(encoding="utf-8")
    block = re.search(r"```\n(incidents\.read .+?)```", text, re.DOTALL)
    assert block is not None
    assert block.group(1).split() == token._SCOPES.split()


PROOF = re.compile(r"`(?P<file>[\w/]+\.py)?(?:::(?P<test>test_\w+))?`")


def test_every_proof_that_security_names_exists() -> None:
    """A test that was renamed or removed takes its sentence in docs/security.md with it."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    file, seen = "", 0
    for found in PROOF.finditer(text):
        file = found["file"] or file
        if not (found["test"] or "/" in (found["file"] or "")):
            continue
        path = ROOT / "tests" / file
        assert path.is_file(), file
        assert not found["test"] or f"def {found['test']}(" in path.read_text(), found["test"]
        seen += 1
    assert seen > 25
