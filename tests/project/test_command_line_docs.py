"""docs/command-line.md is true: the examples in docs/ are understood, and its table names every command."""

import re
import shlex
from pathlib import Path

import pytest

from pd_sf_rules.cli.main import COMMANDS, _parser

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "command-line.md").read_text(encoding="utf-8")
EXAMPLES = [
    example
    for page in sorted(DOCS.glob("*.md"))
    for example in re.findall(r"^ *\$ pdsf (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_understood(example: str) -> None:
    """Each example parses, and reaches the command that it names."""
    words = shlex.split(example)
    assert _parser(words).parse_args(words).command == words[0]


def test_every_command_is_in_the_table() -> None:
    """A command that the page does not name would be found by nobody."""
    named = set(re.findall(r"`([a-z]+)`", TEXT.partition("\n\n**Exit")[0]))
    assert set(COMMANDS) <= named
