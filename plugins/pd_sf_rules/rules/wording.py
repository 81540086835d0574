"""Pydantic's findings in plain words: a sentence, a fix hint, a code."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pd_sf_rules.rules.action_schema import ACTIONS, ConferenceBridge
from pd_sf_rules.rules.diagnostics import did_you_mean
from pd_sf_rules.rules.schema import RuleModel, RulesetFile
from pd_sf_rules.rules.yaml_tree import Path

_KINDS = {
    "string_type": ("text", "Quote it to make it text."),
    "int_type": ("a whole number", "Write it without quotes."),
    "bool_type": ("true or false", "Write true or false, without quotes."),
    "list_type": ("a list", "Start each member with '- ', or write [a, b]."),
    "dict_type": ("a mapping", "Write 'key: value' lines below it."),
    "model_type": ("a mapping", "Write 'key: value' lines below it."),
    "model_attributes_type": ("a mapping", "Write 'key: value' lines below it."),
}
_CONDITION_KEYS = ("field", "operation", "value", "all", "any", "not")
_HINTS = {
    "condition_shape": "Write { field: …, operation: …, value: … }, or all:, any: or not:.",
    "action_shape": "Write '- add_note:' and its parameters indented below.",
    "scalar": "Write a multi-select as 'A;B'.",
    "empty": "Give it a value, or remove the key.",
    "urgency": "Write high or low.",
    "exclusive": "Keep one of them.",
    "field_name": "Fields of related records cannot be set from here.",
}

KnownKeys = Callable[[Path], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about the value (or the key) at `path` of a file."""

    path: Path
    message: str
    hint: str
    code: str
    on_key: bool = False


def finding(error: Mapping[str, Any], known_keys: KnownKeys | None = None) -> Finding:
    """Return what one of pydantic's errors says, in our words and at the file's own path.

    `known_keys` tells which keys may stand where the last step of a path stands; default: a ruleset file's.
    """
    path: Path = tuple(step for step in error["loc"] if not str(step).startswith("<"))
    kind = error["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path, tuple((known_keys or _known_keys)(path)))
    if kind in _KINDS:
        wanted, hint = _KINDS[kind]
        message = f"{_name(path)} must be {wanted}, not {_shown(error.get('input'))}."
        return Finding(path, message, hint, "wrong-type")
    if kind in _WORDED:
        return _WORDED[kind](path, error)
    code = kind if kind in _HINTS else "bad-value"
    return Finding(path, error["msg"], _HINTS.get(kind, ""), code.replace("_", "-"))


def _name(path: Path) -> str:
    """Return the key a sentence is about."""
    named = next((step for step in reversed(path) if isinstance(step, str)), "")
    member = "a member of " if path and isinstance(path[-1], int) else ""
    return (
        f"{member}'{named}'".capitalize()
        if named and member
        else f"'{named}'"
        if named
        else "The file"
    )


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return repr(value)[:60] if isinstance(value, str) else str(value).lower()


def _not_listed(path: Path, error: Mapping[str, Any]) -> Finding:
    """Return the finding for a value outside a short list."""
    expected = str(error["ctx"]["expected"])
    listed = expected.replace("'", "").replace(" or ", ", ").split(", ")
    hint = did_you_mean(str(error["input"]), listed) or f"Use {expected}."
    message = f"{_name(path)} must be {expected}, not {_shown(error['input'])}."
    return Finding(path, message, hint, "bad-value")


def _too_short(path: Path, _error: Mapping[str, Any]) -> Finding:
    return Finding(path, f"{_name(path)} is empty.", "Give it a value.", "empty")


def _too_long(path: Path, error: Mapping[str, Any]) -> Finding:
    if path[-1:] == ("assign_to",):
        return Finding(path, "An incident is assigned to one user.", "Keep one.", "bad-value")
    limit = error["ctx"]["max_length"]
    return Finding(path, f"{_name(path)} is longer than {limit}.", "Shorten it.", "bad-value")


def _not_a_name(path: Path, error: Mapping[str, Any]) -> Finding:
    message = f"{_name(path)} must be an API name, not {_shown(error['input'])}."
    return Finding(path, message, "API names hold letters, digits and _.", "bad-value")


def _unknown_key(path: Path, known: tuple[str, ...]) -> Finding:
    """Return the finding for a key that is not known where it stands."""
    key, kind = str(path[-1]), "key"
    if len(path) >= 2 and path[-2:-1] and isinstance(path[-2], int) and path[-3:-2] == ("actions",):
        kind = "action"
    near = did_you_mean(key, known)
    if set(known) == set(_CONDITION_KEYS) and key in known:
        message = f"'{key}' cannot stand beside the other keys here."
        hint = "One member is either one condition or one group; nest them."
        return Finding(path, message, hint, "unknown-key", on_key=True)
    listed = ", ".join(known) or "none"
    hint = near or f"Known here: {listed}."
    return Finding(path, f"There is no {kind} '{key}' here.", hint, f"unknown-{kind}", on_key=True)


def _known_keys(path: Path) -> Iterable[str]:
    """Return the keys of the mapping that holds the last step of the path."""
    if len(path) == 1:
        return RulesetFile.model_fields
    if len(path) == 3:
        return RuleModel.model_fields
    if path[2] == "when":
        return _CONDITION_KEYS
    if len(path) == 5:
        return ACTIONS
    if path[5:6] == ("conference_bridge",):
        return ConferenceBridge.model_fields
    action = ACTIONS.get(str(path[4]))
    return action.model_fields if action else ()


def _missing_key(path: Path, _error: Mapping[str, Any]) -> Finding:
    """Return the finding for a key that must be there."""
    *above, key = path
    action = above[-1] if len(above) >= 2 and isinstance(above[-1], str) else None
    whose = f"{action} needs" if action in ACTIONS else "This needs"
    hint = f"Add '{key}: …'."
    return Finding(tuple(above), f"{whose} '{key}'.", hint, "missing-key", on_key=True)


_WORDED: Mapping[str, Callable[[Path, Mapping[str, Any]], Finding]] = {
    "missing": _missing_key,
    "literal_error": _not_listed,
    "too_short": _too_short,
    "string_too_short": _too_short,
    "too_long": _too_long,
    "string_too_long": _too_long,
    "string_pattern_mismatch": _not_a_name,
}
