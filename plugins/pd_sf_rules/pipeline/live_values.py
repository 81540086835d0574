"""Does a field take this value? By its type, its picklist and its length in the org."""

from collections.abc import Iterator
from typing import Any

from pd_sf_rules.rules.diagnostics import Severity, did_you_mean
from pd_sf_rules.rules.ruleset import Condition
from pd_sf_rules.rules.templates import is_template
from pd_sf_rules.rules.values import as_number
from pd_sf_rules.rules.yaml_tree import Path
from pd_sf_rules.systems.salesforce.describe import FieldDescription

PICKLISTS = frozenset({"picklist", "multipicklist", "combobox"})
NUMBERS = frozenset({"double", "int", "currency", "percent", "long"})
_MUST_EXIST = frozenset({"equals", "in", "changed_to", "includes"})
_SHOULD_EXIST = frozenset({"not_equals", "not_in", "changed_from", "excludes"})
"""A value that was switched off may still be on old records, so these only warn."""

Problem = tuple[str, str, str]
"""Message, hint and code."""


def wanted_values(condition: Condition) -> Iterator[tuple[Path, Any, Severity]]:
    """Yield each value that a condition compares whole with its field: where it stands, and how bad a wrong one is."""
    severity: Severity = "error" if condition.operation in _MUST_EXIST else "warning"
    if condition.operation not in _MUST_EXIST | _SHOULD_EXIST:
        return
    expected = condition.expected
    if isinstance(expected, list | tuple):
        for index, value in enumerate(expected):
            yield ("value", index), value, severity
    elif expected is not None and expected != "":
        for part in str(expected).split(";") if "cludes" in condition.operation else [expected]:
            yield ("value",), part, severity


def value_problem(object_name: str, field: FieldDescription, value: Any) -> Problem | None:
    """Return why Salesforce would refuse this literal value of a field; None for a template or a good value."""
    if value is None or value == "" or (isinstance(value, str) and is_template(value)):
        return None
    name = f"{object_name}.{field.name}"
    if field.type in PICKLISTS and field.picklist:
        return _picklist_problem(name, field, str(value))
    if field.type == "boolean" and str(value).casefold() not in {"true", "false"}:
        return f"{name} takes true or false, not '{value}'.", "Write true or false.", "bad-value"
    if field.type in NUMBERS and (isinstance(value, bool) or as_number(value) is None):
        return f"{name} takes a number, not '{value}'.", "Write a number.", "bad-value"
    if isinstance(value, str) and field.length and len(value) > field.length:
        message = f"{name} holds {field.length} characters; this text has {len(value)}."
        return message, "Shorten it.", "too-long"
    return None


def _picklist_problem(name: str, field: FieldDescription, value: str) -> Problem | None:
    known = {one.casefold() for one in field.picklist}
    parts = value.split(";") if field.type == "multipicklist" else [value]
    for part in parts:
        if part.strip().casefold() not in known:
            near = did_you_mean(part, field.picklist)
            listed = ", ".join(f"'{one}'" for one in field.picklist[:12])
            hint = near or f"It has {listed}."
            return f"{name} has no value '{part}'.", hint, "unknown-picklist-value"
    return None
