"""A change of one setting of a ruleset file, as the text it would have: for a person to review, never written here."""

import difflib
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Literal

from pd_sf_rules.errors import RulesetError
from pd_sf_rules.rules.loader import load_text

Proposal = Literal["on", "off", "live", "shadow"]
_SETTINGS = {
    "on": ("enabled", "true"),
    "off": ("enabled", "false"),
    "live": ("mode", "live"),
    "shadow": ("mode", "shadow"),
}
_BEFORE = ("mode", "enabled", "name", "version")


def proposed(text: str, proposal: Proposal) -> str:
    """Return the file's text with that setting, everything else as it stands, comments too.

    Raises RulesetError when the file does not load, or cannot be changed by one line.
    """
    before, _ = load_text(text, "the file")
    if before is None:
        hint = "Mend what lint reports, then propose."
        raise RulesetError("The file does not load, so there is nothing to propose.", hint=hint)
    key, value = _SETTINGS[proposal]
    edited = _edited(text, key, value)
    after, _ = load_text(edited, "the file")
    said = None if after is None else str(getattr(after, key)).lower()
    if said != value:
        hint = "Change it in an editor."
        raise RulesetError(f"'{key}' of this file cannot be changed by one line.", hint=hint)
    return edited


def difference(old: str, new: str, path: PurePath, *, context: int = 3) -> str:
    """Return the unified diff that `git apply` and `patch -p1` take; "" for equal texts."""
    lines = unified(old, new, f"a/{path.as_posix()}", f"b/{path.as_posix()}", context=context)
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def unified(old: str, new: str, old_name: str, new_name: str, *, context: int = 3) -> Sequence[str]:
    """Return the lines of a unified diff, each with its line end where the text has one."""
    return list(
        difflib.unified_diff(
            _lines(old), _lines(new), fromfile=old_name, tofile=new_name, n=context
        )
    )


def _lines(text: str) -> list[str]:
    """Split at newlines only, as patch does: YAML may hold other characters that Python calls line ends."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _edited(text: str, key: str, value: str) -> str:
    found = re.search(rf"^({key}:[ \t]*)([^\s#]+)", text, re.MULTILINE)
    if found is not None:
        return text[: found.start(2)] + value + text[found.end(2) :]
    for earlier in _BEFORE:
        line = re.search(rf"^{earlier}:.*\n", text, re.MULTILINE)
        if line is not None:
            return f"{text[: line.end()]}{key}: {value}\n{text[line.end() :]}"
    return text
