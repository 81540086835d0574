"""The hooks that other repositories use with pre-commit: what they install is what they need."""

import importlib.metadata
import re

import yaml
from packaging.requirements import Requirement

from tests.integration.cli_world import Shell
from tests.integration.pipeline_world import ROOT

pytest_plugins = [
    "tests.integration.ledger_databases",
    "tests.integration.pipeline_fixtures",
    "tests.integration.cli_fixtures",
]


def _hooks() -> list[dict[str, object]]:
    return list(yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text()))


def _pins(hook: dict[str, object]) -> list[str]:
    found = hook["additional_dependencies"]
    assert isinstance(found, list)
    return found


def test_hooks_pin_what_the_project_pins() -> None:
    """Each hook's packages are those of requirements.txt, in the same versions."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = {line.split()[0] for line in lines if re.match(r"[a-z]", line)}
    for hook in _hooks():
        assert set(_pins(hook)) <= pinned, hook["id"]


def test_hooks_install_all_they_import(pdsf: Shell) -> None:
    """Every package that a hook's command imports comes with the packages that the hook names."""
    pdsf.rules()
    names = importlib.metadata.packages_distributions()
    for hook in _hooks():
        command = str(hook["entry"]).split()[1]
        program = (
            f"import sys; from pd_sf_rules.cli import main; main(['{command}', "
            f"'{ROOT}/include/rulesets']); print(sorted({{m.partition('.')[0] for m in sys.modules}}))"
        )
        modules = yaml.safe_load(pdsf.python(program).out.splitlines()[-1])
        needed = {d.lower() for m in modules for d in names.get(m, ())} - {"pd-sf-rules"}
        needed -= {"setuptools"}  # a .pth file of its own loads it at the start of every process
        assert needed <= _with_dependencies(_pins(hook)), hook["id"]
        assert "google-re2" in needed


def _with_dependencies(pins: list[str]) -> set[str]:
    found: set[str] = set()
    wanted = [Requirement(pin).name.lower() for pin in pins]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found.add(name)
            for line in importlib.metadata.requires(name) or ():
                needs = Requirement(line)
                if needs.marker is None or needs.marker.evaluate({"extra": ""}):
                    wanted.append(needs.name.lower().replace("_", "-"))
    return found | {name.replace("-", "_") for name in found}


def test_hook_patterns_find_rule_files() -> None:
    """The lint hook takes rulesets and rule tests in any folder called rulesets, and nothing else."""
    patterns = {str(hook["id"]): re.compile(str(hook["files"])) for hook in _hooks()}
    assert patterns["pdsf-lint"].search("ops/rulesets/cases.yaml")
    assert patterns["pdsf-lint"].search("include/rulesets/cases.test.yml")
    assert not patterns["pdsf-lint"].search("include/integrations/default.yaml")
    assert patterns["pdsf-test"].search("include/rulesets/cases.test.yaml")
    assert not patterns["pdsf-test"].search("include/rulesets/cases.yaml")
