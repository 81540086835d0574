"""A proposed change of a ruleset file: one line, everything else as it stood, and a patch that git takes."""

import subprocess
from pathlib import Path, PurePath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pd_sf_rules.errors import RulesetError
from pd_sf_rules.rules.loader import load_text
from pd_sf_rules.rules.proposing import Proposal, difference, proposed
from tests.unit.rule_strategies import PATIENT

BODY = """\
rules:
  - name: Page
    object: Case
    run_on: salesforce
    when: { field: Case.Priority, operation: equals, value: High }
    actions: [{ resolve_incident: }]
"""
HEAD = "# of the support team\nversion: 1\nname: R  # the name\n"


@pytest.mark.parametrize(
    ("head", "proposal", "expected"),
    [
        (HEAD + "enabled: true   # since May\n", "off", HEAD + "enabled: false   # since May\n"),
        (HEAD + "enabled: false\n", "on", HEAD + "enabled: true\n"),
        (HEAD, "on", HEAD + "enabled: true\n"),
        (HEAD + "enabled: true\n", "shadow", HEAD + "enabled: true\nmode: shadow\n"),
        (HEAD + "mode: shadow\n", "live", HEAD + "mode: live\n"),
    ],
)
def test_one_line_changes(head: str, proposal: Proposal, expected: str) -> None:
    """The setting changes where it stands, or comes behind the others; comments and order stay."""
    assert proposed(head + BODY, proposal) == expected + BODY


def test_what_does_not_load_has_no_proposal() -> None:
    """A broken file, or one written so that one line cannot change it, is refused in words."""
    with pytest.raises(RulesetError, match="does not load"):
        proposed("version: [", "on")
    flow = "{version: 1, name: R, enabled: false, rules: []}"
    with pytest.raises(RulesetError, match=r"cannot be changed|does not load"):
        proposed(flow, "on")


@settings(PATIENT)
@given(
    st.text(alphabet="a:\n #-\u2028\x0c", max_size=60),
    st.sampled_from(["on", "off", "live", "shadow"]),
)
def test_a_proposal_is_what_was_asked_for_or_an_error(tail: str, proposal: Proposal) -> None:
    """Whatever stands in the file, the proposed text loads and says what was asked for, or there is a RulesetError."""
    try:
        text = proposed(HEAD + BODY + tail, proposal)
    except RulesetError:
        return
    after, _ = load_text(text, "r.yaml")
    assert after is not None
    assert {"on": after.enabled, "off": not after.enabled}.get(proposal, True)
    assert proposal in {"on", "off", after.mode}


@pytest.mark.parametrize("end", ["\n", ""])
def test_git_takes_the_patch(tmp_path: Path, end: str) -> None:
    """`git apply` makes of the old file what was proposed, also where the last line has no end."""
    text = (HEAD + "enabled: true\n" + BODY).rstrip("\n") + end
    new = proposed(text, "off")
    path = tmp_path / "include" / "rulesets" / "r.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    patch = difference(text, new, PurePath("include/rulesets/r.yaml"), context=20)
    subprocess.run(["git", "apply", "-"], input=patch, text=True, cwd=tmp_path, check=True)
    assert path.read_text() == new
