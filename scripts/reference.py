"""Write the pages of docs/reference from the code: commands, DAGs, errors. `make reference`; a test compares.

The options of commands are read from their parsers, not from `--help`, whose form differs between Python versions.
"""

import argparse
import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "reference"
MADE = "<!-- Made by `make reference` from the code: edit that. -->\n\n"


def pages() -> dict[str, str]:
    """Return the text of every page by its file name."""
    return {"commands.md": commands(), "dags.md": dags(), "errors.md": errors()}


def commands() -> str:
    """Return every command with its examples and options."""
    from pd_sf_rules.cli.main import COMMANDS, _parser  # noqa: PLC0415 - the package is on the path by now

    told = [
        f"{MADE}# Commands\n\n[How to use them](../command-line.md). Every command has `--json` and `--debug`."
    ]
    for name, summary in sorted(COMMANDS.items()):
        module = importlib.import_module(f"pd_sf_rules.cli.{name}")
        parser = _subparsers(_parser([name]))[name]
        told.append(f"## `pdsf {name}`\n\n{_capital(summary)}.")
        told.append(f"```text\n{inspect.cleandoc(module.__doc__ or '')}\n```")
        told += _options(parser)
        for what, inner in _subparsers(parser).items():
            described = inspect.cleandoc(inner.description or "").replace("<", "&lt;")
            told.append(f"### `pdsf {name} {what}`")
            told += (
                [described]
                if described and described != inspect.cleandoc(module.__doc__ or "")
                else []
            )
            told += _options(inner)
    return "\n\n".join(told) + "\n"


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            found |= action.choices
    return found


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    rows = []
    for action in parser._actions:  # noqa: SLF001
        common = {"-h", "--help", "--debug", "--json"} & set(action.option_strings)
        if common or isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            continue
        value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
        value = " ".join(value) if isinstance(value, tuple) else value
        if action.choices:
            value = "{" + ",".join(map(str, action.choices)) + "}"
        spelled = f"{', '.join(action.option_strings)} {value}".strip()
        text = (action.help or "").replace("%%", "%").replace("|", "\\|").replace("<", "&lt;")
        rows.append(f"| `{spelled}` | {text} |")
    if rows:
        yield "\n".join(["| option | meaning |", "|---|---|", *rows])


def dags() -> str:
    """Return every DAG with its docstring, as the UI shows it, and its tasks."""
    told = [
        (
            f"{MADE}# DAGs\n\nOf other integrations than `default` with `__<name>` behind the id. "
            "The text is what Airflow's UI shows."
        )
    ]
    for path in sorted((ROOT / "dags").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        ids = [
            str(node.value.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.keyword)
            and node.arg == "task_id"
            and isinstance(node.value, ast.Constant)
        ]
        if not ids:
            continue
        text = re.sub(r"^#+ .*\n+", "", inspect.cleandoc(ast.get_docstring(tree) or ""))
        tasks = ", ".join(f"`{one}`" for one in dict.fromkeys(ids))
        told.append(f"## `{path.stem}`\n\n{text}\n\nTasks: {tasks}.")
    return "\n\n".join(told) + "\n"


def errors() -> str:
    """Return the tree of errors: what each means, by what to do next."""
    from pd_sf_rules import errors as module  # noqa: PLC0415 - as above

    told = [
        (
            f"{MADE}# Errors\n\nEvery error that a log, `pdsf errors` or a page shows is one of these, "
            "and says in a sentence what to do."
        )
    ]
    rows = ["| error | is a | meaning |", "|---|---|---|"]
    for name, kind in vars(module).items():
        if inspect.isclass(kind) and issubclass(kind, module.SyncError):
            above = kind.__bases__[0].__name__
            text = " ".join(inspect.cleandoc(kind.__doc__ or "").split())
            rows.append(f"| `{name}` | `{above}` | {text} |")
    return "\n\n".join([*told, "\n".join(rows)]) + "\n"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "plugins"))
    OUT.mkdir(exist_ok=True)
    for file_name, content in pages().items():
        (OUT / file_name).write_text(content, encoding="utf-8")
