"""What is wrong with a rule file, where, and what to do: one noun and its three spellings.

Lines and columns count from 1, in characters. `path` is the file as the caller named it.
"""

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning"]

_EXCERPT_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: `message` is a sentence, `hint` what to do about it, `code` a stable word for scripts."""

    path: str
    line: int
    column: int
    message: str
    hint: str = ""
    severity: Severity = "error"
    code: str = ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "Did you mean 'x'?" for the nearest known word, "" where none is near."""
    by_fold = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return f"Did you mean '{by_fold[near[0]]}'?" if near else ""


def sort_key(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
    """Order findings as a reader meets them: by file, line, column."""
    return diagnostic.path, diagnostic.line, diagnostic.column, diagnostic.message


def render(diagnostic: Diagnostic, text: str | None = None) -> str:
    """Return file:line:column, the sentence, the excerpt with a caret (given the file's text) and the fix hint."""
    at = f"{diagnostic.path}:{diagnostic.line}:{diagnostic.column}"
    code = f" [{diagnostic.code}]" if diagnostic.code else ""
    lines = [f"{at}: {diagnostic.severity}: {_printable(diagnostic.message)}{code}"]
    lines += _excerpt(diagnostic, text)
    if diagnostic.hint:
        lines.append(f"      fix: {_printable(diagnostic.hint)}")
    return "\n".join(lines)


def _excerpt(diagnostic: Diagnostic, text: str | None) -> list[str]:
    """Return the line in question, cut around the column, and a caret line below it."""
    source = text.splitlines() if text else []
    if not 1 <= diagnostic.line <= len(source):
        return []
    line = _printable(source[diagnostic.line - 1])
    column = min(diagnostic.column - 1, len(line))
    cut = max(0, column - _EXCERPT_WIDTH // 2) if len(line) > _EXCERPT_WIDTH else 0
    shown = line[cut : cut + _EXCERPT_WIDTH]
    caret = " " * (column - cut) + "^" * _token_width(line, column)
    return [f"{diagnostic.line:>5} | {shown}", f"      | {caret[: _EXCERPT_WIDTH + 1]}"]


def _token_width(line: str, column: int) -> int:
    """Return how many characters the thing at `column` spans: to the end of its word or quotation."""
    if column >= len(line):
        return 1
    if line[column] in "'\"":
        end = line.find(line[column], column + 1)
        return (end if end > column else column) - column + 1
    width = 0
    while column + width < len(line) and line[column + width] not in " ,:]}#":
        width += 1
    return max(1, width)


def _printable(text: str) -> str:
    """Return the text with control characters (tabs too, for the caret's sake) shown as one character each."""
    return "".join(
        char if char.isprintable() else " " if char == "\t" else "\ufffd" for char in text
    )


def render_human(diagnostics: Sequence[Diagnostic], texts: dict[str, str] | None = None) -> str:
    """Return all findings and a closing line, for a terminal; `texts` maps a path to its file's text."""
    blocks = [
        render(found, (texts or {}).get(found.path)) for found in sorted(diagnostics, key=sort_key)
    ]
    return "\n\n".join([*blocks, summary(diagnostics)])


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """Return one line: how many errors and warnings there are."""
    errors = sum(found.severity == "error" for found in diagnostics)
    warnings = len(diagnostics) - errors
    if not diagnostics:
        return "No problems found."
    return f"{_count(errors, 'error')}, {_count(warnings, 'warning')}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def to_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return the finding as a JSON object."""
    return asdict(diagnostic)


def render_json(diagnostics: Sequence[Diagnostic]) -> str:
    """Return all findings as one JSON text: {"diagnostics": [...], "errors": n, "warnings": n}."""
    errors = sum(found.severity == "error" for found in diagnostics)
    listed = [to_json(found) for found in sorted(diagnostics, key=sort_key)]
    answer = {"diagnostics": listed, "errors": errors, "warnings": len(listed) - errors}
    return json.dumps(answer, indent=2)


def to_github(diagnostic: Diagnostic) -> str:
    """Return the finding as a GitHub Actions workflow command, which shows it beside the line in a pull request."""
    where = (
        f"file={_property(diagnostic.path)},line={diagnostic.line},col={diagnostic.column},"
        f"title={_property(diagnostic.code or 'pdsf lint')}"
    )
    said = f"{diagnostic.message} {diagnostic.hint}".strip()
    return f"::{diagnostic.severity} {where}::{_data(said)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def render_github(diagnostics: Sequence[Diagnostic]) -> str:
    """Return all findings as GitHub Actions workflow commands, one a line."""
    return "\n".join(to_github(found) for found in sorted(diagnostics, key=sort_key))
