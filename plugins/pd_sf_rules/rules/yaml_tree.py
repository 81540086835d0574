"""YAML text to a tree that remembers where everything stands.

It reads parser events, not PyYAML's documents: that is iterative inside (deep nesting cannot exhaust the stack), it
sees duplicate keys, and scalars resolve by YAML 1.2's core schema instead of PyYAML's 1.1: `NO`, `on` and `12:30`
stay text, `0123` keeps its zero, a date stays as written. Only `true`/`false`, decimal numbers and null are not text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

Scalar = str | int | float | bool | None
Path = tuple[str | int, ...]

MAX_CHARACTERS = 2_000_000
MAX_DEPTH = 40
MAX_NODES = 150_000

_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(
    r"[-+]?(?:(?:\.[0-9]{1,40}|(?:0|[1-9][0-9]{0,17})\.[0-9]{0,40})(?:[eE][-+]?[0-9]{1,2})?"
    r"|(?:0|[1-9][0-9]{0,17})[eE][-+]?[0-9]{1,2})"
)
_WORDS: dict[str, Scalar] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


class YamlProblem(Exception):  # noqa: N818 - a finding for the file's author, not an error of ours
    """Text that cannot be read as one YAML value. Line and column count from 1."""

    def __init__(self, line: int, column: int, message: str, *, hint: str = "", code: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.message = message
        self.hint = hint
        self.code = code


@dataclass(slots=True)
class Node:
    """A value and its place. `value` is a scalar, a list of nodes, or a dict of key to Entry."""

    line: int
    column: int
    value: Any
    size: int = 1


@dataclass(slots=True)
class Entry:
    """One `key: value` of a mapping, with the place of the key."""

    line: int
    column: int
    node: Node


@dataclass(slots=True)
class _Reader:
    """The state of one reading: anchors seen, nodes counted, problems that do not stop it."""

    events: Iterator[Any]
    anchors: dict[str, Node | None] = field(default_factory=dict)
    problems: list[YamlProblem] = field(default_factory=list)
    nodes: int = 0


def read_tree(text: str) -> tuple[Node, list[YamlProblem]]:
    """Return the tree of one YAML document, and problems that did not stop the reading (duplicate keys).

    Raises YamlProblem for anything else: syntax, two documents, tags, alias bombs, too deep, too big.
    """
    _refuse_unreadable(text)
    reader = _Reader(yaml.parse(text, Loader=_Loader))
    try:
        return _document(reader), reader.problems
    except yaml.reader.ReaderError as error:
        line, column = _place(text, error.position)
        problem = (
            f"The character #x{ord(str(error.character)[:1] or '?'):04x} is not allowed in YAML."
        )
        raise YamlProblem(line, column, problem, hint="Remove it.", code="yaml-syntax") from error
    except yaml.MarkedYAMLError as error:
        raise _syntax_problem(text, error) from error


def _syntax_problem(text: str, error: yaml.MarkedYAMLError) -> YamlProblem:
    """Return the parser's complaint with its place, and where the thing began that it was reading."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.rstrip().splitlines() or [""]
    if line > len(lines):  # the end of the file: show its last line
        line, column = len(lines), len(lines[-1]) + 1
    began = error.context_mark.line + 1 if error.context_mark else line
    since = f" ({error.context} that began on line {began})" if began != line else ""
    problem = f"This is not YAML: {error.problem or error.context}{since}."
    return YamlProblem(line, column, problem, hint=_syntax_hint(error), code="yaml-syntax")


def _refuse_unreadable(text: str) -> None:
    """Refuse what the parser must not even see: too much text, control characters, lone surrogates."""
    if len(text) > MAX_CHARACTERS:
        problem = f"The file has more than {MAX_CHARACTERS:,} characters."
        raise YamlProblem(1, 1, problem, hint="Split it into several files.", code="yaml-too-big")
    bad = re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]", text)
    if bad:
        line, column = _place(text, bad.start())
        problem = f"The character #x{ord(bad.group()):04x} is not allowed in YAML."
        raise YamlProblem(line, column, problem, hint="Remove it.", code="yaml-syntax")


def _place(text: str, index: int) -> tuple[int, int]:
    """Return line and column (from 1) of a character index."""
    before = text[:index]
    return before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1


def _syntax_hint(error: yaml.MarkedYAMLError) -> str:
    """Return what usually mends this complaint of the parser."""
    said = f"{error.problem} {error.context}"
    if "tab" in said or "cannot start any token" in said:
        return "Indent with spaces, and quote a value that starts with one of @ ` % & * ! |."
    if "mapping values are not allowed" in said:
        return "Quote a value that holds ': ', and check the indentation."
    if "alias" in said:
        return "Quote a value that starts with '*'."
    return "Check the indentation, the brackets and the quotation marks just before this place."


def _document(reader: _Reader) -> Node:
    """Return the one document of the stream; an empty stream is a null."""
    root = Node(1, 1, None)
    documents = 0
    for event in reader.events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _problem(
                    event,
                    "A second document starts here.",
                    "Keep one ruleset to a file.",
                    "yaml-syntax",
                )
            root = _node(reader, next(reader.events), 0)
    return root


def _problem(event: Any, message: str, hint: str, code: str) -> YamlProblem:
    mark = event.start_mark
    return YamlProblem(mark.line + 1, mark.column + 1, message, hint=hint, code=code)


def _node(reader: _Reader, event: Any, depth: int) -> Node:
    """Return the node that this event starts, reading on to its end."""
    if isinstance(event, yaml.AliasEvent):
        return _alias(reader, event)
    if event.tag is not None:
        raise _problem(
            event, f"The tag '{event.tag}' has no meaning here.", "Remove the tag.", "yaml-tag"
        )
    if depth > MAX_DEPTH:
        hint = "Flatten the groups."
        raise _problem(
            event, f"This is nested more than {MAX_DEPTH} levels deep.", hint, "yaml-too-deep"
        )
    if event.anchor is not None:
        reader.anchors[event.anchor] = None
    node = Node(event.start_mark.line + 1, event.start_mark.column + 1, None)
    _count(reader, event, 1)
    if isinstance(event, yaml.ScalarEvent):
        node.value = resolve(event.value) if event.implicit[0] else event.value
    elif isinstance(event, yaml.SequenceStartEvent):
        node.value = _sequence(reader, depth)
        node.size += sum(child.size for child in node.value)
    else:
        node.value = _mapping(reader, depth)
        node.size += sum(entry.node.size for entry in node.value.values())
    if event.anchor is not None:
        reader.anchors[event.anchor] = node
    return node


def _count(reader: _Reader, event: Any, size: int) -> None:
    """Count nodes as they stand when every alias is written out, so that an alias bomb stops early."""
    reader.nodes += size
    if reader.nodes > MAX_NODES:
        hint = "Split the file, or use fewer aliases."
        raise _problem(
            event, f"The file holds more than {MAX_NODES:,} values.", hint, "yaml-too-big"
        )


def _alias(reader: _Reader, event: Any) -> Node:
    """Return the node that an alias stands for. Its place stays the anchor's: that is where to mend it."""
    node = reader.anchors.get(event.anchor)
    if node is None:
        known = event.anchor in reader.anchors
        problem = f"The alias *{event.anchor} " + (
            "stands inside its own anchor." if known else "has no anchor."
        )
        raise _problem(event, problem, "Quote a value that starts with '*'.", "yaml-alias")
    _count(reader, event, node.size)
    return node


def _sequence(reader: _Reader, depth: int) -> list[Node]:
    nodes: list[Node] = []
    while not isinstance(event := next(reader.events), yaml.SequenceEndEvent):
        nodes.append(_node(reader, event, depth + 1))
    return nodes


def _mapping(reader: _Reader, depth: int) -> dict[str, Entry]:
    """Return the entries of a mapping; the first of two equal keys stays, the second is a problem."""
    entries: dict[str, Entry] = {}
    while not isinstance(event := next(reader.events), yaml.MappingEndEvent):
        if not isinstance(event, yaml.ScalarEvent):
            raise _problem(
                event,
                "A key must be plain text.",
                "Quote a text that starts with a bracket.",
                "yaml-key",
            )
        key: str = event.value
        mark: Any = event.start_mark
        _count(reader, event, 1)
        node = _node(reader, next(reader.events), depth + 1)
        if key == "<<" and event.implicit[0]:
            hint = "Write the keys out, or alias a whole value."
            raise _problem(event, "Merge keys (<<) are not supported.", hint, "yaml-key")
        if key in entries:
            problem = f"The key '{key}' stands twice; the first one is on line {entries[key].line}."
            reader.problems.append(
                _problem(event, problem, "Remove or rename one of them.", "duplicate-key")
            )
            continue
        entries[key] = Entry(mark.line + 1, mark.column + 1, node)
    return entries


def resolve(text: str) -> Scalar:
    """Return the value of an unquoted scalar by YAML 1.2's core schema (decimal numbers only)."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def to_data(node: Node) -> Any:
    """Return the plain value of a tree: dicts, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: to_data(entry.node) for key, entry in node.value.items()}
    if isinstance(node.value, list):
        return [to_data(child) for child in node.value]
    return node.value


def locate(root: Node, path: Path, *, key: bool = False) -> tuple[int, int]:
    """Return line and column of the value at `path`, or of its key; the nearest one above it where it is missing."""
    node, place = root, (root.line, root.column)
    for step in path:
        value = node.value
        if isinstance(value, dict) and step in value:
            entry = value[step]
            node, place = entry.node, (entry.line, entry.column)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            node = value[step]
            place = (node.line, node.column)
        else:
            return place
    return place if key else (node.line, node.column)
