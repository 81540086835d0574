"""Rows of a query as flat values: relationships by dots, `attributes` left out."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from pd_sf_rules.errors import RefusedError
from pd_sf_rules.systems.clock import parse_instant


def flat_values(row: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Return the values of `fields` ("Subject", "Account.Type") under exactly those names.

    A parent that is null gives None. Field names are not case-sensitive in Salesforce.
    """
    return {path: _value(row, path) for path in fields}


def record_id(row: Mapping[str, Any]) -> str:
    """Return a row's id."""
    return str(row.get("Id") or "")


def instant(row: Mapping[str, Any], *names: str) -> datetime:
    """Return the first of the named datetime fields that has a value, as UTC.

    Raises RefusedError naming the record when none has.
    """
    for name in names:
        text = row.get(name)
        if isinstance(text, str) and text:
            try:
                return parse_instant(text)
            except ValueError:
                message = f"Record {record_id(row)}: {name} '{text}' is not an instant."
                raise RefusedError(message, code="INVALID_FIELD") from None
    message = f"Record {record_id(row)} came without {' or '.join(names)}."
    raise RefusedError(message, code="INVALID_FIELD")


def person(row: Mapping[str, Any], relationship: str) -> tuple[str, str]:
    """Return (name, id) of who created or last modified a row, "" for what was not asked or told."""
    parent = row.get(relationship)
    name = str(parent.get("Name") or "") if isinstance(parent, Mapping) else ""
    return name, str(row.get(f"{relationship}Id") or "")


def _value(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value[part] if part in value else _any_case(value, part)
    return value


def _any_case(row: Mapping[str, Any], name: str) -> Any:
    wanted = name.lower()
    return next((value for key, value in row.items() if key.lower() == wanted), None)
