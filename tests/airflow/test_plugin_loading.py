"""What Airflow's plugin loader does to this project: one registration file, and nothing twice."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"

# Run in a process of its own: loading plugins changes the modules of the whole process.
LOAD = """
import json, sys
import airflow.plugins_manager as manager

before = dict(sys.modules)
plugins, errors = manager._get_plugins()
print(json.dumps({
    "files": {name: getattr(module, "__file__", None) for name, module in sys.modules.items()},
    "replaced": [name for name in before if sys.modules.get(name) is not before[name]],
    "plugins": sorted(str(plugin.name) for plugin in plugins),
    "errors": {str(path): str(error) for path, error in errors.items()},
}))
"""


@dataclass(frozen=True)
class Loaded:
    """One process's modules after Airflow has loaded the plugins of a folder."""

    files: dict[str, str | None]
    replaced: list[str]
    plugins: list[str]
    errors: dict[str, str]

    def of_folder(self, folder: Path) -> dict[str, str]:
        """File by module name, for the modules whose file is in `folder`."""
        return {n: f for n, f in self.files.items() if f and Path(f).is_relative_to(folder)}


def load(plugins: Path, home: Path) -> Loaded:
    """Let Airflow load the plugins of a folder in a fresh process."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
    }
    # Not from the checkout: its own folder must not stand in for the one under test.
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        env=environ, cwd=home, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Loaded(found["files"], found["replaced"], found["plugins"], found["errors"])


def small_package(folder: Path) -> Path:
    """A plugins folder with our ignore file and one module named like the standard library's."""
    package = folder / "plugins" / "pd_sf_rules"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""A package."""\n')
    (package / "types.py").write_text('"""Named like a module of the standard library."""\n')
    shutil.copy(PLUGINS / ".airflowignore", package.parent)
    return package.parent


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """This project's own plugins folder, loaded."""
    return load(PLUGINS, tmp_path_factory.mktemp("home"))


def test_the_registration_file_is_all_that_is_loaded(ours: Loaded) -> None:
    """Airflow finds our one plugin, without an error, and no module of ours under a bare name."""
    assert ours.errors == {}
    assert ours.plugins.count("pd_sf_rules") == 1
    strays = [
        name
        for name in ours.of_folder(PLUGINS)
        if name != "pd_sf_rules_plugin" and name.split(".")[0] != "pd_sf_rules"
    ]
    assert strays == []
    assert "pd_sf_rules_plugin" in ours.files


def test_nothing_is_in_memory_twice(ours: Loaded) -> None:
    """Each file of the package is one module, so that its classes are one class."""
    copies = Counter(ours.of_folder(PLUGINS).values())
    assert [file for file, count in copies.items() if count > 1] == []


def test_no_module_is_replaced(ours: Loaded, tmp_path: Path) -> None:
    """A module of ours that is named like the standard library's does not take its place."""
    assert ours.replaced == []
    loaded = load(small_package(tmp_path), tmp_path)
    assert loaded.replaced == []
    assert not str(loaded.files["types"]).startswith(str(tmp_path))


def test_the_ignore_file_is_what_prevents_it(tmp_path: Path) -> None:
    """Without `.airflowignore` the loader does put our file in place of the standard library's."""
    plugins = small_package(tmp_path)
    (plugins / ".airflowignore").unlink()
    loaded = load(plugins, tmp_path)
    assert loaded.replaced == ["types"]
    assert loaded.files["types"] == str(plugins / "pd_sf_rules" / "types.py")
