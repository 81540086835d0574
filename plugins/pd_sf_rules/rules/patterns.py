"""Regular expressions that run in linear time (RE2), and a plain word for what RE2 cannot run."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import re2  # type: ignore[import-untyped]

Search = Callable[[str], Sequence[int]]

MAX_PATTERN = 1_000
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # which JSON and YAML can carry, and UTF-8 cannot
_MANY = 12
"""From so many texts on one pass for all is faster than one for each."""

# What RE2 leaves out on purpose, because it cannot be matched in linear time (or is another dialect's spelling).
_CONSTRUCTS: tuple[tuple[str, str, str], ...] = (
    (r"\(\?<?[=!]", "look-around", "Write it as two conditions, one of them `not_matches`."),
    (r"\\[1-9]|\(\?P=|\\k[<{']|\\g[<{0-9]", "a back-reference", "Write the alternatives out."),
    (r"\(\?>|[*+?}]\+", "a possessive or atomic group", "Drop it: this engine never backtracks."),
    (r"\(\?\(", "a conditional group", "Write the alternatives out with `|`."),
    (r"\(\?#", "a comment", "Put the comment beside the rule."),
    (r"\(\?[imsU]*[xuaL]", "a flag other than i, m, s and U", "Use (?i), (?m) or (?s)."),
    (r"\\Z", r"\Z", r"Use \z."),
)


class PatternError(ValueError):
    """A pattern that cannot be run. `hint` says what to write instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False  # else every bad pattern writes to stderr from C++
    return options


_OPTIONS = _options()


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return the test whether the pattern is found anywhere in a text. Raises PatternError naming the construct."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(
            f"it is longer than {MAX_PATTERN:,} characters.", "Split it into conditions."
        )
    try:
        compiled = re2.compile(pattern, _OPTIONS)
    except (re2.error, UnicodeEncodeError) as error:
        raise _explained(pattern, error) from error

    def found(text: str) -> bool:
        try:
            return compiled.search(text) is not None
        except UnicodeEncodeError:  # lone surrogates, which JSON can carry
            return compiled.search(text.encode("utf-8", "replace").decode()) is not None

    return found


def search_for(
    parts: Sequence[tuple[Callable[[str, str], bool], str]],
) -> Search:
    """Return the search for parts of a text, each (test, part): it gives the places of those that hold, in any order.

    Many parts are looked for in one pass; `str.startswith` and `str.endswith` are the tests at the text's ends.
    """

    def one_by_one(text: str) -> Sequence[int]:
        return [at for at, (holds, part) in enumerate(parts) if holds(text, part)]

    if len(parts) < _MANY or any(map(_LONE_SURROGATE.search, (part for _, part in parts))):
        return one_by_one
    wanted = re2.Set.SearchSet(_OPTIONS)
    for holds, part in parts:
        begins, ends = holds is str.startswith, holds is str.endswith
        wanted.Add((r"\A" if begins else "") + re2.escape(part) + (r"\z" if ends else ""))
    try:
        wanted.Compile()
    except re2.error:  # more letters than it has room for
        return _in_two(parts)

    def in_one_pass(text: str) -> Sequence[int]:
        try:
            return wanted.Match(text) or []
        except UnicodeEncodeError:  # a lone surrogate
            return one_by_one(text)

    return in_one_pass


def _in_two(parts: Sequence[tuple[Callable[[str, str], bool], str]]) -> Search:
    """Return the same search by one for each half of the parts."""
    half = len(parts) // 2
    first, second = search_for(parts[:half]), search_for(parts[half:])
    return lambda text: [*first(text), *(half + at for at in second(text))]


def _explained(pattern: str, error: Exception) -> PatternError:
    """Return the sentence for a refused pattern: a construct RE2 lacks, or its own words."""
    bare = pattern.replace("\\\\", "")
    for construct, name, hint in _CONSTRUCTS:
        if re.search(construct, bare):
            message = f"it uses {name}, which cannot run in linear time."
            return PatternError(message, hint)
    said = error.args[0] if error.args else ""
    words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(error)
    return PatternError(
        f"it cannot be read ({words}).", "Escape special characters with a backslash."
    )
