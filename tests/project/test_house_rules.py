"""The rules of the house that a machine can check."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ("plugins", "embedded", "sandbox", "demo", "dags", "scripts", "benchmarks")
FILE_LINES = 400
FUNCTION_LINES = 60
NO_NAMES = {"utils", "helpers", "manager", "handler", "service", "processor", "common", "base"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(*folders: str) -> list[Path]:
    """Every module of ours below these folders."""
    return [
        path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))
        if not {"node_modules", "__pycache__"} & set(path.parts)
    ]  # fmt: skip


def functions(path: Path) -> list[Function]:
    """Every function of a module, nested ones too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def short(path: Path) -> str:
    """A path as people say it."""
    return str(path.relative_to(ROOT))


def test_a_file_has_one_reason_to_exist() -> None:
    """No module is longer than a person reads in one go."""
    lengths = {short(p): len(p.read_text(encoding="utf-8").splitlines()) for p in modules(*CODE)}
    assert {name: count for name, count in lengths.items() if count > FILE_LINES} == {}


def test_a_function_fits_on_a_screen() -> None:
    """No function is longer than a screen and a half."""
    long = [
        f"{short(path)}: {function.name}, {lines} lines"
        for path in modules(*CODE)
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES
    ]
    assert long == []


def test_names_are_the_fields_own() -> None:
    """No module is named by what it has no name for."""
    assert [short(p) for p in modules(*CODE) if NO_NAMES & set(p.stem.split("_"))] == []


@pytest.mark.parametrize("path", modules("tests"), ids=short)
def test_every_test_says_what_it_proves(path: Path) -> None:
    """A test has a docstring; one glance says which promise broke."""
    silent = [
        f.name for f in functions(path) if f.name.startswith("test_") and not ast.get_docstring(f)
    ]
    assert silent == []


def test_no_place_of_ours_is_in_the_tree() -> None:
    """Nothing committed names the folder that it was made in."""
    named = [
        short(path)
        for path in _texts()
        if str(ROOT) in path.read_text(encoding="utf-8", errors="ignore")
    ]
    assert named == []


def test_what_is_to_be_installed_names_no_server() -> None:
    """Requirements and locks hold names, versions and hashes: where they come from is the machine's affair."""
    files = [p for p in ROOT.iterdir() if p.name.startswith("requirements")]
    assert len(files) > 3
    served = [
        f"{path.name}:{number}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (line.startswith("-") and not line.startswith("-r")) or "://" in line.partition("#")[0]
    ]
    assert served == []


def _texts() -> list[Path]:
    suffixes = {
        ".py",
        ".md",
        ".yaml",
        ".yml",
        ".toml",
        ".txt",
        ".lock",
        ".json",
        ".sh",
        ".html",
        ".js",
        ".css",
    }
    folders = (*CODE, "tests", "docs", "include", "docker")
    found = [p for folder in folders for p in (ROOT / folder).rglob("*") if p.suffix in suffixes]
    return [*found, *(p for p in ROOT.iterdir() if p.is_file() and p.name != ".env")]
